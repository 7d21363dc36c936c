"""Cross futures: one wallet and one position for each account, and the orders that change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from axisor_paper_exchange.engine.arithmetic import LONG, SATS_PER_BTC, SHORT
from axisor_paper_exchange.engine.exposure import MAINTENANCE_RATE, Exposure
from axisor_paper_exchange.engine.funding import FundingFee
from axisor_paper_exchange.engine.history import History

if TYPE_CHECKING:
    from axisor_paper_exchange.engine.account import Account

__all__ = ["CrossOrder", "CrossPosition", "CrossTransfer", "NewCrossOrder", "Resting", "initial_margin", "order_costs"]

OrderKind = Literal["market", "limit", "liquidation"]
OrderState = Literal["open", "filled", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCrossOrder:
    """An order as its owner gave it: `quantity` in USD, `price` the limit in ticks, None for a market order."""

    side: int
    quantity: int
    price: int | None = None
    client_id: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class CrossOrder:
    """An order in any state. Prices in ticks, money in sats, instants in milliseconds since the epoch."""

    id: str
    number: int
    account: Account
    kind: OrderKind
    side: int
    quantity: int
    price: int
    """The limit while it is open, then the price that it was filled at."""
    created_at: int
    client_id: str | None = None
    state: OrderState = "open"
    trading_fee: int = 0
    realized: int = 0
    """Profit or loss of what it closed."""
    filled_at: int | None = None
    canceled_at: int | None = None
    triggers: int = 0
    """See `TriggerBook`."""

    @property
    def worth(self) -> int:
        """The sats that it is worth at its price: ceil(q * S / p)."""
        return -(-2 * self.quantity * SATS_PER_BTC // self.price)


class CrossTransfer(NamedTuple):
    """A move of sats between balance and wallet: positive into the wallet."""

    id: str
    at: int
    amount: int


class Resting(NamedTuple):
    """The open orders of one side, summed up: USD, and sats at their prices."""

    quantity: int = 0
    worth: int = 0

    def plus(self, order: CrossOrder) -> Resting:
        """Return the sum with one more order."""
        return Resting(self.quantity + order.quantity, self.worth + order.worth)

    def minus(self, order: CrossOrder) -> Resting:
        """Return the sum without an order that is in it."""
        return Resting(self.quantity - order.quantity, self.worth - order.worth)


@dataclass(slots=True, kw_only=True, eq=False)
class CrossPosition:
    """An account's cross wallet and position: one for its whole life, `exposure.quantity` 0 while there is none.

    `realized`, `trading_fees` and `funding_fees` are sums over that life, in sats.
    """

    id: str
    number: int
    account: Account
    updated_at: int
    exposure: Exposure = field(default_factory=Exposure)
    realized: int = 0
    trading_fees: int = 0
    funding_fees: int = 0
    orders: dict[str, CrossOrder] = field(default_factory=dict)
    open: dict[str, CrossOrder] = field(default_factory=dict)
    resting: dict[int, Resting] = field(default_factory=lambda: {LONG: Resting(), SHORT: Resting()})
    filled: History[CrossOrder] = field(default_factory=History)
    transfers: History[CrossTransfer] = field(default_factory=History)
    paid_funding: History[FundingFee] = field(default_factory=History)
    triggers: int = 0
    """See `TriggerBook`."""

    @property
    def initial_margin(self) -> int:
        """The sats that the open orders take at the position's leverage."""
        return initial_margin(self.exposure, self.resting)


def initial_margin(exposure: Exposure, resting: Mapping[int, Resting]) -> int:
    """Return the sats that open orders take: the worth of what they could open, by the leverage, rounded up."""
    return -(-_opening_worth(exposure, resting) // exposure.leverage)


def order_costs(exposure: Exposure, resting: Mapping[int, Resting], fee_rate: Decimal) -> int:
    """Return the sats that filling the open orders takes besides: fees and maintenance margin."""
    numerator, denominator = (fee_rate + MAINTENANCE_RATE).as_integer_ratio()
    return -(-_opening_worth(exposure, resting) * numerator // denominator)


def _opening_worth(exposure: Exposure, resting: Mapping[int, Resting]) -> int:
    """Return the worth in sats of what the open orders could open, of the side where that is more.

    Orders against the position close it first: only what they exceed it by counts, at their average worth.
    """
    worths = [0]
    for side, orders in resting.items():
        closing = exposure.size if side == -exposure.side else 0
        if orders.quantity > closing:
            worths.append(-(-orders.worth * (orders.quantity - closing) // orders.quantity))
    return max(worths)
