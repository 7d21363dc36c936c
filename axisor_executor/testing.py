"""What handler tests need: a context and trades made of plain values.

::

    context = make_context({"action": "close_position"}, handler=MarginGuard(), running=[make_trade()])
    assert MarginGuard().decide(context).as_dict()["decision"] == "act"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AccountContext,
    AccountInfo,
    AutomationConfig,
    AutomationHandler,
    AutomationInfo,
    JobInfo,
)
from axisor_executor.errors import StaleData, Unavailable
from axisor_executor.exchange.base import CrossPosition, OrderType, Side, Trade, TradeState

ConfigT = TypeVar("ConfigT", bound=AutomationConfig)
Price = Decimal | int | str

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAST_PRICE = Decimal(50_000)
ACCOUNT = AccountInfo(id="account-1", name="Main Account", user_id="user-1", exchange="lnmarkets")


@dataclass
class PlainReads:
    """Facts given as plain values; ``asked`` lists what the handler read, in order.

    ``None`` stands for what could not be read: asking for the price or the balance then raises ``StaleData``, asking
    for trades or the cross position ``Unavailable``.
    """

    last_price: Decimal | None = LAST_PRICE
    running_trades: tuple[Trade, ...] | None = ()
    orders: tuple[Trade, ...] | None = ()
    finished_trades: tuple[Trade, ...] | None = ()
    cross: CrossPosition | None = None
    free_balance: int | None = 1_000_000
    own: tuple[Trade, ...] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def price(self) -> Decimal:
        self.asked.append("price")
        if self.last_price is None:
            raise StaleData("the last price is too old or missing", code="price_stale")
        return self.last_price

    def running(self) -> Sequence[Trade]:
        self.asked.append("running")
        return _readable("running trades", self.running_trades)

    def open_orders(self) -> Sequence[Trade]:
        self.asked.append("open_orders")
        return _readable("open orders", self.orders)

    def finished(self, trade_id: str) -> Trade | None:
        self.asked.append("finished")
        finished = _readable("closed trades", self.finished_trades)
        return next((trade for trade in finished if trade.id == trade_id), None)

    def cross_position(self) -> CrossPosition:
        self.asked.append("cross_position")
        if self.cross is None:
            raise Unavailable("the cross position could not be read")
        return self.cross

    def balance(self) -> int:
        self.asked.append("balance")
        if self.free_balance is None:
            raise StaleData("the balance could not be read", code="balance_stale")
        return self.free_balance

    def own_trades(self) -> Sequence[Trade]:
        self.asked.append("own_trades")
        return self.own

    def current_id(self, trade_id: str) -> str:
        seen = {trade_id}
        while (following := self.lineage.get(trade_id)) is not None and following not in seen:
            trade_id = following
            seen.add(trade_id)
        return trade_id


def _readable(what: str, trades: tuple[Trade, ...] | None) -> tuple[Trade, ...]:
    if trades is None:
        raise Unavailable(f"the {what} could not be read")
    return trades


def make_context(
    config: ConfigT | Mapping[str, Any],
    *,
    handler: AutomationHandler[ConfigT],
    action: str | None = None,
    trade_id: str | None = None,
    price: Decimal | int | str | None = LAST_PRICE,
    running: Sequence[Trade] | None = (),
    open_orders: Sequence[Trade] | None = (),
    finished: Sequence[Trade] | None = (),
    cross_position: CrossPosition | None = None,
    balance: int | None = 1_000_000,
    own: Sequence[Trade] = (),
    lineage: Mapping[str, str] | None = None,
    now: datetime = NOW,
    account: AccountInfo = ACCOUNT,
    automation: AutomationInfo | None = None,
) -> AccountContext[ConfigT]:
    """Return the context in which ``handler`` would decide about a job, as the executor makes it.

    Args:
        config: the automation row's config (validated as the executor does), or a config model as it is.
        action: the job's action; ``None``: the config's.
        trade_id: the job's trade; the lineage is followed.
        price: the last price in USD per BTC; ``None``: stale, reading it raises ``StaleData``.
        running, open_orders, finished: the account's trades by state; ``None``: reading them raises ``Unavailable``.
        cross_position: the account's cross position; ``None``: it can't be read.
        balance: free sats; ``None``: it can't be read.
        own: the running trades and open orders that this automation opened.
        lineage: old trade id -> the id that replaced it.

    Raises:
        InvalidJob, InvalidConfig: as in the executor, for an action or a config that is refused.
    """
    raw = config.model_dump() if isinstance(config, AutomationConfig) else config
    chosen = handler.choose_action(action, raw)
    if not isinstance(config, AutomationConfig):
        config = handler.parse_config(config, chosen)
    elif "action" in type(config).model_fields:
        config = config.model_copy(update={"action": chosen})
    reads = PlainReads(
        last_price=None if price is None else Decimal(price),
        running_trades=None if running is None else tuple(running),
        orders=None if open_orders is None else tuple(open_orders),
        finished_trades=None if finished is None else tuple(finished),
        cross=cross_position,
        free_balance=balance,
        own=tuple(own),
        lineage=dict(lineage or {}),
    )
    return AccountContext(
        account=account,
        automation=automation or AutomationInfo(id="automation-1", type=handler.type),
        config=config,
        job=JobInfo(action=chosen, trade_id=None if trade_id is None else reads.current_id(trade_id)),
        now=now,
        reads=reads,
    )


def make_trade(
    *,
    id: str = "trade-1",  # noqa: A002  (named as the field is)
    side: Side = "buy",
    quantity: int = 100,
    entry_price: Price = LAST_PRICE,
    leverage: Price = 10,
    state: TradeState = "running",
    type: OrderType | None = None,  # noqa: A002  (named as the field is)
    last_price: Price | None = None,
    **overrides: Any,
) -> Trade:
    """Return a trade whose margin, liquidation, fees and P&L follow from its quantity, price and leverage.

    Args:
        entry_price: USD per BTC; the order's price while the trade is ``open``.
        last_price: where the market stands (the exit of a closed trade); by default at the entry, so that the P&L
            is 0.
        type: ``limit`` for an open order, else ``market``.
        overrides: any other field of :class:`~axisor_executor.exchange.base.Trade`, taken as it is.
    """
    entry, factor = Decimal(entry_price), Decimal(leverage)
    market = entry if last_price is None else Decimal(last_price)
    filled = state in ("running", "closed")
    values: dict[str, Any] = {
        "id": id,
        "type": type or ("limit" if state == "open" else "market"),
        "side": side,
        "state": state,
        "quantity": quantity,
        "margin": arithmetic.margin(quantity, entry, factor),
        "leverage": factor,
        "price": entry,
        "entry_price": entry if filled else None,
        "entry_margin": arithmetic.margin(quantity, entry, factor),
        "exit_price": market if state == "closed" else None,
        "liquidation": arithmetic.liquidation(side, quantity, entry, factor),
        "maintenance_margin": arithmetic.maintenance_margin(side, quantity, entry, factor),
        "opening_fee": arithmetic.trading_fee(quantity, entry) if filled else 0,
        "closing_fee": arithmetic.trading_fee(quantity, market) if state == "closed" else 0,
        "pl": arithmetic.pl(side, quantity, entry, market) if filled else 0,
        "stoploss": None,
        "stoploss_trailing_distance": None,
        "takeprofit": None,
        "sum_funding_fees": 0,
        "created_at": NOW,
        "filled_at": NOW if filled else None,
        "closed_at": NOW if state in ("closed", "canceled") else None,
        "client_id": None,
    }
    return Trade(**(values | overrides))


def make_cross_position(
    *,
    id: str = "position-1",  # noqa: A002  (named as the field is)
    quantity: int = 100,
    entry_price: Price = LAST_PRICE,
    leverage: Price = 10,
    margin: int | None = None,
    last_price: Price | None = None,
    **overrides: Any,
) -> CrossPosition:
    """Return a cross position whose margins, liquidation and P&L follow from its quantity, entry and wallet.

    Args:
        quantity: signed USD: above 0 a long, below 0 a short, 0 nothing (there is no entry or liquidation then).
        entry_price: USD per BTC.
        margin: sats in the cross wallet; by default what the position binds, so that the liquidation is where that
            of an isolated trade would be. A short that can't be liquidated has ``None``.
        last_price: where the market stands; by default at the entry, so that the P&L is 0.
        overrides: any other field of :class:`~axisor_executor.exchange.base.CrossPosition`, taken as it is.
    """
    entry, factor, size = Decimal(entry_price), Decimal(leverage), abs(quantity)
    side: Side = "buy" if quantity > 0 else "sell"
    bound = arithmetic.margin(size, entry, factor) if size else 0
    wallet = bound if margin is None else margin
    ends_at = arithmetic.liquidation_for_margin(side, size, entry, wallet) if size else None
    pl = arithmetic.pl(side, size, entry, entry if last_price is None else Decimal(last_price)) if size else 0
    values: dict[str, Any] = {
        "id": id,
        "quantity": quantity,
        "entry_price": entry if size else None,
        "liquidation": None if ends_at == arithmetic.NO_LIQUIDATION else ends_at,
        "leverage": factor,
        "margin": wallet,
        "initial_margin": 0,
        "running_margin": bound,
        "maintenance_margin": arithmetic.maintenance_margin(side, size, entry, factor) if size else 0,
        "total_pl": pl,
        "delta_pl": pl,
        "trading_fees": 0,
        "funding_fees": 0,
        "updated_at": NOW,
    }
    return CrossPosition(**(values | overrides))
