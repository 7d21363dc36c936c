"""Switches: pause and reduce-only, for everything, an exchange, an account or an automation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from axisor_executor.automation import Action, OpenPosition
from axisor_executor.errors import Held
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import instant

Scope = Literal["all", "exchange", "account", "automation"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Mode = Literal["paused", "reduce_only"]
MODES: tuple[Mode, ...] = get_args(Mode)
_LOCK = 0x61_78_73_77  # the advisory lock that senders share and a pause takes alone


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch that is set; ``scope_id`` is empty for ``all``."""

    scope: Scope
    scope_id: str
    mode: Mode
    reason: str | None
    created_at: datetime


def put(storage: Storage, scope: Scope, scope_id: str, mode: Mode, reason: str | None) -> Mode | None:
    """Set a switch. Once this has committed, no sender that has not committed ``sending`` before gets past it.

    One that is set already keeps its reason, unless another one is given. Returns the mode that it had.
    """
    with storage.write(durable=True):
        if not storage.is_sqlite:
            storage.run("SET LOCAL lock_timeout = '15s'")  # longer than a frozen sender may hold it
            storage.run("SELECT pg_advisory_xact_lock(?)", _LOCK)
        before = mode_of(storage, scope, scope_id)
        storage.run(
            "INSERT INTO axisor_switches (scope, scope_id, mode, reason, created_at) VALUES (?,?,?,?,{now}) "
            "ON CONFLICT (scope, scope_id) DO UPDATE SET mode = excluded.mode, "
            "reason = COALESCE(excluded.reason, axisor_switches.reason), created_at = excluded.created_at",
            scope,
            scope_id,
            mode,
            reason,
        )
    return before


def remove(storage: Storage, scope: Scope, scope_id: str) -> bool:
    """Take a switch away; what waited for one is due at once. Return whether it was set."""
    with storage.write(durable=True):
        removed = storage.run("DELETE FROM axisor_switches WHERE scope = ? AND scope_id = ?", scope, scope_id)
        if removed:
            storage.run("UPDATE axisor_executions SET due_at = {now} WHERE status = 'waiting' AND wait_for = 'paused'")
    return bool(removed)


def mode_of(storage: Storage, scope: Scope, scope_id: str) -> Mode | None:
    """Return the mode of a switch, ``None`` where it is not set."""
    row = storage.one("SELECT mode FROM axisor_switches WHERE scope = ? AND scope_id = ?", scope, scope_id)
    return row[0] if row else None


def listed(storage: Storage) -> list[Switch]:
    """Return the switches that are set, oldest first."""
    rows = storage.rows("SELECT scope, scope_id, mode, reason, created_at FROM axisor_switches ORDER BY created_at")
    return [Switch(row[0], row[1], row[2], row[3], instant(row[4])) for row in rows]


def held_still(*, is_sqlite: bool) -> str:
    """Return an expression that holds the switches still until the transaction ends (SQLite's writers are alone)."""
    return "1" if is_sqlite else f"pg_advisory_xact_lock_shared({_LOCK})"


def check_pause(storage: Storage, *, exchange: str, account_id: str, automation_id: str) -> None:
    """Raise where the scope is paused, so that nothing is even read for it.

    Raises:
        Held: code ``paused``.
    """
    for scope, mode in _in_scope(storage, exchange, account_id, automation_id):
        if mode == "paused":
            raise Held(f"held back: {scope} is paused", code=mode, account_id=account_id)


def check(storage: Storage, action: Action, *, exchange: str, account_id: str, automation_id: str) -> None:
    """Raise where a switch holds this action back.

    Raises:
        Held: code ``paused``, or ``reduce_only`` for an action that adds risk.
    """
    rows = _in_scope(storage, exchange, account_id, automation_id)
    passes = action.risk_reducing or (isinstance(action, OpenPosition) and action.replaces is not None)
    for scope, mode in rows:
        if mode == "paused" or not passes:
            raise Held(f"{action.kind} is held back: {scope} is {mode}", code=mode, account_id=account_id)


def _in_scope(storage: Storage, exchange: str, account_id: str, automation_id: str) -> list[tuple[str, str]]:
    rows = storage.rows(
        "SELECT scope, mode FROM axisor_switches WHERE scope = 'all' OR (scope = 'exchange' AND scope_id = ?) "
        "OR (scope = 'account' AND scope_id = ?) OR (scope = 'automation' AND scope_id = ?)",
        exchange,
        account_id,
        automation_id,
    )
    return [(row[0], row[1]) for row in rows]
