"""What to do with one trade: the group of actions that closes it, reduces it or adds margin to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import AddMargin, ClosePosition, Group
from axisor_executor.automation.reducing import remainder
from axisor_executor.errors import Refused, StaleData
from axisor_executor.exchange.base import Side, Trade
from axisor_margin_guard import rules
from axisor_margin_guard.config import MarginGuardConfig


@dataclass(frozen=True, slots=True)
class Planned:
    """A group, and how many sats of the balance it may use up."""

    group: Group
    spends: int = 0


@dataclass(frozen=True, slots=True)
class Risk:
    """Whether a trade is at risk, and from which price on (USD per BTC)."""

    at_risk: bool
    facts: Mapping[str, Any]


def assess(trade: Trade, price: Decimal, threshold: Decimal) -> Risk:
    """Return how a running trade stands at ``price``.

    Raises:
        StaleData: entry or liquidation can't be right; the trade is never taken for safe.
    """
    try:
        return risk(trade.side, rules.entry_price(trade), trade.liquidation, price, threshold)
    except ValueError as problem:
        raise StaleData(
            f"Trade {trade.id}: {problem}", code="liquidation_invalid", details={"tradeId": trade.id}
        ) from None


def risk(side: Side, entry: Decimal, liquidation: Decimal, price: Decimal, threshold: Decimal) -> Risk:
    """Return how what was entered and is liquidated at these prices stands at ``price``.

    Raises:
        ValueError: entry or liquidation can't be right.
    """
    trigger = rules.trigger_price(side, entry, liquidation, threshold)
    facts = {
        "currentPrice": price,
        "triggerPrice": trigger,
        "entryPrice": entry,
        "liquidation": liquidation,
        "marginThreshold": threshold,
    }
    return Risk(rules.is_at_risk(side, price, trigger), facts)


def needs_balance(config: MarginGuardConfig) -> bool:
    """Whether the action may take sats from the balance."""
    return config.action != "close_position"


def needs_price(config: MarginGuardConfig) -> bool:
    """Whether a decision needs the last price (a close at once must not fail for want of it)."""
    return config.action == "reduce_position" or config.margin_threshold is not None


def plan(trade: Trade, config: MarginGuardConfig, price: Decimal | None, available: int) -> Planned:
    """Return the config's action for one running trade; ``available`` sats of the balance are left for it.

    Raises:
        Refused: see :func:`add_margin` and :func:`reduce`.
        StaleData: the trade has values that no real one has (a take profit of 0.3), code ``trade_invalid``.
    """
    try:
        if config.action == "add_margin":
            assert config.add_margin_amount is not None  # the config's validation
            return add_margin(trade, config.add_margin_amount, available)
        if config.action == "reduce_position":
            assert price is not None  # needs_price
            return reduce(trade, config, price, available)
        return close(trade)
    except (ValueError, ArithmeticError) as error:
        raise StaleData(f"Trade {trade.id}: {error}", code="trade_invalid", details={"tradeId": trade.id}) from None


def close(trade: Trade, **facts: Any) -> Planned:
    """Return the closing of a running trade."""
    return Planned(Group("close_position", (ClosePosition(trade.id),), trade.id, facts=facts))


def add_margin(trade: Trade, amount: int, available: int) -> Planned:
    """Return the adding of ``amount`` sats, of which ``available`` are in the balance.

    Raises:
        Refused: ``leverage_below_one`` (the margin would exceed what the trade is worth) or
            ``insufficient_balance``.
    """
    entry = rules.entry_price(trade)
    most = max(arithmetic.max_margin(trade.quantity, entry) - trade.margin, 0)
    if amount > most:
        raise Refused(
            f"Trade {trade.id}: adding {amount} sats would bring its leverage below 1; it takes {most} at most",
            code="leverage_below_one",
            details={"tradeId": trade.id, "amount": amount, "maxAmount": most},
        )
    if amount > available:
        raise Refused(
            f"Trade {trade.id}: the balance left for it is {available} sats, adding margin takes {amount}",
            code="insufficient_balance",
            details={"tradeId": trade.id, "required": amount, "available": available},
        )
    facts = {"addedMargin": amount, "margin": trade.margin + amount}
    return Planned(Group("add_margin", (AddMargin(trade.id, amount),), trade.id, facts=facts), spends=amount)


def reduce(trade: Trade, config: MarginGuardConfig, price: Decimal, available: int) -> Planned:
    """Return the reduction: close and reopen the remainder as one group, or close alone.

    Closed alone when less than 1 USD would remain, and, with ``if_unaffordable: close``, when the remainder could not
    be paid for somewhere within the slippage that is allowed: once closed, a reopen within its bound must never
    fail for lack of balance.

    Raises:
        Refused: ``reduce_unaffordable``; with ``if_unaffordable: refuse``, before anything was closed.
    """
    assert config.reduce_percentage is not None
    reduced = rules.reduced_quantity(trade.quantity, config.reduce_percentage)
    remaining = trade.quantity - reduced
    if remaining < arithmetic.MIN_QUANTITY:
        return _close_instead(trade, "remainder_below_1_usd")
    rest = remainder(trade, remaining, price, config.max_reopen_slippage_percent)
    if not rest.is_affordable(available):
        if config.if_unaffordable == "close":
            return _close_instead(trade, "reduce_unaffordable", **rest.money(available))
        raise rest.unaffordable(available)
    group = Group("reduce_position", rest.actions, trade.id, facts=rest.facts)
    return Planned(group, spends=rest.at_worst.shortfall)


def _close_instead(trade: Trade, reason: str, **money: int) -> Planned:
    """Return the whole closing of a trade that was to be reduced."""
    return close(
        trade, reason=reason, oldTradeId=trade.id, reducedQuantity=trade.quantity, remainingQuantity=0, **money
    )
