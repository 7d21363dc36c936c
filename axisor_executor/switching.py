"""Pause and resume: a pause returns once nothing more can leave in its scope, and lists what was already out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from axisor_executor.errors import InvalidJob, NotFound
from axisor_executor.observe.logs import say
from axisor_executor.storage import account_rows, accounts, history, switches
from axisor_executor.storage.accounts import id_text
from axisor_executor.storage.actions import ActionStatus
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.history import Out
from axisor_executor.storage.switches import MODES, SCOPES, Mode, Scope

_POLL_SECONDS = 0.05
CLOCK_TOLERANCE_SECONDS = 5.0
"""How far the clock that signs may be off (AXISOR_MAX_CLOCK_SKEW_SECONDS is the limit for sending)."""
_SENDING: tuple[ActionStatus, ...] = ("sending",)


@dataclass(frozen=True, slots=True)
class Paused:
    """What a pause found: actions whose request had left before (or may have), with what became of them since.

    ``scope_id``: the id of what is paused, as its row has it. ``before``: the mode of the switch that was set already.
    """

    already_out: tuple[Out, ...]
    scope_id: str = ""
    before: Mode | None = None


def pause(
    storage: Storage,
    scope: Scope,
    scope_id: str | UUID = "",
    *,
    mode: Mode = "paused",
    reason: str | None = None,
    window_seconds: float = 30.0,
) -> Paused:
    """Set a switch and wait until no request can leave in its scope any more.

    A request that was committed before the switch may be on its way: this waits until its answer is recorded, or
    until its signature has expired (``window_seconds``), whichever comes first.

    Raises:
        InvalidJob: as :func:`checked`, or there is no such mode (400, ``invalid_mode``); nothing was paused.
        NotFound: as :func:`known_id`; nothing was paused.
        StorageError: the database can't be reached, or failed meanwhile (503, ``database_unavailable``): the switch may
            be set by now. Pause again.
    """
    scope_id = checked(scope, scope_id)
    if mode not in MODES:
        raise InvalidJob(f"a mode is {_either(MODES)}, not {mode!r}", code="invalid_mode")
    with storage.explained(), storage.connection():
        scope_id = known_id(storage, scope, scope_id)
        before = switches.put(storage, scope, scope_id, mode, reason)
        out = history.unsettled(storage, scope=scope, scope_id=scope_id, statuses=("sending", "unknown"))
        while any(_may_leave(action, storage, window_seconds) for action in _sending(storage, scope, scope_id, mode)):
            time.sleep(_POLL_SECONDS)
        out = history.as_now(storage, out)
    where = scope if scope == "all" else f"{scope} {scope_id}"
    say.info(f"Switch set: {where} is {mode}", mark="⏸️")
    return Paused(tuple(out), scope_id, before)


def resume(storage: Storage, scope: Scope, scope_id: str | UUID = "") -> bool:
    """Take a switch away; what waited for it goes on at once. Return whether it was set.

    It may be that of an account or automation that is not there any more.

    Raises:
        InvalidJob: as :func:`checked`; nothing was changed.
        StorageError: as :func:`pause`; resume again.
    """
    scope_id = checked(scope, scope_id)
    with storage.explained(), storage.connection():
        removed = switches.remove(storage, scope, _as_stored(storage, scope, scope_id))
    if removed:
        say.info(f"Switch removed: {scope} {scope_id}".rstrip(), mark="▶️")
    return removed


def checked(scope: Scope, scope_id: str | UUID) -> str:
    """Return the id of a scope as text, which is empty for ``all``.

    Raises:
        InvalidJob: there is no such scope, it needs an id or takes none (400, ``invalid_scope``), or that is no id.
    """
    scope_id = id_text(scope_id)
    if scope not in SCOPES:
        raise InvalidJob(f"a scope is {_either(SCOPES)}, not {scope!r}", code="invalid_scope")
    if (scope == "all") != (scope_id == ""):
        raise InvalidJob(f"scope {scope} {'takes no' if scope == 'all' else 'needs an'} id", code="invalid_scope")
    return scope_id


def known_id(storage: Storage, scope: Scope, scope_id: str) -> str:
    """Return the id of what a switch may be set for, as its row has it: one for what is not there holds nothing back.

    What is left of an automation that was deleted can be paused with its account.

    Raises:
        NotFound: there is no such exchange, account or automation (``scope_not_found``).
    """
    if scope == "exchange" and account_rows.exchange_id(storage, scope_id) is None:
        slugs = ", ".join(account_rows.exchange_slugs(storage)) or "none"
        raise NotFound(f"no exchange is called {scope_id!r}; there are: {slugs}", code="scope_not_found")
    find = {"account": accounts.account, "automation": accounts.automation}.get(scope)
    if find is not None and find(storage, scope_id) is None:
        raise NotFound(f"{scope.capitalize()} {scope_id} not found", code="scope_not_found")
    return _as_stored(storage, scope, scope_id)


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _as_stored(storage: Storage, scope: Scope, scope_id: str) -> str:
    return accounts.as_stored(storage, scope, scope_id) if scope in ("account", "automation") else scope_id


def _sending(storage: Storage, scope: Scope, scope_id: str, mode: Mode) -> list[Out]:
    sending = history.unsettled(storage, scope=scope, scope_id=scope_id, statuses=_SENDING)
    return [action for action in sending if mode == "paused" or not action.risk_reducing]


def _may_leave(action: Out, storage: Storage, window_seconds: float) -> bool:
    """Whether a request that was committed may still be on its way: by the database's clock, which wrote both."""
    assert action.sent_at is not None
    return (storage.now() - action.sent_at).total_seconds() <= window_seconds + CLOCK_TOLERANCE_SECONDS
