"""Funding: every eight hours longs pay shorts, or shorts pay longs.

What the exchange does not document, and how it is done here:
- The fixing price is the last price at the settlement; the fee is q * S / p * rate of it, to the nearest sat.
- An isolated trade pays out of its margin, and what it receives goes to the balance. Its leverage may rise above 100
  by that: the limit binds its owner, not the settlement.
- A cross position pays out of the wallet and receives into it.
- A fee takes what is there at most, and what lies beyond its liquidation price after paying is liquidated at the
  fixing price. The fee that is recorded is the one that was taken.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from axisor_paper_exchange.engine import arithmetic

__all__ = ["FUNDING_PERIOD", "FundingFee", "Settlement"]

FUNDING_PERIOD = 8 * 3_600_000
"""Milliseconds from one settlement to the next; they are due at multiples of it since the epoch."""


class Settlement(NamedTuple):
    """One funding settlement: `rate` is a fraction of the position's worth, `price` the fixing price in ticks."""

    id: str
    at: int
    rate: Decimal
    price: int

    def fee(self, side: int, quantity: int, available: int) -> int:
        """Return what a position pays in sats, `available` at most; negative is what it receives."""
        return min(arithmetic.funding_fee(side, quantity, self.price, self.rate), available)


class FundingFee(NamedTuple):
    """What one settlement took from a trade, or from a cross position (no `trade_id`), in sats; negative: gave."""

    settlement: Settlement
    fee: int
    trade_id: str | None = None
