"""The facts of a context, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from axisor_executor.automation import OwnEntry
from axisor_executor.errors import StaleData, Unavailable
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.testing.defaults import BALANCE, LAST_PRICE


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
    free_balance: int | None = BALANCE
    own: tuple[Trade, ...] | None = ()
    entries: tuple[OwnEntry, ...] | None = ()
    acted: Mapping[str, datetime] | None = field(default_factory=dict)
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
        return _readable("trades of this automation", self.own)

    def own_entries(self, since: datetime) -> Sequence[OwnEntry]:
        self.asked.append("own_entries")
        if self.entries is None:
            raise Unavailable("the entries of this automation could not be read")
        found = [entry for entry in self.entries if entry.sent_at > since]
        return sorted(found, key=lambda entry: entry.sent_at, reverse=True)

    def acted_on(self, since: datetime) -> Sequence[str]:
        self.asked.append("acted_on")
        if self.acted is None:
            raise Unavailable("what this automation has acted on could not be read")
        return sorted({self.current_id(trade_id) for trade_id, at in self.acted.items() if at > since})

    def current_id(self, trade_id: str) -> str:
        seen = {trade_id}
        while (following := self.lineage.get(trade_id)) is not None and following not in seen:
            trade_id = following
            seen.add(trade_id)
        return trade_id

    def original_id(self, trade_id: str) -> str:
        before = {new: old for old, new in self.lineage.items()}
        seen = {trade_id}
        while (earlier := before.get(trade_id)) is not None and earlier not in seen:
            trade_id = earlier
            seen.add(trade_id)
        return trade_id


def _readable(what: str, trades: tuple[Trade, ...] | None) -> tuple[Trade, ...]:
    if trades is None:
        raise Unavailable(f"the {what} could not be read")
    return trades
