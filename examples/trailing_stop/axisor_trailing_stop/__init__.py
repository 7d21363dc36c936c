"""Trailing Stop: moves the stop loss of a trade behind the price, and never back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, AutomationHandler, Decision, Lane
from axisor_executor.hookspecs import hookimpl
from axisor_trailing_stop.config import TrailingStopConfig
from axisor_trailing_stop.decide import decide

__all__ = ["TrailingStop", "TrailingStopConfig"]

axisor_hook_api = "1.0"


class TrailingStop(AutomationHandler[TrailingStopConfig]):
    """Follows the job's trade, or with ``scope`` ``all`` every running trade of the account."""

    type = "trailing_stop"
    title = "Trailing Stop"
    actions: ClassVar[Mapping[str, Lane]] = {"move_stoploss": "protect"}
    collapses = True
    config_model = TrailingStopConfig

    def decide(self, context: AccountContext[TrailingStopConfig]) -> Decision:
        """Move the stop loss where the price has moved far enough; see the README for every outcome."""
        return decide(context)


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``trailing_stop``."""
    register(TrailingStop())
