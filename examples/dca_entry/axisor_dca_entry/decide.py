"""The decision: is it time, is the price right, and does the budget of these seven days allow one more."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from axisor_dca_entry import rules
from axisor_dca_entry.config import DcaEntryConfig
from axisor_executor import arithmetic
from axisor_executor.automation import AccountContext, Decision, OpenPosition, OwnEntry, Wait, act, wait
from axisor_executor.errors import Refused, StaleData

Context = AccountContext[DcaEntryConfig]


def decide(context: Context) -> Decision:
    """Wait for a free place, the price and the budget, then buy.

    Raises:
        Refused: ``insufficient_balance``.
        StaleData: the price can't be right, or what an earlier entry took can't be told (``entry_unknown``).
    """
    config = context.config
    waiting = _no_place(context)
    if waiting is not None:
        return waiting
    price = context.price()
    entries = context.own_entries(context.now - rules.WEEK)
    waiting = _not_now(context, price, entries) or _over_budget(config, price, entries)
    if waiting is not None:
        return waiting
    _check_balance(context, price)
    order = OpenPosition(side="buy", quantity=config.quantity, leverage=config.leverage, reference_price=price)
    facts = {
        "side": "b",
        "quantity": config.quantity,
        "leverage": config.leverage,
        "boughtInWeek": rules.spent_usd(entries) + config.quantity,
    }
    return act(order, name="dca_entry_executed", facts=facts)


def _no_place(context: Context) -> Wait | None:
    most = context.config.max_open_trades
    if most is None:
        return None
    taken = len(context.own_trades())
    return wait("max_open_trades_reached", openTrades=taken, maxOpenTrades=most) if taken >= most else None


def _not_now(context: Context, price: Decimal, entries: Sequence[OwnEntry]) -> Wait | None:
    config = context.config
    if config.below_price is not None and price > config.below_price:
        return wait("price_not_triggered", currentPrice=price, triggerPrice=config.below_price)
    if not entries:
        return None
    last = entries[0]
    if config.min_hours_between is not None and rules.too_soon(context.now, last.sent_at, config.min_hours_between):
        return wait("too_soon", lastEntryAt=last.sent_at.isoformat(), minHoursBetween=config.min_hours_between)
    if config.drop_percent is None:
        return None
    last_price = rules.price_of(last)
    if last_price is None:
        raise _unknown(last)
    if rules.dropped_enough(price, last_price, config.drop_percent):
        return None
    return wait("price_not_dropped", currentPrice=price, lastEntryPrice=last_price, dropPercent=config.drop_percent)


def _over_budget(config: DcaEntryConfig, price: Decimal, entries: Sequence[OwnEntry]) -> Wait | None:
    bought = rules.spent_usd(entries)
    if config.weekly_budget_usd is not None and bought + config.quantity > config.weekly_budget_usd:
        return wait("weekly_budget_reached", boughtInWeek=bought, weeklyBudgetUsd=config.weekly_budget_usd)
    if config.weekly_budget_sats is None:
        return None
    spent = rules.spent_sats(entries)
    if spent is None:
        raise _unknown(next(entry for entry in entries if rules.margin_of(entry) is None))
    if spent + arithmetic.margin(config.quantity, price, config.leverage) > config.weekly_budget_sats:
        return wait("weekly_budget_reached", marginInWeek=spent, weeklyBudgetSats=config.weekly_budget_sats)
    return None


def _unknown(entry: OwnEntry) -> StaleData:
    return StaleData(
        f"What the entry of {entry.sent_at.isoformat()} took can't be told yet: nothing more is bought",
        code="entry_unknown",
    )


def _check_balance(context: Context, price: Decimal) -> None:
    config = context.config
    required = arithmetic.entry_cost("buy", config.quantity, price, config.leverage)
    available = context.balance()
    if required > available:
        raise Refused(
            f"Buying {config.quantity} USD at {config.leverage}x takes up to {required} sats (margin and fees), the"
            f" balance of account {context.account.name} is {available}",
            code="insufficient_balance",
            details={"required": required, "available": available},
        )
