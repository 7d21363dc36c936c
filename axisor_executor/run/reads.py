"""What a handler reads lazily: each fact at most once a run, and all of it kept for the plan's record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from axisor_executor.automation import OpenPosition, OwnEntry
from axisor_executor.errors import Held, StaleData
from axisor_executor.exchange.base import Answer, CrossOrder, CrossPosition, ExchangeClient, Page, Trade
from axisor_executor.exchange.prices import SharedTicker
from axisor_executor.observe import metrics
from axisor_executor.run import spend
from axisor_executor.storage import history, lineage
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage

T = TypeVar("T")

MAX_PAGES = 20
PAGE_SIZE = 1000


class LiveReads:
    """Reads of one account through its client, the shared ticker and the ledger."""

    def __init__(
        self,
        client: ExchangeClient,
        ticker: SharedTicker,
        storage: Storage,
        *,
        exchange: str,
        account_id: str,
        automation_id: str,
        execution_id: str,
        max_price_age: float,
    ) -> None:
        self._client = client
        self._ticker = ticker
        self._storage = storage
        self._exchange = exchange
        self._account_id = account_id
        self._automation_id = automation_id
        self._execution_id = execution_id
        self._max_price_age = max_price_age
        self._kept: dict[str, Any] = {}
        self._lines: dict[tuple[str, str], str] = {}  # never handed on: a late answer may add to one
        self._first_read_at = 0.0
        self.seen: dict[str, Any] = {}

    def price(self) -> Decimal:
        """Return the last price in USD, the same for the whole decision; stale, missing or not positive is an error."""
        price: Decimal = self._once("price", self.price_now)
        return price

    def price_now(self) -> Decimal:
        """Return the last price in USD as it is now, for what is about to be sent."""
        try:
            price, age = self._ticker.fresh_price(self._max_price_age)
        except StaleData as error:
            metrics.price_refused.add(self._exchange, error.code)
            raise
        metrics.price_age.observe(max(age, 0.0), self._exchange)
        self.seen["price"] = {"last": str(price), "ageSeconds": round(max(age, 0.0), 3)}
        return price

    def running(self) -> Sequence[Trade]:
        """Return the running trades; anew when the open orders were read meanwhile, of which one may run by now."""
        trades: Sequence[Trade] = self._once("running", lambda: _each_once(self._client.running_trades().value))
        return trades

    def open_orders(self) -> Sequence[Trade]:
        """Return the limit orders that are not filled."""
        if "open" not in self._kept:
            for trade in self._kept.pop("running", ()):  # in a trade's own order, or one that is filled now is missed
                self.saw(trade)
        trades: Sequence[Trade] = self._once("open", lambda: _each_once(self._client.open_trades().value))
        return trades

    def finished(self, trade_id: str) -> Trade | None:
        """Return a closed or canceled trade of this account, ``None`` where there is none.

        Raises:
            StaleData: the history is too long to be searched to its end.
            Held: it was closed to be reduced, and its remainder is owed, or not known yet (``unresolved_action``).
        """
        owing = lineage.unresolved(self._storage, self._account_id, trade_id, but=self._execution_id)
        if owing is not None:
            raise Held(
                f"Trade {trade_id} was closed to be reduced: what execution {owing} makes of its remainder is not "
                "known yet",
                code="unresolved_action",
                account_id=self._account_id,
                details={"executionId": owing},
            )
        found: Trade | None = self._once(f"finished:{trade_id}", lambda: self._find_finished(trade_id))
        return found

    def cross_position(self) -> CrossPosition:
        """Return the account's cross position, also where it holds nothing."""
        position: CrossPosition = self._once("crossPosition", lambda: self._client.cross_position().value)
        return position

    def cross_position_now(self) -> CrossPosition:
        """Return the account's cross position as it is now, for what is about to be sent."""
        self._kept.pop("crossPosition", None)
        return self.cross_position()

    def balance(self) -> int:
        """Return the free balance in sats."""
        account = self._once("account", lambda: self._client.account().value)
        self.seen["balance"] = account.balance
        return int(account.balance)

    def own_trades(self) -> Sequence[Trade]:
        """Return the running trades and open orders that this automation opened, or that replaced those."""
        trades = {trade.id: trade for read in (self.open_orders, self.running) for trade in read()}
        own = history.opened_by(
            self._storage,
            self._automation_id,
            trade_ids=lineage.ancestors(self._storage, self._account_id, trades),
            # Another program's may hold what no database takes, such as a NUL.
            client_ids={
                one.client_id: one.id for one in trades.values() if one.client_id and one.client_id.isprintable()
            },
        )
        return [trade for trade in trades.values() if trade.id in own]

    def own_entries(self, since: datetime) -> Sequence[OwnEntry]:
        """Return what this automation has opened on the account since then, or may have opened, newest first."""
        sent = history.recent(
            self._storage,
            self._automation_id,
            account_id=self._account_id,
            seconds=(datetime.now(UTC) - since).total_seconds(),
            kind=OpenPosition.__name__,
        )
        entries = [entry for action in sent if (entry := _entry(action)) is not None]
        self.seen["ownEntries"] = [_shown_entry(entry) for entry in entries]
        return entries

    def acted_on(self, since: datetime) -> Sequence[str]:
        """Return which trades this automation has acted on since then, or may have acted on."""
        ledger = spend.Ledger(self._storage, self._automation_id, self._account_id)
        done = ledger.recent((datetime.now(UTC) - since).total_seconds())
        self.seen["actedOn"] = trades = sorted(spend.touched(ledger, done) - {""})
        return trades

    def current_id(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        return self._line("current", lineage.current_id, trade_id)

    def original_id(self, trade_id: str) -> str:
        """Return the id that a trade had before it was reduced for the first time."""
        return self._line("original", lineage.original_id, trade_id)

    def forget(self) -> None:
        """Read everything anew from now on; what was seen stays in the record."""
        self.record()
        self._kept.clear()
        self._lines.clear()

    def refresh(self, oldest_seconds: float) -> None:
        """Forget what was read longer ago than this."""
        if self._kept and time.monotonic() - self._first_read_at > oldest_seconds:
            self.forget()

    def take_over(self, earlier: LiveReads, oldest_seconds: float) -> None:
        """Go on with what the run before on this account has read and not changed since, the price excepted."""
        if time.monotonic() - earlier._first_read_at < oldest_seconds:
            self._kept = dict(earlier._kept)  # one step: a decision that was given up may still be reading
            self._kept.pop("price", None)
            self._first_read_at = earlier._first_read_at

    def saw(self, trade: Trade) -> None:
        """Keep a trade for the plan's record."""
        self.seen.setdefault("trades", {})[trade.id] = shown(trade)

    def record(self) -> dict[str, Any]:
        """Return what was seen, as JSON, for the plan."""
        for key in ("running", "open"):
            for trade in self._kept.get(key, ()):
                self.saw(trade)
        for key, trade in self._kept.items():
            if key.startswith("finished:") and trade is not None:
                self.saw(trade)
        if "crossPosition" in self._kept:
            self.seen["crossPosition"] = shown(self._kept["crossPosition"])
        return {key: dict(one) if key == "trades" else one for key, one in self.seen.items()}  # more may be seen yet

    def _once(self, key: str, read: Callable[[], Any]) -> Any:
        if key not in self._kept:
            if not self._kept:
                self._first_read_at = time.monotonic()
            self._kept[key] = read()
        return self._kept[key]

    def _line(self, end: str, read: Callable[[Storage, str, str], str], trade_id: str) -> str:
        found = self._lines.get((end, trade_id))
        if found is None:
            found = self._lines[end, trade_id] = read(self._storage, self._account_id, trade_id)
        return found

    def _find_finished(self, trade_id: str) -> Trade | None:
        for read in (self._client.closed_trades, self._client.canceled_trades):
            found, complete = search(read, lambda trade: trade.id == trade_id)
            if found:
                return found[0]
            if not complete:
                raise StaleData(
                    f"trade {trade_id} is not running, and the history is too long to be searched",
                    code="history_too_long",
                )
        return None


def search(
    read: Callable[..., Answer[Page[T]]],
    wanted: Callable[[T], bool],
    *,
    since: datetime | None = None,
    stop_early: bool = True,
) -> tuple[list[T], bool]:
    """Return the items of a paged list that are wanted, and whether the list was read to its end (or enough)."""
    found: list[T] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = read(since=since, cursor=cursor, limit=PAGE_SIZE).value
        found.extend(item for item in page.items if wanted(item))
        cursor = page.next_cursor
        if cursor is None or (found and stop_early):
            return found, True
    return found, False


def _each_once(listed: Sequence[Trade]) -> Sequence[Trade]:
    """Return a list of trades each of which stands there once; which of two that differ is true, nobody can tell.

    Raises:
        StaleData: it shows a trade in two ways (``trades_contradict``).
    """
    trades = {trade.id: trade for trade in listed}
    if len(trades) == len(listed):
        return listed
    for trade in listed:
        if trade != trades[trade.id]:
            raise StaleData(f"the exchange shows trade {trade.id} twice, in two ways", code="trades_contradict")
    return tuple(trades.values())


def shown(found: Trade | CrossOrder | CrossPosition) -> dict[str, Any]:
    """Return what the ledger keeps of what the exchange showed, as JSON: sats as numbers, prices as text."""
    if isinstance(found, CrossPosition):
        return _shown_position(found)
    return _shown_order(found) if isinstance(found, CrossOrder) else _shown_trade(found)


def _entry(sent: LedgerAction) -> OwnEntry | None:
    """Return an entry out of the ledger, with what the exchange answered; ``None`` for the remainder of a reduce."""
    order, status = sent.action, sent.status
    if not isinstance(order, OpenPosition) or order.replaces is not None or sent.sent_at is None:
        return None
    if status not in ("sending", "unknown", "confirmed"):
        return None
    answer = sent.answer if status == "confirmed" and sent.answer else {}
    price = answer.get("entryPrice") or answer.get("price")
    margin = answer.get("margin")
    return OwnEntry(
        sent_at=sent.sent_at,
        order=order,
        status=status,
        trade_id=sent.new_trade_id,
        price=None if price is None else Decimal(price),
        margin=None if margin is None else int(margin),
    )


def _shown_entry(entry: OwnEntry) -> dict[str, Any]:
    return {
        "sentAt": entry.sent_at.isoformat(),
        "status": entry.status,
        "quantity": entry.order.quantity,
        "tradeId": entry.trade_id,
        "price": _text(entry.price),
        "margin": entry.margin,
    }


def _shown_trade(trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.id,
        "state": trade.state,
        "side": trade.side,
        "type": trade.type,
        "quantity": trade.quantity,
        "margin": trade.margin,
        "leverage": str(trade.leverage),
        "price": str(trade.price),
        "entryPrice": _text(trade.entry_price),
        "exitPrice": _text(trade.exit_price),
        "liquidation": str(trade.liquidation),
        "pl": trade.pl,
        "stoploss": _text(trade.stoploss),
        "takeprofit": _text(trade.takeprofit),
        "openingFee": trade.opening_fee,
        "closingFee": trade.closing_fee,
    }


def _shown_position(position: CrossPosition) -> dict[str, Any]:
    return {
        "id": position.id,
        "side": position.side,
        "quantity": position.quantity,
        "entryPrice": _text(position.entry_price),
        "liquidation": _text(position.liquidation),
        "leverage": str(position.leverage),
        "margin": position.margin,
        "runningMargin": position.running_margin,
        "maintenanceMargin": position.maintenance_margin,
        "totalPl": position.total_pl,
    }


def _shown_order(order: CrossOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "state": order.state,
        "side": order.side,
        "type": order.type,
        "quantity": order.quantity,
        "price": str(order.price),
        "tradingFee": order.trading_fee,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
