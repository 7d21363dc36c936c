"""What taking money out of a running trade does to it."""

from __future__ import annotations

from typing import NamedTuple

from axisor_paper_exchange.engine import arithmetic, rules
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import Trade

__all__ = ["CashIn", "check_added_margin", "evaluate"]


class CashIn(NamedTuple):
    """What a cash-in does: sats out of profit and margin, and the position's entry after it (see `Trade`)."""

    from_profit: int
    from_margin: int
    entry_price: int
    cashed_profit: int


def evaluate(trade: Trade, amount: int, last: int) -> CashIn:
    """Return what taking `amount` sats out of a trade does; `last` is the last price in ticks.

    Profit goes first. Raises `Rejected` where the trade could not bear it: its leverage would leave 1 .. 100, or it
    would be liquidated at once.
    """
    profit = max(0, trade.profit_at(last))
    from_profit = min(amount, profit)
    entry, cashed = trade.entry_price, trade.cashed_profit + from_profit
    if from_profit and from_profit == profit:
        # Nothing but a fraction of a sat is left: the position starts over at the market.
        entry, cashed = last, 0
    margin = trade.margin - (amount - from_profit)
    if margin < 1:
        raise Rejected("Not enough margin to cash in", code="INSUFFICIENT_MARGIN", details={"margin": trade.margin})
    cost = arithmetic.cost(trade.side, trade.quantity, entry, cashed)
    _check_leverage(cost, margin, highest=rules.MAX_LEVERAGE)
    liquidation = arithmetic.liquidation(trade.side, trade.quantity, entry, margin, cashed)
    if trade.side * liquidation >= trade.side * last:
        raise Rejected("The trade would be liquidated at once", code="INVALID_LIQUIDATION")
    return CashIn(from_profit, amount - from_profit, entry, cashed)


def check_added_margin(cost: tuple[int, int], margin: int) -> None:
    """Refuse a margin that puts the leverage of a position worth `cost` sats below 1.

    Above 100, where funding may have put it, adding some is still right.
    """
    _check_leverage(cost, margin, highest=None)


def _check_leverage(cost: tuple[int, int], margin: int, *, highest: int | None) -> None:
    numerator, denominator = cost
    too_low = numerator < rules.MIN_LEVERAGE * denominator * margin
    too_high = highest is not None and numerator > highest * denominator * margin
    if too_low or too_high:
        raise Rejected(
            f"Leverage must stay between {rules.MIN_LEVERAGE} and {rules.MAX_LEVERAGE}",
            code="INVALID_LEVERAGE",
            details={"leverage": float(arithmetic.leverage_of(numerator, denominator, margin))},
        )
