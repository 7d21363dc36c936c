"""The guard of the account's one cross position, which draws on the whole cross wallet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AccountContext,
    Act,
    CloseCrossPosition,
    Decision,
    Group,
    ReduceCrossPosition,
    wait,
)
from axisor_executor.errors import InvalidJob, StaleData
from axisor_executor.exchange.base import CrossPosition, Side
from axisor_margin_guard import plan, rules
from axisor_margin_guard.config import MarginGuardConfig


def guard_cross(context: AccountContext[MarginGuardConfig]) -> Decision:
    """Decide about the account's cross position.

    Raises:
        InvalidJob: the job names a trade, which would be an isolated one (``trade_id_unexpected``).
        StaleData: price, entry or liquidation can't be right; the position is never taken for safe.
    """
    config = context.config
    if context.job.trade_id is not None:
        raise InvalidJob(
            "a tradeId names an isolated trade, and margin_mode cross guards the account's one cross position;"
            " leave the tradeId out",
            code="trade_id_unexpected",
        )
    position = context.cross_position()
    about = {"tradeId": position.id, "marginMode": "cross"}
    if position.side is None:
        return wait("no_cross_position", action=config.action, **about)
    seen: Mapping[str, Any] = {}
    if config.margin_threshold is not None:
        risk = _assess(position, position.side, context.price(), config.margin_threshold)
        if not risk.at_risk:
            return wait("margin_threshold_not_reached", action=config.action, **about, **risk.facts)
        seen = risk.facts
    group = _plan(position, position.side, config)
    return Act((group,), group.action, facts={"marginMode": "cross", **seen, **group.facts})


def _assess(position: CrossPosition, side: Side, price: Decimal, threshold: Decimal) -> plan.Risk:
    try:
        entry, liquidation = _ends(position, side)
        return plan.risk(side, entry, liquidation, price, threshold)
    except ValueError as problem:
        raise StaleData(
            f"Cross position {position.id}: {problem}",
            code="liquidation_invalid",
            details={"positionId": position.id},
        ) from None


def _ends(position: CrossPosition, side: Side) -> tuple[Decimal, Decimal]:
    """Return entry and liquidation; where the exchange shows no liquidation, only for a short that provably has none.

    What a short can lose is bounded by its worth at entry: a wallet that covers it besides the maintenance margin
    can't be used up. A long always has a liquidation, so that of one without is not known.

    Raises:
        ValueError: one of them is not known.
    """
    entry = position.entry_price
    if entry is None:
        raise ValueError("the exchange shows no entry price")
    if position.liquidation is not None:
        return entry, position.liquidation
    covered = position.margin - position.maintenance_margin
    if side == "sell" and covered >= arithmetic.notional(abs(position.quantity), entry):
        return entry, arithmetic.NO_LIQUIDATION
    raise ValueError("the exchange shows no liquidation price")


def _plan(position: CrossPosition, side: Side, config: MarginGuardConfig) -> Group:
    held = abs(position.quantity)
    close = CloseCrossPosition(position.id, side, held)
    if config.action == "close_position":
        return Group("close_position", (close,), position.id, facts={"side": side, "quantity": held})
    assert config.reduce_percentage is not None  # the config's validation
    reduced = rules.reduced_quantity(held, config.reduce_percentage)
    facts: dict[str, Any] = {"side": side, "reducedQuantity": reduced, "remainingQuantity": held - reduced}
    if held - reduced < arithmetic.MIN_QUANTITY:
        return Group("close_position", (close,), position.id, facts={"reason": "remainder_below_1_usd", **facts})
    orders = tuple(_orders(position, side, reduced))
    if len(orders) > 1:
        facts["orders"] = len(orders)
    return Group("reduce_position", orders, position.id, facts=facts)


def _orders(position: CrossPosition, side: Side, reduced: int) -> Iterator[ReduceCrossPosition]:
    """Yield the order that takes ``reduced`` USD off, or several: the exchange takes no larger one than the largest."""
    held = abs(position.quantity)
    for done in range(0, reduced, arithmetic.MAX_QUANTITY):
        yield ReduceCrossPosition(position.id, side, held - done, min(reduced - done, arithmetic.MAX_QUANTITY))
