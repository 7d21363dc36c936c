"""Executor of trading automations on LN Markets, for people with several exchange accounts.

Importing it is cheap: nothing is configured, connected or loaded before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from axisor_executor.api import enqueue as enqueue
    from axisor_executor.api import execute as execute
    from axisor_executor.api import get_automation_config as get_automation_config
    from axisor_executor.api import get_result as get_result
    from axisor_executor.api import get_user_credentials as get_user_credentials
    from axisor_executor.api import migrate_existing_automations as migrate_existing_automations
    from axisor_executor.api import set_user_credentials as set_user_credentials
    from axisor_executor.automation import AccountContext as AccountContext
    from axisor_executor.automation import Act as Act
    from axisor_executor.automation import AddMargin as AddMargin
    from axisor_executor.automation import AutomationConfig as AutomationConfig
    from axisor_executor.automation import AutomationHandler as AutomationHandler
    from axisor_executor.automation import CancelOrder as CancelOrder
    from axisor_executor.automation import CashIn as CashIn
    from axisor_executor.automation import CloseCrossPosition as CloseCrossPosition
    from axisor_executor.automation import ClosePosition as ClosePosition
    from axisor_executor.automation import Decision as Decision
    from axisor_executor.automation import Group as Group
    from axisor_executor.automation import OpenPosition as OpenPosition
    from axisor_executor.automation import ReduceCrossPosition as ReduceCrossPosition
    from axisor_executor.automation import SetStopLoss as SetStopLoss
    from axisor_executor.automation import SetTakeProfit as SetTakeProfit
    from axisor_executor.automation import Wait as Wait
    from axisor_executor.automation import act as act
    from axisor_executor.automation import wait as wait
    from axisor_executor.credentials import SecureCredentials as SecureCredentials
    from axisor_executor.errors import AxisorError as AxisorError
    from axisor_executor.hookspecs import hookimpl as hookimpl
    from axisor_executor.jobs import Job as Job
    from axisor_executor.runtime import Runtime as Runtime
    from axisor_executor.settings import Settings as Settings

_PUBLIC = {
    "axisor_executor.api": (
        "enqueue",
        "execute",
        "get_automation_config",
        "get_result",
        "get_user_credentials",
        "migrate_existing_automations",
        "set_user_credentials",
    ),
    "axisor_executor.automation": (
        "AccountContext",
        "Act",
        "AddMargin",
        "AutomationConfig",
        "AutomationHandler",
        "CancelOrder",
        "CashIn",
        "CloseCrossPosition",
        "ClosePosition",
        "Decision",
        "Group",
        "OpenPosition",
        "ReduceCrossPosition",
        "SetStopLoss",
        "SetTakeProfit",
        "Wait",
        "act",
        "wait",
    ),
    "axisor_executor.credentials": ("SecureCredentials",),
    "axisor_executor.errors": ("AxisorError",),
    "axisor_executor.hookspecs": ("hookimpl",),
    "axisor_executor.jobs": ("Job",),
    "axisor_executor.runtime": ("Runtime",),
    "axisor_executor.settings": ("Settings",),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "__version__",
    "AccountContext",
    "Act",
    "AddMargin",
    "AutomationConfig",
    "AutomationHandler",
    "AxisorError",
    "CancelOrder",
    "CashIn",
    "CloseCrossPosition",
    "ClosePosition",
    "Decision",
    "Group",
    "Job",
    "OpenPosition",
    "ReduceCrossPosition",
    "Runtime",
    "SecureCredentials",
    "SetStopLoss",
    "SetTakeProfit",
    "Settings",
    "Wait",
    "act",
    "enqueue",
    "execute",
    "get_automation_config",
    "get_result",
    "get_user_credentials",
    "hookimpl",
    "migrate_existing_automations",
    "set_user_credentials",
    "wait",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return list(__all__)
