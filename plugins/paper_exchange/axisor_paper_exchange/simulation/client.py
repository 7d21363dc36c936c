"""An account's client that asks the engine itself: what the server would refuse is refused with the same errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from axisor_executor.exchange import (
    Answer,
    CrossOrder,
    CrossPosition,
    ExchangeAccount,
    NewCrossOrder,
    NewTrade,
    Page,
    Ticker,
    Trade,
)
from axisor_executor.exchange.failures import Call, failure_by_status
from axisor_executor.exchange.transport import Reply
from axisor_paper_exchange import engine
from axisor_paper_exchange.server import cross, isolated
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.simulation import answers

__all__ = ["EngineClient"]

Row = TypeVar("Row")
Value = TypeVar("Value")


class EngineClient:
    """The calls of one account, at the time that `now` tells (milliseconds since the epoch)."""

    def __init__(self, exchange: engine.Exchange, account: engine.Account, now: Callable[[], int]) -> None:
        self._exchange = exchange
        self._account = account
        self._now = now

    # What is read

    def ticker(self) -> Answer[Ticker]:
        """Return the market; the next funding is the caller's to settle, so it is not told."""
        last = answers.price_of(self._exchange.market.last)
        return self._answer(Ticker(last_price=last, index=last, time=answers.instant(self._now())))

    def account(self) -> Answer[ExchangeAccount]:
        """Return the account."""
        account = self._account
        return self._answer(
            ExchangeAccount(
                id=account.id,
                balance=account.balance,
                username=account.username,
                synthetic_usd_balance=Decimal(0),
                fee_tier=0,
            )
        )

    def running_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return the running trades, newest first."""
        return self._answer(self._trades(reversed(self._account.running.values())))

    def open_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return the open orders, newest first."""
        return self._answer(self._trades(reversed(self._account.open.values())))

    def closed_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return a page of closed trades, last closed first."""
        return self._page("closed_trades", self._account.closed, self._trade, since, cursor, limit)

    def canceled_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return a page of canceled orders, last canceled first."""
        return self._page("canceled_trades", self._account.canceled, self._trade, since, cursor, limit)

    def cross_position(self) -> Answer[CrossPosition]:
        """Return the position, and the wallet even where there is none."""
        return self._answer(self._position(self._account.cross))

    def cross_open_orders(self) -> Answer[tuple[CrossOrder, ...]]:
        """Return the open cross orders, newest first."""
        return self._answer(tuple(answers.cross_order(one) for one in reversed(self._account.cross.open.values())))

    def cross_filled_orders(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[CrossOrder]]:
        """Return a page of filled cross orders, last filled first."""
        filled = self._account.cross.filled
        return self._page("cross_filled_orders", filled, answers.cross_order, since, cursor, limit)

    # What changes something

    def open_trade(self, order: NewTrade, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Place an order."""
        del timestamp_ms
        body = {
            "type": order.type,
            "side": order.side,
            "leverage": order.leverage,
            "quantity": order.quantity,
            "price": order.price,
            "stoploss": order.stoploss,
            "takeprofit": order.takeprofit,
            "clientId": order.client_id,
        }
        return self._change_trade("open_trade", body, lambda fields: self._place(isolated.order_of(fields)))

    def close_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Close a running trade at the market."""
        del timestamp_ms
        return self._change_trade(
            "close_trade",
            {"id": trade_id},
            lambda fields: self._exchange.close(self._account, fields.trade_id(), self._now()),
        )

    def cancel_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Cancel an open order."""
        del timestamp_ms
        return self._change_trade(
            "cancel_trade",
            {"id": trade_id},
            lambda fields: self._exchange.cancel(self._account, fields.trade_id(), self._now()),
        )

    def add_margin(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Move sats from the balance into a running trade's margin."""
        del timestamp_ms
        return self._change_trade(
            "add_margin",
            {"id": trade_id, "amount": amount},
            lambda fields: self._exchange.add_margin(self._account, fields.trade_id(), fields.amount(), self._now()),
        )

    def cash_in(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Take sats out of a running trade."""
        del timestamp_ms
        return self._change_trade(
            "cash_in",
            {"id": trade_id, "amount": amount},
            lambda fields: self._exchange.cash_in(self._account, fields.trade_id(), fields.amount(), self._now()),
        )

    def set_takeprofit(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set the take profit."""
        del timestamp_ms
        return self._change_trade(
            "set_takeprofit",
            {"id": trade_id, "value": value},
            lambda fields: self._exchange.set_takeprofit(self._account, fields.trade_id(), fields.exit_price("value")),
        )

    def set_stoploss(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set a fixed stop loss."""
        del timestamp_ms
        return self._change_trade(
            "set_stoploss",
            {"id": trade_id, "value": value},
            lambda fields: self._exchange.set_stoploss(self._account, fields.trade_id(), fields.exit_price("value")),
        )

    def open_cross_order(self, order: NewCrossOrder, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Place a cross order."""
        del timestamp_ms
        body = {
            "type": order.type,
            "side": order.side,
            "quantity": order.quantity,
            "price": order.price,
            "clientId": order.client_id,
        }

        def place(fields: Fields) -> CrossOrder:
            placed = self._exchange.cross.place(self._account, cross.order_of(fields), self._now())
            return answers.cross_order(placed)

        return self._change("open_cross_order", body, place)

    def close_cross_position(self, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Close the cross position at the market."""
        del timestamp_ms
        return self._change(
            "close_cross_position",
            {},
            lambda _: answers.cross_order(self._exchange.cross.close(self._account, self._now())),
        )

    def deposit_cross(self, amount: int, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Move sats from the balance to the cross wallet."""
        del timestamp_ms
        return self._change(
            "deposit_cross",
            {"amount": amount},
            lambda fields: self._position(self._exchange.cross.deposit(self._account, fields.amount(), self._now())),
        )

    def set_cross_leverage(self, leverage: Decimal, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Set the cross position's leverage."""
        del timestamp_ms

        def turn(fields: Fields) -> CrossPosition:
            asked = fields.whole("leverage")
            if asked is None:
                raise invalid("leverage", "is required")
            return self._position(self._exchange.cross.set_leverage(self._account, asked, self._now()))

        return self._change("set_cross_leverage", {"leverage": leverage}, turn)

    # What the calls are made of

    def _place(self, order: engine.NewTrade) -> engine.Trade:
        return self._exchange.place(self._account, order, self._now())

    def _change_trade(
        self, name: str, body: Mapping[str, Any], command: Callable[[Fields], engine.Trade]
    ) -> Answer[Trade]:
        return self._change(name, body, lambda fields: self._trade(command(fields)))

    def _change(self, name: str, body: Mapping[str, Any], command: Callable[[Fields], Value]) -> Answer[Value]:
        given = Fields({key: value for key, value in body.items() if value is not None})
        try:
            return self._answer(command(given))
        except engine.Rejected as refused:
            error = _failure(name, refused, mutating=True)
        raise error

    def _page(
        self,
        name: str,
        history: engine.History[Row],
        shown: Callable[[Row], Value],
        since: datetime | None,
        cursor: str | None,
        limit: int | None,
    ) -> Answer[Page[Value]]:
        query = {"cursor": cursor, "limit": None if limit is None else str(limit)}
        fields = Fields({key: value for key, value in query.items() if value is not None})
        try:
            asked = fields.page()
        except engine.Rejected as refused:
            error = _failure(name, refused, mutating=False)
        else:
            rows, following = history.page(
                since=None if since is None else answers.milliseconds(since),
                until=None,
                before=asked.before,
                limit=asked.limit,
            )
            after = None if following is None else f"{following[0]}_{following[1]}"
            return self._answer(Page(tuple(shown(row) for row in rows), after))
        raise error

    def _trades(self, trades: Iterable[engine.Trade]) -> tuple[Trade, ...]:
        last = self._exchange.market.last
        return tuple([answers.trade(one, last) for one in trades])

    def _trade(self, trade: engine.Trade) -> Trade:
        return answers.trade(trade, self._exchange.market.last)

    def _position(self, position: engine.CrossPosition) -> CrossPosition:
        return answers.cross_position(position, self._exchange.market.last)

    def _answer(self, value: Value) -> Answer[Value]:
        return Answer(value, answers.instant(self._now()))


def _failure(name: str, refused: engine.Rejected, *, mutating: bool) -> Exception:
    """Return the error that a client over HTTP makes of this refusal."""
    call = Call("paper", name, mutating=mutating)
    said = {"code": refused.code, "message": refused.message}
    return failure_by_status(call, Reply(refused.status, {}, b""), said)
