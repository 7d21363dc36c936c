"""One isolated trade and what can be read off it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from axisor_paper_exchange.engine import arithmetic

if TYPE_CHECKING:
    from axisor_paper_exchange.engine.account import Account

__all__ = ["ClosedBy", "NewTrade", "State", "Trade"]

State = Literal["open", "running", "closed", "canceled"]
ClosedBy = Literal["request", "takeprofit", "stoploss", "liquidation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrade:
    """An order as its owner gave it: prices in ticks, exactly one of `quantity` (USD) and `margin` (sats).

    `price` is the limit, None for a market order. `stoploss` and `takeprofit` are 0 where there is none,
    and so is `trailing_stoploss`, the distance of a stop loss that trails, as a fraction of the price.
    """

    side: int
    leverage: Decimal
    quantity: int | None = None
    margin: int | None = None
    price: int | None = None
    stoploss: int = 0
    trailing_stoploss: Decimal = Decimal(0)
    takeprofit: int = 0
    client_id: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Trade:
    """A trade in any state. Prices in ticks (0 = none), money in sats, instants in milliseconds since the epoch."""

    id: str
    number: int
    account: Account
    limit: bool
    side: int
    quantity: int
    margin: int
    leverage: Decimal
    price: int
    liquidation: int
    maintenance_margin: int
    fee_rate: Decimal
    created_at: int
    client_id: str | None
    entry_margin: int
    state: State = "open"
    stoploss: int = 0
    stoploss_trailing_distance: Decimal = Decimal(0)
    takeprofit: int = 0
    entry_price: int = 0
    """The price it was filled at, or the market when all of its profit was last cashed in."""
    cashed_profit: int = 0
    """Profit cashed in since `entry_price`; `current_entry` is what that has made of it."""
    exit_price: int = 0
    opening_fee: int = 0
    closing_fee: int = 0
    realized: int = 0
    """Profit or loss of a closed trade, without what was cashed in before."""
    sum_funding_fees: int = 0
    sum_cash_in_margin: int = 0
    sum_cash_in_pl: int = 0
    filled_at: int | None = None
    closed_at: int | None = None
    closed_by: ClosedBy | None = None
    triggers: int = 0
    """Raised whenever the trade's trigger prices change: older entries of the trigger book are then void."""

    @property
    def current_entry(self) -> int:
        """The entry price in ticks, as moved by profit that was cashed in."""
        return arithmetic.entry_after_cash_in(self.side, self.quantity, self.entry_price, self.cashed_profit)

    def profit_at(self, price: int) -> int:
        """Return the profit or loss in sats: at `price` while running, the realized one when closed, else 0."""
        if self.state == "running":
            return arithmetic.profit(self.side, self.quantity, self.entry_price, price, self.cashed_profit)
        return self.realized

    def cost(self) -> tuple[int, int]:
        """Return the worth at the current entry in sats, as an exact fraction."""
        return arithmetic.cost(self.side, self.quantity, self.entry_price or self.price, self.cashed_profit)

    @property
    def held(self) -> int:
        """The sats that the exchange holds for this trade out of its owner's money."""
        return self.margin + self.maintenance_margin if self.state in {"open", "running"} else 0
