"""What an action would cost at a price, in sats. Pure; the formulas are those of :mod:`axisor_executor.arithmetic`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from axisor_executor import arithmetic
from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.exchange.base import CrossPosition, Trade


@dataclass(frozen=True, slots=True)
class Cost:
    """What an action would cost, in whole sats; ``None`` for what can't be told.

    Attributes:
        fees: trading fees at once, on the first tier: the most that they can be at this price.
        margin: what it would bind as margin; below 0: what it would free.
        pl: the P&L that it would realise.
        from_balance: the most that it would take from the balance, fees and reserves included; below 0: the least
            that it would give back. What is done to a cross position moves the cross wallet and not the balance.
        liquidation: where the trade would be liquidated afterwards, in USD per BTC.
    """

    fees: int | None = 0
    margin: int | None = 0
    pl: int | None = None
    from_balance: int | None = 0
    liquidation: Decimal | None = None


UNKNOWN = Cost(fees=None, margin=None, from_balance=None)


def cost_of(action: Action, price: Decimal, trades: Mapping[str, Trade], cross: CrossPosition | None) -> Cost:
    """Return what ``action`` would cost if the market were at ``price`` (USD per BTC).

    Args:
        action: a command as a handler has planned it.
        price: the last price.
        trades: the account's trades by id, the one that is changed among them.
        cross: the cross position, where the action is about it.
    """
    trade = trades.get(action.target or "")
    match action:
        case OpenPosition():
            return _entry(action, price)
        case CloseCrossPosition(held=held):
            return _from_cross(held, price, cross)
        case ReduceCrossPosition(quantity=quantity):
            return _from_cross(quantity, price, cross)
        case SetTakeProfit() | SetStopLoss():
            return Cost()
        case CashIn(amount=amount):
            return Cost(margin=None, from_balance=-amount)
        case AddMargin(amount=amount):
            after = None if trade is None else _liquidation(trade, trade.margin + amount)
            return Cost(margin=amount, from_balance=amount, liquidation=after)
        case ClosePosition() if trade is not None:
            return _close(trade, price)
        case CancelOrder() if trade is not None:
            return Cost(margin=-trade.margin, from_balance=-trade.margin)
    return UNKNOWN


def _entry(action: OpenPosition, price: Decimal) -> Cost:
    # Sats for a quantity in USD: dearest at the lower of the prices that it may start from.
    start = price if action.price is None else min(action.price, price) if _crosses(action, price) else action.price
    side, quantity, leverage = action.side, action.quantity, action.leverage
    return Cost(
        fees=arithmetic.trading_fee(quantity, start),
        margin=arithmetic.margin(quantity, start, leverage),
        from_balance=arithmetic.entry_cost(side, quantity, start, leverage),
        liquidation=arithmetic.liquidation(side, quantity, start, leverage),
    )


def _crosses(action: OpenPosition, price: Decimal) -> bool:
    """Whether a limit order is as good as the market already, so that it may fill at either price."""
    assert action.price is not None
    return action.price >= price if action.side == "buy" else action.price <= price


def _close(trade: Trade, price: Decimal) -> Cost:
    pl = arithmetic.pl(trade.side, trade.quantity, trade.entry_price or trade.price, price)
    return Cost(
        fees=arithmetic.trading_fee(trade.quantity, price),
        margin=-trade.margin,
        pl=pl,
        from_balance=-arithmetic.closing_proceeds(trade.quantity, price, trade.margin, pl),
    )


def _from_cross(quantity: int, price: Decimal, cross: CrossPosition | None) -> Cost:
    fees = arithmetic.trading_fee(quantity, price)
    if cross is None or cross.side is None or cross.entry_price is None:
        return Cost(fees=fees, margin=None)
    freed = cross.running_margin * quantity // abs(cross.quantity)
    return Cost(fees=fees, margin=-freed, pl=arithmetic.pl(cross.side, quantity, cross.entry_price, price))


def _liquidation(trade: Trade, margin: int) -> Decimal:
    return arithmetic.liquidation_for_margin(trade.side, trade.quantity, trade.entry_price or trade.price, margin)
