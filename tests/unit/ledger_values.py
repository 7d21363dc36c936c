"""Ledger rows as plain values."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from axisor_executor.automation import Action
from axisor_executor.storage.actions import ActionStatus, LedgerAction
from axisor_executor.storage.executions import Execution

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_action(action: Action, status: ActionStatus = "confirmed", **given: Any) -> LedgerAction:
    """Return an action of the ledger; what is not given is the first step of the first plan's first group."""
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(LedgerAction)}
    values |= {"execution_id": "execution-1", "automation_id": "automation-1", "account_id": "account-1"}
    values |= {"seq": 1, "plan_version": 1, "group_index": 0, "step_index": 0, "created_at": NOW}
    return LedgerAction(**{**values, "action": action, "status": status, **given})


def make_execution(**given: Any) -> Execution:
    """Return an execution that runs."""
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(Execution)}
    values |= {"id": "execution-1", "user_id": "user-1", "automation_id": "automation-1", "account_id": "account-1"}
    values |= {"account_name": "Main Account", "lane": "default", "job": {}, "status": "running", "created_at": NOW}
    values |= {name: 0 for name in ("tries", "looks", "plan_version", "fence", "crashes") if name in values}
    return Execution(**{**values, **given})
