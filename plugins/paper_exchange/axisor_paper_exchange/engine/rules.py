"""What the exchange allows: ranges, stop loss, take profit."""

from __future__ import annotations

from decimal import Decimal

from axisor_paper_exchange.engine.arithmetic import MAX_PRICE, usd
from axisor_paper_exchange.engine.cross import CrossOrder, NewCrossOrder
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import NewTrade, Trade

__all__ = [
    "MAX_LEVERAGE",
    "MAX_QUANTITY",
    "MAX_TRAILING",
    "MIN_LEVERAGE",
    "MIN_QUANTITY",
    "MIN_TRAILING",
    "check_amount",
    "check_cross_leverage",
    "check_cross_order",
    "check_cross_size",
    "check_order",
    "check_quantity",
    "check_stoploss",
    "check_takeprofit",
    "check_trailing",
    "require_change",
    "require_open",
    "require_state",
]

MIN_QUANTITY, MAX_QUANTITY = 1, 500_000
MIN_LEVERAGE, MAX_LEVERAGE = 1, 100
MIN_TRAILING, MAX_TRAILING = Decimal("0.001"), Decimal(10)
_LONGEST_CLIENT_ID = 64
_CROSS_SIZE_AT_MIN, _CROSS_SIZE_AT_MAX, _CROSS_SIZE_STEP = 15_000_000, 10_000_000, 5


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
    if order.trailing_stoploss:
        check_trailing(order.trailing_stoploss, "stoploss")
    _check_limit(order.price)
    _check_client_id(order.client_id)


def check_cross_order(order: NewCrossOrder) -> None:
    """Refuse a cross order whose own values are out of range, whatever the market and the account."""
    check_quantity(order.quantity)
    _check_limit(order.price)
    _check_client_id(order.client_id)


def check_cross_leverage(leverage: int) -> None:
    """Refuse a leverage that a cross position can't have."""
    if not MIN_LEVERAGE <= leverage <= MAX_LEVERAGE:
        raise _invalid(f"Leverage must be between {MIN_LEVERAGE} and {MAX_LEVERAGE}", "leverage")


def check_cross_size(size: int, leverage: int) -> None:
    """Refuse a cross position (USD) that is too large for its leverage.

    The limit falls evenly from 15 000 000 USD at 1 to 10 000 000 at 100, in steps of 5 USD, as the Rust SDK has it.
    """
    span = MAX_LEVERAGE - MIN_LEVERAGE
    highest = _CROSS_SIZE_AT_MIN * span - (leverage - MIN_LEVERAGE) * (_CROSS_SIZE_AT_MIN - _CROSS_SIZE_AT_MAX)
    limit = -(-highest // (span * _CROSS_SIZE_STEP)) * _CROSS_SIZE_STEP
    if size > limit:
        raise Rejected(
            "The position would be too large for its leverage",
            code="POSITION_TOO_LARGE",
            details={"quantity": size, "limit": limit},
        )


def check_amount(amount: int) -> None:
    """Refuse to move less than a sat."""
    if amount < 1:
        raise _invalid("amount must be at least 1", "amount")


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


def check_trailing(distance: Decimal, field: str) -> None:
    """Refuse a distance, as a fraction of the price, that a trailing stop loss can't have."""
    if not MIN_TRAILING <= distance <= MAX_TRAILING:
        raise _invalid(f"Trailing distance must be between {MIN_TRAILING} and {MAX_TRAILING}", field)


def require_state(trade: Trade, *states: str) -> None:
    """Refuse a command that the trade's state does not allow."""
    if trade.state not in states:
        raise Rejected(
            f"Trade is {trade.state}, not {' or '.join(states)}",
            code=f"TRADE_NOT_{states[0].upper()}",
            details={"state": trade.state},
        )


def require_open(order: CrossOrder) -> None:
    """Refuse to cancel what is not open."""
    if order.state != "open":
        raise Rejected(f"Order is {order.state}, not open", code="ORDER_NOT_OPEN", details={"state": order.state})


def require_change(what: str, *, changed: bool) -> None:
    """Refuse to set a stop loss or take profit to the value that it has."""
    if not changed:
        raise Rejected(f"{what} is the same as the previous one", code=f"SAME_{what.upper()}")


def _check_limit(price: int | None) -> None:
    if price is not None and not 0 < price <= MAX_PRICE:
        raise _invalid("Price is out of range", "price")


def _check_client_id(client_id: str | None) -> None:
    if client_id is not None and not 1 <= len(client_id) <= _LONGEST_CLIENT_ID:
        raise _invalid(f"clientId must have 1 to {_LONGEST_CLIENT_ID} characters", "clientId")


def _invalid(message: str, field: str) -> Rejected:
    return Rejected(message, code="VALIDATION_ERROR", details={"field": field})


def _refused(message: str, value: int, bound: int) -> Rejected:
    return Rejected(message, code="INVALID_PRICE", details={"value": float(usd(value)), "bound": float(usd(bound))})
