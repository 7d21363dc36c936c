"""What a plugin author imports: the handler base, the context, decisions and actions.

The base of config models refuses unknown keys; prices are Decimals, sats and USD quantities ints, percentages percent.
"""

from axisor_executor.automation.actions import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
    action_from_dict,
)
from axisor_executor.automation.context import AccountContext, AccountInfo, AutomationInfo, JobInfo, OwnEntry, Reads
from axisor_executor.automation.decisions import Act, Decision, Group, Wait, act, jsonable, wait
from axisor_executor.automation.fields import Number, Price, Whole
from axisor_executor.automation.handler import AutomationConfig, AutomationHandler, Lane, SpendGuards

__all__ = [
    # handlers
    "AutomationConfig",
    "AutomationHandler",
    "Lane",
    "SpendGuards",
    # config fields
    "Number",
    "Price",
    "Whole",
    # context
    "AccountContext",
    "AccountInfo",
    "AutomationInfo",
    "JobInfo",
    "OwnEntry",
    "Reads",
    # decisions
    "Act",
    "Decision",
    "Group",
    "Wait",
    "act",
    "wait",
    "jsonable",
    # actions
    "Action",
    "AddMargin",
    "CancelOrder",
    "CashIn",
    "CloseCrossPosition",
    "ClosePosition",
    "OpenPosition",
    "ReduceCrossPosition",
    "SetStopLoss",
    "SetTakeProfit",
    "action_from_dict",
]
