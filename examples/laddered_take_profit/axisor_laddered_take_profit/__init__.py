"""Laddered Take Profit: sells a trade in steps as it gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, AutomationHandler, Decision, Lane
from axisor_executor.hookspecs import hookimpl
from axisor_laddered_take_profit.config import LadderedTakeProfitConfig, Rung
from axisor_laddered_take_profit.decide import decide

__all__ = ["LadderedTakeProfit", "LadderedTakeProfitConfig", "Rung"]

axisor_hook_api = "1.0"


class LadderedTakeProfit(AutomationHandler[LadderedTakeProfitConfig]):
    """Reduces the job's trade to what the rungs that the price has reached leave of it."""

    type = "laddered_take_profit"
    title = "Laddered Take Profit"
    actions: ClassVar[Mapping[str, Lane]] = {"take_profit": "protect"}
    collapses = True
    config_model = LadderedTakeProfitConfig

    def decide(self, context: AccountContext[LadderedTakeProfitConfig]) -> Decision:
        """Sell what the reached rungs leave too much; see the README for every outcome."""
        return decide(context)


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``laddered_take_profit``."""
    register(LadderedTakeProfit())
