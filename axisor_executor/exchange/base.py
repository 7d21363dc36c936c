"""What the executor needs of an exchange: typed values and the client protocol.

Units everywhere: margins, fees, balances and P&L are whole **sats** (int); prices are **USD per BTC** (Decimal,
steps of 0.5); quantities are whole **USD** (int); instants are timezone-aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

T = TypeVar("T")

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit"]
TradeState = Literal["open", "running", "closed", "canceled"]
CrossOrderType = Literal["market", "limit", "liquidation"]
CrossOrderState = Literal["open", "filled", "canceled"]

SATS_PER_BTC = 100_000_000
PRICE_STEP = Decimal("0.5")
"""Every price that is sent is a multiple of it: USD per BTC."""
FEE_RATE = Decimal("0.001")
"""Trading fee of the first (most expensive) tier, as a factor; an upper bound for every other tier."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A value the exchange answered with, and the exchange's own clock when it did.

    ``server_time`` is the answer's ``Date`` header (whole seconds); that of a private answer which a cache has kept is
    earlier by its ``Age``. Reconciliation takes nothing for later than that.
    """

    value: T
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Ticker:
    """The market as the exchange shows it. ``time`` is the exchange's instant of this price.

    ``funding_rate`` is the present rate as a factor, ``funding_time`` when it is settled next; ``None`` where not told.
    """

    last_price: Decimal
    index: Decimal
    time: datetime
    funding_rate: Decimal | None = None
    funding_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExchangeAccount:
    """The exchange's own view of the account: its user id and the free balance in sats.

    The rest only informs, and is ``None`` where the exchange does not tell it; ``synthetic_usd_balance`` is in USD.
    """

    id: str
    balance: int
    username: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    synthetic_usd_balance: Decimal | None = None
    fee_tier: int | None = None
    linking_public_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Trade:
    """One isolated futures trade. ``stoploss`` and ``takeprofit`` are ``None`` where the exchange says 0.

    ``sum_cash_in`` is all that was ever cashed in, ``sum_cash_in_margin`` what of it came out of the margin, not the
    P&L. ``client_id`` is whatever text the program that opened the trade has given it.
    """

    id: str
    type: OrderType
    side: Side
    state: TradeState
    quantity: int
    margin: int
    leverage: Decimal
    price: Decimal
    entry_price: Decimal | None
    entry_margin: int | None
    exit_price: Decimal | None
    liquidation: Decimal
    maintenance_margin: int
    opening_fee: int
    closing_fee: int
    pl: int
    stoploss: Decimal | None
    stoploss_trailing_distance: Decimal | None
    takeprofit: Decimal | None
    sum_funding_fees: int
    created_at: datetime
    filled_at: datetime | None
    closed_at: datetime | None
    client_id: str | None
    sum_cash_in: int = 0
    sum_cash_in_margin: int = 0

    @property
    def is_long(self) -> bool:
        """Whether the trade gains when the price rises."""
        return self.side == "buy"


@dataclass(frozen=True, slots=True)
class NewTrade:
    """An order for a new isolated trade: ``quantity`` in USD; ``price`` for limit orders only."""

    type: OrderType
    side: Side
    quantity: int
    leverage: Decimal
    price: Decimal | None = None
    stoploss: Decimal | None = None
    takeprofit: Decimal | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class CrossPosition:
    """The account's one cross-margin position; the exchange shows one even where nothing is held.

    ``quantity`` is signed USD: above 0 long, below 0 short, 0 none. ``margin`` is what the cross wallet holds, of
    which ``initial_margin`` is bound by open orders and ``running_margin`` by the position. ``total_pl`` is what the
    position has gained or lost at the last price, ``delta_pl`` what of it is not settled yet. All money is in sats.
    """

    id: str
    quantity: int
    entry_price: Decimal | None
    liquidation: Decimal | None
    leverage: Decimal
    margin: int
    initial_margin: int
    running_margin: int
    maintenance_margin: int
    total_pl: int
    delta_pl: int
    trading_fees: int
    funding_fees: int
    updated_at: datetime

    @property
    def side(self) -> Side | None:
        """``buy`` for a long, ``sell`` for a short, ``None`` where nothing is held."""
        return None if self.quantity == 0 else "buy" if self.quantity > 0 else "sell"


@dataclass(frozen=True, slots=True)
class CrossOrder:
    """One order on the cross position. ``price`` is the limit, or what a market order was filled at."""

    id: str
    type: CrossOrderType
    side: Side
    state: CrossOrderState
    quantity: int
    price: Decimal
    trading_fee: int
    created_at: datetime
    filled_at: datetime | None
    canceled_at: datetime | None
    client_id: str | None


@dataclass(frozen=True, slots=True)
class NewCrossOrder:
    """A new order on the cross position: ``quantity`` in USD; ``price`` for limit orders only."""

    type: OrderType
    side: Side
    quantity: int
    price: Decimal | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a longer list; ``next_cursor`` is ``None`` on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None


class ExchangeClient(Protocol):
    """One account's view of an exchange. Not shared between threads.

    Reads raise :class:`~axisor_executor.errors.Unavailable` when they fail for any passing reason and
    :class:`~axisor_executor.errors.Rejected` for a definite no (401, 403, 404, 400).

    The calls that change something take ``timestamp_ms``, the instant (milliseconds since the epoch) to sign with:
    exactly that one is signed, the request is sent at most once, and ``OutcomeUnknown`` is raised whenever it may
    have been carried out without us having read a clear answer. Inside the executor only the ledger's sender calls
    them; ``None`` (now) is for standalone use.
    """

    def ticker(self) -> Answer[Ticker]:
        """Return the market as it is now; needs no credentials."""

    def account(self) -> Answer[ExchangeAccount]:
        """Return whose key it is, and the free balance in sats."""

    def running_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all running isolated trades."""

    def open_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all limit orders for isolated trades that are not filled yet."""

    def closed_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return a page of the closed trades, newest first; ``cursor`` is the ``next_cursor`` of the page before."""

    def canceled_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return a page of the canceled orders, newest first."""

    def open_trade(self, order: NewTrade, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Open a trade, or place a limit order. The exchange keeps ``client_id`` with it."""

    def close_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Close a running trade at the market."""

    def cancel_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Cancel an order that is not filled yet."""

    def add_margin(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Add ``amount`` sats of the balance to a running trade's margin."""

    def cash_in(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Take ``amount`` sats out of a running trade, profit first."""

    def set_takeprofit(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set a trade's take profit (USD per BTC)."""

    def set_stoploss(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set a trade's stop loss (USD per BTC)."""

    def cross_position(self) -> Answer[CrossPosition]:
        """Return the account's cross position, also where it holds nothing."""

    def cross_open_orders(self) -> Answer[tuple[CrossOrder, ...]]:
        """Return all orders on the cross position that are not filled yet."""

    def cross_filled_orders(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[CrossOrder]]:
        """Return a page of the filled orders on the cross position, newest first."""

    def open_cross_order(self, order: NewCrossOrder, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Place an order on the cross position; at the market it opens, adds, reduces or turns it."""

    def close_cross_position(self, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Close the whole cross position at the market; the answer is the order that did."""


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """What a client factory is given besides the keys: where, and how long to wait.

    ``base_url`` ends on ``/v3`` for LN Markets. Seconds for every time. ``window_seconds`` is how long the exchange
    accepts a signed timestamp.
    """

    slug: str
    base_url: str
    request_timeout: float = 10.0
    connect_timeout: float = 3.0
    window_seconds: float = 30.0


ClientFactory = Callable[[ExchangeOptions, "SecureCredentials | None"], ExchangeClient]
"""Makes a client for one account (or, with ``None``, for public calls only)."""
