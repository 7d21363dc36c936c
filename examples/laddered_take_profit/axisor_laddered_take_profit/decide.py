"""The decision: which rungs are reached, and what do they leave of the trade.

Nothing remembers which rungs were taken. What is held, beside what the trade was opened with, tells: a trade that holds
no more than the reached rungs leave has nothing to sell, however often it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import AccountContext, Act, ClosePosition, Decision, Wait, act, wait
from axisor_executor.automation.reducing import remainder
from axisor_executor.errors import Refused, StaleData
from axisor_executor.exchange.base import Trade
from axisor_laddered_take_profit import rules
from axisor_laddered_take_profit.config import LadderedTakeProfitConfig, Rung

Context = AccountContext[LadderedTakeProfitConfig]
ACTION = "take_profit"


@dataclass(frozen=True, slots=True)
class Step:
    """A rung as it applies to a trade: the price it is reached at (``None``: never), and whether it is."""

    rung: Rung
    place: Fraction | None
    reached: bool


def decide(context: Context) -> Decision:
    """Reduce the job's trade to what the reached rungs leave of it.

    Raises:
        NotFound, InvalidJob: ``trade_not_found``, ``trade_id_missing``.
        Refused: ``trade_not_running``, ``rung_not_in_profit`` or ``reduce_unaffordable``; nothing was closed.
        StaleData: price or trade can't be right, or what it was opened with can't be told.
    """
    trade = context.trade()
    if trade.state != "running":
        return _not_running(trade)
    original = context.original_trade(trade)
    _check(trade, original)
    price = context.price()
    steps = _steps(context.config.rungs, original, price)
    sold = sum((step.rung.sell_percent for step in steps if step.reached), Decimal(0))
    left = rules.quantity_left(original.quantity, sold)
    facts = {
        "currentPrice": price,
        "originalTradeId": original.id,
        "originalQuantity": original.quantity,
        "rungsReached": sum(step.reached for step in steps),
    }
    if trade.quantity <= left:
        return _nothing_to_sell(trade, steps, facts)
    if left == 0:
        facts |= {"oldTradeId": trade.id, "reducedQuantity": trade.quantity, "remainingQuantity": 0}
        return act(ClosePosition(trade.id), name=ACTION, facts=facts)
    return _reduce(context, trade, left, price, facts)


def _reduce(context: Context, trade: Trade, left: int, price: Decimal, facts: dict[str, Any]) -> Act:
    try:
        rest = remainder(trade, left, price, context.config.max_reopen_slippage_percent)
        actions = rest.actions
    except (ValueError, ArithmeticError) as error:
        raise _invalid(trade, str(error)) from None
    available = context.balance()
    if not rest.is_affordable(available):
        raise rest.unaffordable(available)
    return act(*actions, name=ACTION, trade_id=trade.id, facts=facts | rest.facts)


def _not_running(trade: Trade) -> Act:
    if trade.state == "open":
        raise Refused(
            f"Trade {trade.id} is an order that is not filled: there is nothing to sell yet",
            code="trade_not_running",
            details={"tradeId": trade.id, "state": trade.state},
        )
    return act(name=ACTION, trade_id=trade.id, facts={"alreadyClosed": True, "state": trade.state})


def _check(trade: Trade, original: Trade) -> None:
    if original.side != trade.side or trade.quantity > original.quantity:
        raise _invalid(trade, f"it holds {trade.side} {trade.quantity} USD, and began as {original.id}, which was less")
    if trade.quantity <= 0 or _entry(original) <= 0 or original.leverage <= 0:
        raise _invalid(trade, "its quantity, entry price or leverage is not positive")


def _invalid(trade: Trade, problem: str) -> StaleData:
    return StaleData(f"Trade {trade.id}: {problem}", code="trade_invalid", details={"tradeId": trade.id})


def _entry(trade: Trade) -> Decimal:
    return trade.price if trade.entry_price is None else trade.entry_price


def _steps(rungs: Sequence[Rung], original: Trade, price: Decimal) -> list[Step]:
    """Return the rungs at their prices.

    Raises:
        Refused: one would sell at a loss, so it was meant for another trade.
    """
    steps = []
    for rung in rungs:
        if rung.price is not None and not rules.is_in_profit(original.side, _entry(original), rung.price):
            raise Refused(
                f"A rung at {rung.price} takes no profit of trade {original.id}, which was entered at"
                f" {_entry(original)} ({original.side})",
                code="rung_not_in_profit",
                details={"tradeId": original.id},
            )
        place = _place(rung, original)
        steps.append(Step(rung, place, rules.is_reached(original.side, price, place)))
    return steps


def _place(rung: Rung, original: Trade) -> Fraction | None:
    if rung.pnl_percent is None:
        assert rung.price is not None  # the config's validation
        return Fraction(rung.price)
    return rules.price_of_pnl(original.side, _entry(original), _leverage(original), rung.pnl_percent)


def _leverage(original: Trade) -> Decimal | Fraction:
    """Return the leverage by the margin that the trade was opened with, whatever was added to it since.

    Where the exchange does not show that margin, it is the leverage that the trade has now.
    """
    margin = original.entry_margin
    if margin is None or margin <= 0:
        return original.leverage
    return arithmetic.leverage_for_margin(original.quantity, _entry(original), margin)


def _nothing_to_sell(trade: Trade, steps: Sequence[Step], facts: dict[str, Any]) -> Wait:
    """Return what to wait for: the nearest rung that is not reached."""
    places = [step.place for step in steps if not step.reached and step.place is not None]
    if not places:
        return wait("no_rung_left", tradeId=trade.id, **facts)
    nearest = min(places) if trade.side == "buy" else max(places)
    return wait("rung_not_reached", tradeId=trade.id, **facts, nextPrice=rules.shown(trade.side, nearest))
