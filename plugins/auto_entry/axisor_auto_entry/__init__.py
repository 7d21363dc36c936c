"""Auto Entry: opens a trade, at once, when its price is reached, or as a limit order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_auto_entry.config import AutoEntryConfig
from axisor_auto_entry.decide import decide
from axisor_executor.automation import AccountContext, AutomationHandler, Decision, Lane
from axisor_executor.hookspecs import hookimpl

__all__ = ["AutoEntry", "AutoEntryConfig"]

axisor_hook_api = "1.0"


class AutoEntry(AutomationHandler[AutoEntryConfig]):
    """Opens one trade for each job whose conditions hold."""

    type = "auto_entry"
    title = "Auto Entry"
    actions: ClassVar[Mapping[str, Lane]] = {"open_position": "default"}
    entries = frozenset({"open_position"})
    config_model = AutoEntryConfig

    def decide(self, context: AccountContext[AutoEntryConfig]) -> Decision:
        """Wait for a free place and the price, then open; see the README for every outcome."""
        return decide(context)


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``auto_entry``."""
    register(AutoEntry())
