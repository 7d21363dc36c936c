"""Margin Guard: closes, reduces or tops up a trade before it is liquidated; closes or reduces a cross position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, Act, AutomationHandler, Decision, Lane, act, wait
from axisor_executor.errors import Refused
from axisor_executor.exchange.base import Trade
from axisor_executor.hookspecs import hookimpl
from axisor_margin_guard import plan
from axisor_margin_guard.config import OF_REOPENING, MarginGuardConfig
from axisor_margin_guard.cross import guard_cross
from axisor_margin_guard.scan import scan

__all__ = ["MarginGuard", "MarginGuardConfig"]

axisor_hook_api = "1.0"


class MarginGuard(AutomationHandler[MarginGuardConfig]):
    """Guards the job's trade, with a ``scope`` every running trade in it, or the account's cross position."""

    type = "margin_guard"
    title = "Margin Guard"
    actions: ClassVar[Mapping[str, Lane]] = {
        "close_position": "protect",
        "reduce_position": "protect",
        "add_margin": "protect",
    }
    collapses = True
    config_model = MarginGuardConfig

    def decide(self, context: AccountContext[MarginGuardConfig]) -> Decision:
        """Decide about one trade, a whole scope or the cross position; see the README for every outcome."""
        if context.config.margin_mode == "cross":
            return guard_cross(context)
        return guard(context) if context.config.scope is None else scan(context)

    def parse_config(self, raw: Mapping[str, Any], action: str) -> MarginGuardConfig:
        """Validate as any config; what is about reopening counts as left out with ``margin_mode`` ``cross``."""
        unused = _of_reopening(raw)
        return super().parse_config({key: value for key, value in raw.items() if key not in unused}, action)

    def ignored(self, raw: Mapping[str, Any], action: str | None = None) -> tuple[str, ...]:
        """Return the keys that are accepted but not acted on, those that a cross position has no use for among them."""
        unused = {key for key in _of_reopening(raw) if raw.get(key) is not None}
        return tuple(sorted(unused.union(super().ignored(raw, action))))


def _of_reopening(raw: Mapping[str, Any]) -> frozenset[str]:
    return OF_REOPENING if raw.get("margin_mode") == "cross" else frozenset()


def guard(context: AccountContext[MarginGuardConfig]) -> Decision:
    """Decide about the trade that the job names."""
    config = context.config
    trade = context.trade()
    if trade.state != "running":
        return _not_running(trade, config.action)
    price = context.price() if plan.needs_price(config) else None
    seen: Mapping[str, Any] = {}
    if config.margin_threshold is not None and price is not None:
        risk = plan.assess(trade, price, config.margin_threshold)
        if not risk.at_risk:
            return wait("margin_threshold_not_reached", tradeId=trade.id, action=config.action, **risk.facts)
        seen = risk.facts
    if trade.id in context.cooling_down():
        return wait("cooldown", tradeId=trade.id, cooldownSeconds=config.cooldown_seconds)
    available = context.balance() if plan.needs_balance(config) else 0
    group = plan.plan(trade, config, price, available).group
    return Act((group,), group.action, facts={**seen, **group.facts})


def _not_running(trade: Trade, action: str) -> Act:
    """Report a trade that is over as closed already; refuse whatever else the action can't be done to."""
    if action == "close_position" and trade.state in ("closed", "canceled"):
        return act(name=action, trade_id=trade.id, facts={"alreadyClosed": True, "state": trade.state})
    raise Refused(
        f"Trade {trade.id} is {trade.state}, not running: {action} needs a running trade",
        code="trade_not_running",
        details={"tradeId": trade.id, "state": trade.state},
    )


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``margin_guard``."""
    register(MarginGuard())
