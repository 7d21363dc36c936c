"""DCA Entry: buys a fixed quantity for each job, within a budget for any seven days."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_dca_entry.config import DcaEntryConfig
from axisor_dca_entry.decide import decide
from axisor_executor.automation import AccountContext, AutomationHandler, Decision, Lane
from axisor_executor.hookspecs import hookimpl

__all__ = ["DcaEntry", "DcaEntryConfig"]

axisor_hook_api = "1.0"


class DcaEntry(AutomationHandler[DcaEntryConfig]):
    """Opens one long for each job whose conditions hold and whose cost is within the budget."""

    type = "dca_entry"
    title = "DCA Entry"
    actions: ClassVar[Mapping[str, Lane]] = {"buy": "default"}
    entries = frozenset({"buy"})
    collapses = True
    config_model = DcaEntryConfig

    def decide(self, context: AccountContext[DcaEntryConfig]) -> Decision:
        """Wait for the conditions and the budget, then buy; see the README for every outcome."""
        return decide(context)


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``dca_entry``."""
    register(DcaEntry())
