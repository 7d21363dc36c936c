"""TP/SL: sets a trade's take profit or stop loss, or closes it, when its conditions hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, AutomationHandler, Decision, Lane
from axisor_executor.hookspecs import hookimpl
from axisor_tp_sl.config import TpSlConfig
from axisor_tp_sl.decide import decide

__all__ = ["TpSl", "TpSlConfig"]

axisor_hook_api = "1.0"


class TpSl(AutomationHandler[TpSlConfig]):
    """Acts on the trade that the job names, or on the one running trade.

    An update sets its value whenever its conditions hold, also where the present one is tighter: see the README before
    a scheduler polls one.
    """

    type = "tp_sl"
    title = "TP/SL"
    actions: ClassVar[Mapping[str, Lane]] = {
        "update_tp": "default",
        "update_sl": "protect",
        "close_tp": "protect",
        "close_sl": "protect",
    }
    config_model = TpSlConfig

    def decide(self, context: AccountContext[TpSlConfig]) -> Decision:
        """Wait for the conditions, then update or close; see the README for every outcome."""
        return decide(context)


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``tp_sl``."""
    register(TpSl())
