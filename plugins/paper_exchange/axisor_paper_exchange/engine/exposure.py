"""A cross position's numbers, and what a fill makes of them: values in, values out.

The worth at entry is kept in sats, in fixed point, instead of an average price: adding to a position adds worth, and
reducing it takes a share away, so the average is that of an inverse future and no error of a rounded price creeps in.

Running margin, maintenance margin and liquidation are the exchange's own, as its Rust SDK checks them against the live
platform: q * S / p / l, 0.15 % of q * S / p, and the price at which the wallet less the maintenance margin is lost.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from axisor_paper_exchange.engine import arithmetic
from axisor_paper_exchange.engine.arithmetic import SATS_PER_BTC

__all__ = ["FINE", "MAINTENANCE_RATE", "Exposure", "Fill"]

FINE = 1 << 64
"""Parts of a sat that the worth at entry is counted in.

Rounded in the owner's favour by less than one part. The worth of a position that was filled once is a fraction whose
denominator is below 2**56, so that every figure derived from it comes out as if it were exact.
"""
_ROUNDED_OFF = 1
"""What the worth of a short may have lost by rounding: without it, whole sats would be floored to one less."""
MAINTENANCE_RATE = Decimal("0.0015")
_MAINTENANCE, _OF = MAINTENANCE_RATE.as_integer_ratio()


class Fill(NamedTuple):
    """What filling an order does: the exposure after it, the P&L that it realizes and its fee, in sats."""

    exposure: Exposure
    realized: int
    fee: int
    opens: bool
    """Whether it adds risk: opens or increases a position, or turns it around."""


class Exposure(NamedTuple):
    """The wallet (`margin`, sats), the leverage and the signed position (USD, worth at entry in parts of a sat)."""

    margin: int = 0
    leverage: int = 1
    quantity: int = 0
    cost: int = 0

    @property
    def side(self) -> int:
        """+1 long, -1 short, 0 without a position."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def size(self) -> int:
        """The position in USD, whatever its side."""
        return abs(self.quantity)

    @property
    def entry_price(self) -> int | None:
        """The average entry price to the nearest tick."""
        return arithmetic.nearest(2 * self.size * SATS_PER_BTC * FINE, self.cost) if self.quantity else None

    @property
    def running_margin(self) -> int:
        """The sats that the position takes at its leverage: floor(q * S / p / l)."""
        return (self.cost + _ROUNDED_OFF) // (FINE * self.leverage)

    @property
    def maintenance_margin(self) -> int:
        """The sats that must be left at liquidation: floor(q * S / p * 0.0015)."""
        return (self.cost + _ROUNDED_OFF) * _MAINTENANCE // (FINE * _OF)

    @property
    def liquidation(self) -> int | None:
        """The price in ticks at which only the maintenance margin is left, None without a position."""
        if not self.quantity:
            return None
        backing = self.side * (self.margin - self.maintenance_margin) * FINE
        return arithmetic.worthless_at(self.size, self.cost + backing, FINE)

    def is_lost_at(self, price: int) -> bool:
        """Tell whether the position is liquidated at `price` (ticks)."""
        liquidation = self.liquidation
        return liquidation is not None and self.side * price <= self.side * liquidation

    def profit_at(self, price: int) -> int:
        """Return the profit or loss at `price` (ticks) in sats, floored."""
        worth_now = 2 * self.size * SATS_PER_BTC * FINE
        return self.side * (self.cost * price - worth_now) // (FINE * price)

    def filled(self, side: int, quantity: int, price: int, fee_rate: Decimal) -> Fill:
        """Return what filling `quantity` USD at `price` (ticks) does.

        What is against the position closes that much of it: P&L goes to the wallet, the entry price stays. What is
        left opens at `price`. A loss takes the wallet at most, and the fee of a mere reduction what is left at most;
        where a fill `opens`, the wallet may come out negative, which the exchange refuses.
        """
        closed = min(quantity, self.size) if side == -self.side else 0
        opened = quantity - closed
        part = self._replace(quantity=self.side * closed, cost=self._share(closed))
        realized = max(part.profit_at(price), -self.margin) if closed else 0
        fee = arithmetic.fee(quantity, price, fee_rate)
        if not opened:
            fee = min(fee, self.margin + realized)
        after = Exposure(
            margin=self.margin + realized - fee,
            leverage=self.leverage,
            quantity=self.quantity + side * quantity,
            cost=self._share(self.size - closed) + (_worth(side, opened, price) if opened else 0),
        )
        return Fill(after, realized, fee, opens=opened > 0)

    def _share(self, quantity: int) -> int:
        """Return the worth at entry of `quantity` USD of the position."""
        return _favour(self.side, self.cost * quantity, self.size) if quantity else 0


def _worth(side: int, quantity: int, price: int) -> int:
    return _favour(side, 2 * quantity * SATS_PER_BTC * FINE, price)


def _favour(side: int, numerator: int, denominator: int) -> int:
    """Divide, rounding as the owner would: what a long was worth at entry up, a short down."""
    return -(-numerator // denominator) if side > 0 else numerator // denominator
