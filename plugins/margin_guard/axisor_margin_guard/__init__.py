"""Margin Guard: closes, reduces or tops up a trade before it is liquidated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, Act, AutomationHandler, Decision, Lane, act, wait
from axisor_executor.errors import Refused
from axisor_executor.exchange.base import Trade
from axisor_executor.hookspecs import hookimpl
from axisor_margin_guard import plan
from axisor_margin_guard.config import MarginGuardConfig
from axisor_margin_guard.scan import scan

__all__ = ["MarginGuard", "MarginGuardConfig"]


class MarginGuard(AutomationHandler[MarginGuardConfig]):
    """Guards the job's trade, or with a ``scope`` every running trade in it."""

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
        """Decide about one trade or a whole scope; see the README for every outcome."""
        return guard(context) if context.config.scope is None else scan(context)


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
