"""The endpoints of cross futures."""

from __future__ import annotations

from axisor_paper_exchange.engine import CrossOrder, CrossPosition, NewCrossOrder
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.orders import limit_of, side_of
from axisor_paper_exchange.server.paging import page
from axisor_paper_exchange.server.shapes import cross_order_json, cross_position_json, price_json, transfer_json

__all__ = ["order_of", "routes"]


def new_order(call: Call) -> Answer:
    """Place a market or limit order."""
    order = call.exchange.cross.place(call.account, order_of(call.body()), call.at)
    call.effect("cross_order", order, amount=order.realized, value=price_json(order.price))
    return ok(cross_order_json(order))


def close(call: Call) -> Answer:
    """Close the position."""
    order = call.exchange.cross.close(call.account, call.at)
    call.effect("cross_close", order, amount=order.realized, value=price_json(order.price))
    return ok(cross_order_json(order))


def cancel(call: Call) -> Answer:
    """Cancel an open order."""
    order = call.exchange.cross.cancel(call.account, call.body().trade_id(), call.at)
    call.effect("cross_cancel", order)
    return ok(cross_order_json(order))


def cancel_all(call: Call) -> Answer:
    """Cancel all open orders."""
    orders = call.exchange.cross.cancel_all(call.account, call.at)
    for order in orders:
        call.effect("cross_cancel", order)
    return _listed(orders)


def set_leverage(call: Call) -> Answer:
    """Set the leverage."""
    leverage = call.body().whole("leverage")
    if leverage is None:
        raise invalid("leverage", "is required")
    position = call.exchange.cross.set_leverage(call.account, leverage, call.at)
    call.effect("cross_leverage", position, value=leverage)
    return _shown(call, position)


def deposit(call: Call) -> Answer:
    """Move sats from the balance to the wallet."""
    amount = call.body().amount()
    position = call.exchange.cross.deposit(call.account, amount, call.at)
    call.effect("cross_deposit", position, amount=amount)
    return _shown(call, position)


def withdraw(call: Call) -> Answer:
    """Move sats from the wallet to the balance."""
    amount = call.body().amount()
    position = call.exchange.cross.withdraw(call.account, amount, call.at)
    call.effect("cross_withdraw", position, amount=amount)
    return _shown(call, position)


def position(call: Call) -> Answer:
    """Return the position, and the wallet even where there is none."""
    return _shown(call, call.account.cross)


def open_orders(call: Call) -> Answer:
    """List the open orders, newest first."""
    return _listed(list(reversed(call.account.cross.open.values())))


def filled_orders(call: Call) -> Answer:
    """Return a page of filled orders, last filled first."""
    return page(call, call.account.cross.filled, cross_order_json)


def transfers(call: Call) -> Answer:
    """Return a page of deposits (positive) and withdrawals (negative), newest first."""
    return page(call, call.account.cross.transfers, transfer_json)


def order_of(fields: Fields) -> NewCrossOrder:
    """Return the order that a body asks for."""
    price = limit_of(fields)
    quantity = fields.whole("quantity")
    if quantity is None:
        raise invalid("quantity", "is required")
    return NewCrossOrder(
        side=side_of(fields),
        quantity=quantity,
        price=price,
        client_id=fields.text("clientId"),
    )


def _shown(call: Call, shown: CrossPosition) -> Answer:
    return ok(cross_position_json(shown, call.exchange.market.last))


def _listed(orders: list[CrossOrder]) -> Answer:
    return ok([cross_order_json(order) for order in orders])


_CROSS = "/futures/cross"

routes: Routes = {
    ("POST", f"{_CROSS}/order"): Route(new_order),
    ("POST", f"{_CROSS}/order/cancel"): Route(cancel),
    ("POST", f"{_CROSS}/orders/cancel-all"): Route(cancel_all),
    ("GET", f"{_CROSS}/orders/open"): Route(open_orders),
    ("GET", f"{_CROSS}/orders/filled"): Route(filled_orders),
    ("GET", f"{_CROSS}/position"): Route(position),
    ("POST", f"{_CROSS}/position/close"): Route(close),
    ("PUT", f"{_CROSS}/leverage"): Route(set_leverage),
    ("POST", f"{_CROSS}/deposit"): Route(deposit),
    ("POST", f"{_CROSS}/withdraw"): Route(withdraw),
    ("GET", f"{_CROSS}/transfers"): Route(transfers),
}
