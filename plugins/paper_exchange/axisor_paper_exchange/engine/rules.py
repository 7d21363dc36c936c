"""What the exchange allows: ranges, stop loss, take profit."""

from __future__ import annotations

from decimal import Decimal

from axisor_paper_exchange.engine.arithmetic import MAX_PRICE, usd
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import NewTrade, Trade

__all__ = [
    "MAX_LEVERAGE",
    "MAX_QUANTITY",
    "MAX_TRAILING",
    "MIN_LEVERAGE",
    "MIN_QUANTITY",
    "MIN_TRAILING",
    "check_order",
    "check_quantity",
    "check_stoploss",
    "check_takeprofit",
    "require_change",
    "require_state",
]

MIN_QUANTITY, MAX_QUANTITY = 1, 500_000
MIN_LEVERAGE, MAX_LEVERAGE = 1, 100
MIN_TRAILING, MAX_TRAILING = Decimal("0.001"), Decimal(10)
_LONGEST_CLIENT_ID = 64


def check_order(order: NewTrade) -> None:
    """Refuse an order whose own values are out of range, whatever the market and the account."""
    if (order.quantity is None) == (order.margin is None):
        raise _invalid("Exactly one of quantity or margin must be set", "quantity")
    if not MIN_LEVERAGE <= order.leverage <= MAX_LEVERAGE:
        raise _invalid(f"Leverage must be between {MIN_LEVERAGE} and {MAX_LEVERAGE}", "leverage")
    if order.margin is not None and order.margin < 1:
        raise _invalid("Margin must be at least 1", "margin")
    if order.quantity is not None:
        check_quantity(order.quantity)
    if order.price is not None and not 0 < order.price <= MAX_PRICE:
        raise _invalid("Price is out of range", "price")
    if order.client_id is not None and not 1 <= len(order.client_id) <= _LONGEST_CLIENT_ID:
        raise _invalid(f"clientId must have 1 to {_LONGEST_CLIENT_ID} characters", "clientId")


def check_quantity(quantity: int) -> None:
    """Refuse a quantity (USD) outside what the exchange trades."""
    if not MIN_QUANTITY <= quantity <= MAX_QUANTITY:
        raise _invalid(f"Quantity must be between {MIN_QUANTITY} and {MAX_QUANTITY}", "quantity")


def check_stoploss(side: int, stoploss: int, *, liquidation: int, below: int, takeprofit: int) -> None:
    """Refuse a stop loss that is not between the liquidation price and the market (and the take profit).

    Prices in ticks. `below` is the price that a long's stop loss must stay below, a short's above.
    """
    if side * stoploss < side * liquidation:
        word = "below" if side > 0 else "above"
        raise _refused(f"Stoploss must not be {word} the liquidation price", stoploss, liquidation)
    word = "below" if side > 0 else "above"
    if side * stoploss >= side * below:
        raise _refused(f"Stoploss must be {word} the price", stoploss, below)
    if takeprofit and side * stoploss >= side * takeprofit:
        raise _refused(f"Stoploss must be {word} the takeprofit", stoploss, takeprofit)


def check_takeprofit(side: int, takeprofit: int, *prices: int) -> None:
    """Refuse a take profit that is not beyond all of `prices` (ticks) in the trade's favour."""
    for price in prices:
        if side * takeprofit <= side * price:
            word = "above" if side > 0 else "below"
            raise _refused(f"Takeprofit must be {word} the price", takeprofit, price)


def require_state(trade: Trade, *states: str) -> None:
    """Refuse a command that the trade's state does not allow."""
    if trade.state not in states:
        raise Rejected(
            f"Trade is {trade.state}, not {' or '.join(states)}",
            code=f"TRADE_NOT_{states[0].upper()}",
            details={"state": trade.state},
        )


def require_change(what: str, *, changed: bool) -> None:
    """Refuse to set a stop loss or take profit to the value that it has."""
    if not changed:
        raise Rejected(f"{what} is the same as the previous one", code=f"SAME_{what.upper()}")


def _invalid(message: str, field: str) -> Rejected:
    return Rejected(message, code="VALIDATION_ERROR", details={"field": field})


def _refused(message: str, value: int, bound: int) -> Rejected:
    return Rejected(message, code="INVALID_PRICE", details={"value": float(usd(value)), "bound": float(usd(bound))})
