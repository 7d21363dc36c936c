"""The cross position: one per account, with a margin that all of its orders share."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from axisor_executor.exchange.answers import cross as read
from axisor_executor.exchange.answers.fields import list_of, page_of, placed, showing
from axisor_executor.exchange.base import Answer, CrossOrder, CrossPosition, NewCrossOrder, Page
from axisor_executor.exchange.calls.caller import Caller
from axisor_executor.exchange.calls.encoding import page_query
from axisor_executor.exchange.records import CrossTransfer, FundingFee

_PATH = "/futures/cross"


class CrossCalls(Caller):
    """The cross position and its orders, read and changed."""

    def cross_position(self) -> Answer[CrossPosition]:
        """Return the position; its ``quantity`` is 0 where nothing is held.

        An answer that contradicts itself about the side (a long that would be liquidated above its entry) is
        unreadable: the side is never guessed.
        """
        return self._read("cross_position", f"{_PATH}/position", read.position)

    def cross_open_orders(self) -> Answer[tuple[CrossOrder, ...]]:
        """Return all limit orders that are not filled yet."""
        return self._read("cross_open_orders", f"{_PATH}/orders/open", list_of(read.order))

    def cross_filled_orders(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[CrossOrder]]:
        """Return one page of filled orders, of those from ``since`` to ``until``.

        ``limit`` is 1 to 1000 (1000 if left out); the next page is found by this one's ``next_cursor``.
        """
        query = page_query(since, until, cursor, limit)
        return self._read("cross_filled_orders", f"{_PATH}/orders/filled", page_of(read.order), query)

    def cross_transfers(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[CrossTransfer]]:
        """Return one page of movements between balance and cross margin, as :meth:`cross_filled_orders`."""
        query = page_query(since, until, cursor, limit)
        return self._read("cross_transfers", f"{_PATH}/transfers", page_of(read.transfer), query)

    def cross_funding_fees(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[FundingFee]]:
        """Return one page of the position's funding fees, as :meth:`cross_filled_orders`."""
        query = page_query(since, until, cursor, limit)
        return self._read("cross_funding_fees", f"{_PATH}/funding-fees", page_of(read.funding_fee), query)

    def open_cross_order(self, order: NewCrossOrder, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Place an order; the answer is the order, filled or (a limit order) open."""
        asked: dict[str, Any] = {"type": order.type, "side": order.side, "quantity": order.quantity}
        if order.type == "market":
            asked["state"] = "filled"
        body = {
            "type": order.type,
            "side": order.side,
            "quantity": order.quantity,
            "price": order.price,
            "clientId": order.client_id,
        }
        ordered = placed(read.order, order.client_id, **asked)
        return self._change("open_cross_order", "POST", f"{_PATH}/order", ordered, timestamp_ms, body)

    def close_cross_position(self, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Close the whole position at the market; the answer is the order that closed it."""
        closed = showing(read.order, type="market", state="filled")
        return self._change("close_cross_position", "POST", f"{_PATH}/position/close", closed, timestamp_ms)

    def cancel_cross_order(self, order_id: str, *, timestamp_ms: int | None = None) -> Answer[CrossOrder]:
        """Cancel an open order; the answer is the canceled order."""
        canceled = showing(read.order, id=order_id, state="canceled")
        body = {"id": order_id}
        return self._change("cancel_cross_order", "POST", f"{_PATH}/order/cancel", canceled, timestamp_ms, body)

    def cancel_all_cross_orders(self, *, timestamp_ms: int | None = None) -> Answer[tuple[CrossOrder, ...]]:
        """Cancel all open orders; the answer lists those that were canceled."""
        canceled = list_of(showing(read.order, state="canceled"))
        return self._change("cancel_all_cross_orders", "POST", f"{_PATH}/orders/cancel-all", canceled, timestamp_ms)

    def set_cross_leverage(self, leverage: Decimal, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Set the position's leverage, 1 to 100; the answer is the position."""
        shown = showing(read.position, leverage=leverage)
        return self._change(
            "set_cross_leverage", "PUT", f"{_PATH}/leverage", shown, timestamp_ms, {"leverage": leverage}
        )

    def deposit_cross(self, amount: int, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Move ``amount`` sats from the balance into the cross margin; the answer is the position."""
        return self._change(
            "deposit_cross", "POST", f"{_PATH}/deposit", read.position, timestamp_ms, {"amount": amount}
        )

    def withdraw_cross(self, amount: int, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Move ``amount`` sats from the cross margin back to the balance; the answer is the position."""
        return self._change(
            "withdraw_cross", "POST", f"{_PATH}/withdraw", read.position, timestamp_ms, {"amount": amount}
        )
