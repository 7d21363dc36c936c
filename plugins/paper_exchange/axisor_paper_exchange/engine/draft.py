"""From an order to the trade that it would be."""

from __future__ import annotations

from decimal import Decimal

from axisor_paper_exchange.engine import arithmetic, rules
from axisor_paper_exchange.engine.account import Account
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import NewTrade, Trade

__all__ = ["check_exits", "draft"]


def draft(
    order: NewTrade,
    account: Account,
    *,
    price: int,
    at: int,
    fee_rate: Decimal,
) -> Trade:
    """Return the trade that an order at `price` (ticks) would be; it is not placed, and has neither id nor number.

    The maintenance margin holds the opening fee and the fee of closing at the liquidation price.
    """
    quantity, margin = _size(order, price)
    backing = arithmetic.liquidation_margin(quantity, price, order.leverage)
    liquidation = arithmetic.liquidation(order.side, quantity, price, backing)
    trailing = order.trailing_stoploss
    reserve = arithmetic.fee(quantity, price, fee_rate) + arithmetic.fee(quantity, liquidation, fee_rate)
    return Trade(
        id="",
        number=0,
        account=account,
        limit=order.price is not None,
        side=order.side,
        quantity=quantity,
        margin=margin,
        entry_margin=margin,
        leverage=order.leverage,
        price=price,
        liquidation=liquidation,
        maintenance_margin=reserve,
        fee_rate=fee_rate,
        created_at=at,
        client_id=order.client_id,
        stoploss=arithmetic.trailing_level(order.side, price, trailing) if trailing else order.stoploss,
        stoploss_trailing_distance=trailing,
        takeprofit=order.takeprofit,
    )


def check_exits(trade: Trade, *, last: int, fills: bool) -> None:
    """Refuse a trade whose stop loss, take profit or liquidation is on the wrong side.

    Of its own price, and of the last price (ticks) too when it is filled at once.
    """
    side = trade.side
    prices = (trade.price, last) if fills else (trade.price,)
    if fills and side * trade.liquidation >= side * last:
        raise Rejected("The trade would be liquidated at once", code="INVALID_LIQUIDATION")
    if trade.takeprofit:
        rules.check_takeprofit(side, trade.takeprofit, *prices)
    if trade.stoploss or trade.stoploss_trailing_distance:
        nearest = min(prices, key=lambda price: side * price)
        rules.check_stoploss(
            side, trade.stoploss, liquidation=trade.liquidation, below=nearest, takeprofit=trade.takeprofit
        )


def _size(order: NewTrade, price: int) -> tuple[int, int]:
    """Return quantity (USD) and margin (sats): one is given, the other follows."""
    if order.quantity is not None:
        return order.quantity, arithmetic.margin_for(order.quantity, price, order.leverage)
    assert order.margin is not None
    quantity = arithmetic.quantity_for(order.margin, price, order.leverage)
    rules.check_quantity(quantity)
    return quantity, order.margin
