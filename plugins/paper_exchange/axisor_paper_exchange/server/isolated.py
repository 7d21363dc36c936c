"""The endpoints of isolated futures."""

from __future__ import annotations

from decimal import Decimal

from axisor_paper_exchange.engine import History, NewTrade, Trade
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.orders import limit_of, side_of
from axisor_paper_exchange.server.paging import page
from axisor_paper_exchange.server.shapes import price_json, trade_json

__all__ = ["order_of", "routes"]


def new_trade(call: Call) -> Answer:
    """Place a market or limit order."""
    trade = call.exchange.place(call.account, order_of(call.body()), call.at)
    call.effect("open", trade, amount=trade.margin, value=price_json(trade.price))
    return _shown(call, trade)


def close(call: Call) -> Answer:
    """Close a running trade."""
    trade = call.exchange.close(call.account, call.body().trade_id(), call.at)
    call.effect("close", trade, amount=trade.realized, value=price_json(trade.exit_price))
    return _shown(call, trade)


def cancel(call: Call) -> Answer:
    """Cancel an open order."""
    trade = call.exchange.cancel(call.account, call.body().trade_id(), call.at)
    call.effect("cancel", trade)
    return _shown(call, trade)


def cancel_all(call: Call) -> Answer:
    """Cancel all open orders."""
    trades = call.exchange.cancel_all(call.account, call.at)
    for trade in trades:
        call.effect("cancel", trade)
    return _listed(call, trades)


def add_margin(call: Call) -> Answer:
    """Move sats from the balance into a running trade."""
    fields = call.body()
    amount = fields.amount()
    trade = call.exchange.add_margin(call.account, fields.trade_id(), amount, call.at)
    call.effect("add_margin", trade, amount=amount)
    return _shown(call, trade)


def cash_in(call: Call) -> Answer:
    """Take sats out of a running trade."""
    fields = call.body()
    amount = fields.amount()
    trade = call.exchange.cash_in(call.account, fields.trade_id(), amount, call.at)
    call.effect("cash_in", trade, amount=amount)
    return _shown(call, trade)


def set_takeprofit(call: Call) -> Answer:
    """Set the take profit, or remove it with 0."""
    fields = call.body()
    if "value" not in fields:
        raise invalid("value", "is required")
    value = fields.exit_price("value")
    trade = call.exchange.set_takeprofit(call.account, fields.trade_id(), value)
    call.effect("set_takeprofit" if value else "remove_takeprofit", trade, value=price_json(value))
    return _shown(call, trade)


def set_stoploss(call: Call) -> Answer:
    """Set a fixed or trailing stop loss, or remove it with 0."""
    fields = call.body()
    trade_id = fields.trade_id()
    mode = fields.choice("mode", "fixed", "trailing", default="fixed")
    value = fields.decimal("value")
    if value is None:
        raise invalid("value", "is required")
    if mode == "trailing" and value:
        trade = call.exchange.set_trailing_stoploss(call.account, trade_id, value)
    else:
        trade = call.exchange.set_stoploss(call.account, trade_id, fields.exit_price("value"))
    call.effect("set_stoploss" if value else "remove_stoploss", trade, value=float(value))
    return _shown(call, trade)


def remove_takeprofit(call: Call) -> Answer:
    """Remove the take profit."""
    trade = call.exchange.set_takeprofit(call.account, call.query().trade_id(), 0)
    call.effect("remove_takeprofit", trade)
    return _shown(call, trade)


def remove_stoploss(call: Call) -> Answer:
    """Remove the stop loss, trailing or not."""
    trade = call.exchange.set_stoploss(call.account, call.query().trade_id(), 0)
    call.effect("remove_stoploss", trade)
    return _shown(call, trade)


def running(call: Call) -> Answer:
    """List the running trades, newest first."""
    return _listed(call, list(reversed(call.account.running.values())))


def open_trades(call: Call) -> Answer:
    """List the open orders, newest first."""
    return _listed(call, list(reversed(call.account.open.values())))


def closed(call: Call) -> Answer:
    """Return a page of closed trades, last closed first."""
    return _page(call, call.account.closed)


def canceled(call: Call) -> Answer:
    """Return a page of canceled orders, last canceled first."""
    return _page(call, call.account.canceled)


def order_of(fields: Fields) -> NewTrade:
    """Return the order that a body asks for."""
    price = limit_of(fields)
    trailing = fields.choice("stoplossMode", "fixed", "trailing", default="fixed") == "trailing"
    return NewTrade(
        side=side_of(fields),
        leverage=fields.leverage(),
        quantity=fields.whole("quantity"),
        margin=fields.whole("margin"),
        price=price,
        stoploss=0 if trailing else fields.exit_price("stoploss"),
        trailing_stoploss=(fields.decimal("stoploss") if trailing else None) or Decimal(0),
        takeprofit=fields.exit_price("takeprofit"),
        client_id=fields.text("clientId"),
    )


def _shown(call: Call, trade: Trade) -> Answer:
    return ok(trade_json(trade, call.exchange.market.last))


def _listed(call: Call, trades: list[Trade]) -> Answer:
    last = call.exchange.market.last
    return ok([trade_json(trade, last) for trade in trades])


def _page(call: Call, history: History[Trade]) -> Answer:
    last = call.exchange.market.last
    return page(call, history, lambda trade: trade_json(trade, last))


_TRADE = "/futures/isolated/trade"
_TRADES = "/futures/isolated/trades"

routes: Routes = {
    ("POST", _TRADE): Route(new_trade),
    ("POST", f"{_TRADE}/close"): Route(close),
    ("POST", f"{_TRADE}/cancel"): Route(cancel),
    ("POST", f"{_TRADE}/add-margin"): Route(add_margin),
    ("POST", f"{_TRADE}/cash-in"): Route(cash_in),
    ("PUT", f"{_TRADE}/takeprofit"): Route(set_takeprofit),
    ("PUT", f"{_TRADE}/stoploss"): Route(set_stoploss),
    ("DELETE", f"{_TRADE}/takeprofit"): Route(remove_takeprofit),
    ("DELETE", f"{_TRADE}/stoploss"): Route(remove_stoploss),
    ("POST", f"{_TRADES}/cancel-all"): Route(cancel_all),
    ("GET", f"{_TRADES}/running"): Route(running),
    ("GET", f"{_TRADES}/open"): Route(open_trades),
    ("GET", f"{_TRADES}/closed"): Route(closed),
    ("GET", f"{_TRADES}/canceled"): Route(canceled),
}
