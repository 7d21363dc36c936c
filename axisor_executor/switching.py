"""Pause and resume: a pause returns once nothing more can leave in its scope, and lists what was already out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from axisor_executor.errors import AxisorError, InvalidJob, NotFound
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
_MOST_LISTED = 5  # actions in a message
_SENDING: tuple[ActionStatus, ...] = ("sending",)


@dataclass(frozen=True, slots=True)
class Paused:
    """What a pause found: actions whose request had left before (or may have), with what became of them since.

    ``scope_id``: the id of what is paused, as its row has it. ``before``: the mode of the switch that was set already.
    """

    already_out: tuple[Out, ...]
    scope_id: str = ""
    before: Mode | None = None


@dataclass(frozen=True, slots=True)
class Pausing:
    """A switch that was set, while what left before it in its scope is waited for."""

    scope: Scope
    scope_id: str
    mode: Mode
    window_seconds: float
    before: Mode | None
    out: tuple[Out, ...]


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
        AxisorError: somebody took the switch away meanwhile, or made it ``reduce_only`` instead of ``paused`` (409,
            ``switch_changed``): requests may leave again. ``details`` has the ``mode`` that is set now, ``None`` for
            none, and what was ``alreadyOut`` as the HTTP API tells it.
        StorageError: the database can't be reached, or failed meanwhile (503, ``database_unavailable``): the switch may
            be set by now. Pause again.
    """
    pausing = begin(storage, scope, scope_id, mode=mode, reason=reason, window_seconds=window_seconds)
    while (paused := found(storage, pausing)) is None:
        time.sleep(_POLL_SECONDS)
    return paused


def begin(
    storage: Storage, scope: Scope, scope_id: str | UUID, *, mode: Mode, reason: str | None, window_seconds: float
) -> Pausing:
    """Set a switch, as :func:`pause` does, and wait for nothing.

    Raises:
        InvalidJob, NotFound, StorageError: as :func:`pause`.
    """
    scope_id = checked(scope, scope_id)
    if mode not in MODES:
        raise InvalidJob(f"a mode is {_either(MODES)}, not {mode!r}", code="invalid_mode")
    with storage.explained(), storage.connection():
        scope_id = known_id(storage, scope, scope_id)
        before = switches.put(storage, scope, scope_id, mode, reason)
        out = history.unsettled(storage, scope=scope, scope_id=scope_id, statuses=("sending", "unknown"))
    pausing = Pausing(scope, scope_id, mode, window_seconds, before, tuple(out))
    say.info(f"Switch set: {scope} {scope_id}".rstrip() + f" is {mode}", mark="⏸️")
    return pausing


def found(storage: Storage, pausing: Pausing) -> Paused | None:
    """Return what a pause found; ``None`` as long as a request may leave in its scope.

    Raises:
        AxisorError, StorageError: as :func:`pause`.
    """
    with storage.explained(), storage.connection():
        # The switch first: what leaves as soon as it is gone is seen among what is being sent then.
        mode = switches.mode_of(storage, pausing.scope, pausing.scope_id)
        if not _holds(mode, pausing):
            raise _changed(pausing, mode, history.as_now(storage, pausing.out))
        if _may_leave(storage, pausing):
            return None
        return Paused(tuple(history.as_now(storage, pausing.out)), pausing.scope_id, pausing.before)


def is_settled(storage: Storage, pausing: Pausing) -> bool:
    """Return whether :func:`found` would tell how a pause ends: nothing can leave, or its switch does not stand."""
    mode = switches.mode_of(storage, pausing.scope, pausing.scope_id)
    return not _holds(mode, pausing) or not _may_leave(storage, pausing)


def unconfirmed(pausing: Pausing) -> AxisorError:
    """Return what is told of a pause that nobody waits for to its end (503, ``pause_unconfirmed``)."""
    return AxisorError(
        f"the switch of {_named(pausing)} is set to {pausing.mode}, but whether what left before is still on its way "
        f"was not waited for: the process stops, too many requests wait, or the database is away. Pause again to wait."
        f"{_list(pausing.out)}",
        code="pause_unconfirmed",
        status=503,
        details={"mode": pausing.mode, "alreadyOut": [shown(one) for one in pausing.out]},
    )


def shown(action: Out) -> dict[str, str | None]:
    """Return an action that was out as it is shown to callers."""
    return {
        "executionId": action.execution_id,
        "accountId": action.account_id,
        "action": action.kind,
        "tradeId": action.trade_id,
        "status": action.status,
    }


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


def _named(pausing: Pausing) -> str:
    return "everything" if pausing.scope == "all" else f"{pausing.scope} {pausing.scope_id}"


def _holds(mode: Mode | None, pausing: Pausing) -> bool:
    """Whether the mode that is set now holds back all that the pause was to hold back."""
    return mode in ("paused", pausing.mode)


def _may_leave(storage: Storage, pausing: Pausing) -> bool:
    """Whether a request that was committed may still be on its way: by the database's clock, which wrote both."""
    sending = history.unsettled(storage, scope=pausing.scope, scope_id=pausing.scope_id, statuses=_SENDING)
    awaited = [one.sent_at for one in sending if pausing.mode == "paused" or not one.risk_reducing]
    now = storage.now() if awaited else None
    for sent_at in awaited:
        assert sent_at is not None
        assert now is not None
        if (now - sent_at).total_seconds() <= pausing.window_seconds + CLOCK_TOLERANCE_SECONDS:
            return True
    return False


def _changed(pausing: Pausing, mode: Mode | None, out: Sequence[Out]) -> AxisorError:
    now = "taken away" if mode is None else f"set to {mode}"
    return AxisorError(
        f"the switch of {_named(pausing)} was {now} by somebody else before the pause was done: requests may leave "
        f"again.{_list(out)}",
        code="switch_changed",
        status=409,
        details={"mode": mode, "alreadyOut": [shown(one) for one in out]},
    )


def _list(out: Sequence[Out]) -> str:
    """Return a sentence on what was out already, empty for nothing."""
    if not out:
        return ""
    told = [f"{one.kind} of execution {one.execution_id} ({one.status})" for one in out[:_MOST_LISTED]]
    told += [f"{len(out) - _MOST_LISTED} more"] if len(out) > _MOST_LISTED else []
    return f" Already out: {', '.join(told)}"
