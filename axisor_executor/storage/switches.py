"""Switches: pause and reduce-only, for everything, an exchange, an account or an automation."""

from __future__ import annotations

from typing import Literal

from axisor_executor.automation import Action, OpenPosition
from axisor_executor.errors import Held
from axisor_executor.storage.connection import Storage

Scope = Literal["all", "exchange", "account", "automation"]
Mode = Literal["paused", "reduce_only"]
_LOCK = 0x61_78_73_77  # the advisory lock that senders share and a pause takes alone


def share(storage: Storage) -> None:
    """Hold the switches still until the caller's transaction ends (SQLite's writers are alone anyway)."""
    if not storage.is_sqlite:
        storage.run("SELECT pg_advisory_xact_lock_shared(?)", _LOCK)


def check(storage: Storage, action: Action, *, exchange: str, account_id: str, automation_id: str) -> None:
    """Raise where a switch holds this action back.

    Raises:
        Held: code ``paused``, or ``reduce_only`` for an action that adds risk.
    """
    rows = storage.rows(
        "SELECT scope, mode FROM axisor_switches WHERE scope = 'all' OR (scope = 'exchange' AND scope_id = ?) "
        "OR (scope = 'account' AND scope_id = ?) OR (scope = 'automation' AND scope_id = ?)",
        exchange,
        account_id,
        automation_id,
    )
    passes = action.risk_reducing or (isinstance(action, OpenPosition) and action.replaces is not None)
    for scope, mode in rows:
        if mode == "paused" or not passes:
            raise Held(f"{action.kind} is held back: {scope} is {mode}", code=mode, account_id=account_id)
