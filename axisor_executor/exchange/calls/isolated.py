"""Isolated trades: each with a margin, a leverage and a liquidation of its own."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from axisor_executor.exchange.answers.fields import list_of, page_of, placed, showing
from axisor_executor.exchange.answers.isolated import funding_fee, trade
from axisor_executor.exchange.base import Answer, NewTrade, Page, Trade
from axisor_executor.exchange.calls.caller import Caller
from axisor_executor.exchange.calls.encoding import page_query
from axisor_executor.exchange.records import FundingFee

_PATH = "/futures/isolated"


class IsolatedCalls(Caller):
    """Isolated trades, read and changed."""

    def running_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all running isolated trades."""
        return self._read("running_trades", f"{_PATH}/trades/running", list_of(trade))

    def open_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all limit orders that are not filled yet."""
        return self._read("open_trades", f"{_PATH}/trades/open", list_of(trade))

    def closed_trades(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[Trade]]:
        """Return one page of closed trades, of those from ``since`` to ``until``.

        ``limit`` is 1 to 1000 (1000 if left out); the next page is found by this one's ``next_cursor``.
        """
        query = page_query(since, until, cursor, limit)
        return self._read("closed_trades", f"{_PATH}/trades/closed", page_of(trade), query)

    def canceled_trades(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[Trade]]:
        """Return one page of canceled orders, as :meth:`closed_trades`."""
        query = page_query(since, until, cursor, limit)
        return self._read("canceled_trades", f"{_PATH}/trades/canceled", page_of(trade), query)

    def funding_fees(
        self,
        *,
        trade_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[FundingFee]]:
        """Return one page of funding fees, of one trade or all of them, as :meth:`closed_trades`."""
        query = {**page_query(since, until, cursor, limit), "tradeId": trade_id}
        return self._read("funding_fees", f"{_PATH}/funding-fees", page_of(funding_fee), query)

    def open_trade(self, order: NewTrade, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Place an order; the answer is the new trade, running or (a limit order) open."""
        opened = placed(trade, order.client_id, type=order.type, side=order.side, quantity=order.quantity)
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
        return self._change("open_trade", "POST", f"{_PATH}/trade", opened, timestamp_ms, body)

    def close_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Close a running trade at the market; the answer is the closed trade."""
        closed = showing(trade, id=trade_id, state="closed")
        return self._change("close_trade", "POST", f"{_PATH}/trade/close", closed, timestamp_ms, {"id": trade_id})

    def cancel_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Cancel an open order; the answer is the canceled order."""
        canceled = showing(trade, id=trade_id, state="canceled")
        return self._change("cancel_trade", "POST", f"{_PATH}/trade/cancel", canceled, timestamp_ms, {"id": trade_id})

    def cancel_all(self, *, timestamp_ms: int | None = None) -> Answer[tuple[Trade, ...]]:
        """Cancel all open orders; the answer lists those that were canceled."""
        canceled = list_of(showing(trade, state="canceled"))
        return self._change("cancel_all", "POST", f"{_PATH}/trades/cancel-all", canceled, timestamp_ms)

    def add_margin(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Move ``amount`` sats from the balance into a running trade's margin."""
        body = {"id": trade_id, "amount": amount}
        same = showing(trade, id=trade_id)
        return self._change("add_margin", "POST", f"{_PATH}/trade/add-margin", same, timestamp_ms, body)

    def cash_in(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Take ``amount`` sats out of a running trade: first from its profit, then from its margin."""
        body = {"id": trade_id, "amount": amount}
        same = showing(trade, id=trade_id)
        return self._change("cash_in", "POST", f"{_PATH}/trade/cash-in", same, timestamp_ms, body)

    def set_takeprofit(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set the take profit to the price ``value``; setting the one it has already is rejected."""
        shown = showing(trade, id=trade_id, takeprofit=value)
        body = {"id": trade_id, "value": value}
        return self._change("set_takeprofit", "PUT", f"{_PATH}/trade/takeprofit", shown, timestamp_ms, body)

    def set_stoploss(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set the (fixed) stop loss to the price ``value``; setting the one it has already is rejected."""
        shown = showing(trade, id=trade_id, stoploss=value)
        body = {"id": trade_id, "value": value}
        return self._change("set_stoploss", "PUT", f"{_PATH}/trade/stoploss", shown, timestamp_ms, body)

    def set_trailing_stoploss(
        self, trade_id: str, distance: Decimal, *, timestamp_ms: int | None = None
    ) -> Answer[Trade]:
        """Let the stop loss follow the price at ``distance``, a fraction of it (0.05: five percent behind)."""
        shown = showing(trade, id=trade_id, stoploss_trailing_distance=distance)
        body = {"id": trade_id, "value": distance, "mode": "trailing"}
        return self._change("set_trailing_stoploss", "PUT", f"{_PATH}/trade/stoploss", shown, timestamp_ms, body)

    def remove_takeprofit(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Remove the take profit."""
        shown = showing(trade, id=trade_id, takeprofit=None)
        return self._change(
            "remove_takeprofit", "DELETE", f"{_PATH}/trade/takeprofit", shown, timestamp_ms, query={"id": trade_id}
        )

    def remove_stoploss(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Remove the stop loss, fixed or trailing."""
        shown = showing(trade, id=trade_id, stoploss=None, stoploss_trailing_distance=None)
        return self._change(
            "remove_stoploss", "DELETE", f"{_PATH}/trade/stoploss", shown, timestamp_ms, query={"id": trade_id}
        )
