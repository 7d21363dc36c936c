"""Pause and resume over HTTP."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from axisor_executor import switching
from axisor_executor.errors import NotFound
from axisor_executor.observe.logs import timestamp
from axisor_executor.service import shapes
from axisor_executor.service.access import Operator, Reader, check_unbound, check_user
from axisor_executor.service.bodies import SwitchBody, body_schema, read
from axisor_executor.service.parts import PartsOf
from axisor_executor.storage import accounts, switches
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.switches import Scope, Switch
from axisor_executor.storage.tokens import Token
from axisor_executor.switching import Pausing

_SPARE_SECONDS = 10.0
"""For a pause beyond the time in which what was out is dead: a database that is away for a moment comes back."""
router = APIRouter(prefix="/api/switches", tags=["switches"])


class Which(BaseModel):
    """The switch that is meant."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope
    id: str | None = Field(default=None, min_length=1, max_length=200)


@router.get("", summary="List the switches")
def list_switches(token: Reader, parts: PartsOf) -> shapes.SwitchList:
    """List the switches that are set. A token that is bound to a user sees those of that user's accounts only."""
    with parts.storage.connection():
        found = visible(parts.storage, token)
    return shapes.SwitchList(
        switches=[
            shapes.ShownSwitch(
                scope=one.scope,
                id=one.scope_id or None,
                mode=one.mode,
                reason=one.reason,
                created_at=timestamp(one.created_at),
            )
            for one in found
        ]
    )


def visible(storage: Storage, token: Token) -> list[Switch]:
    """Return the switches that a token may know of, oldest first."""
    return [
        one
        for one in switches.listed(storage)
        if token.user_id is None or token.user_id == _owner(storage, one.scope, one.scope_id)
    ]


@router.post("", openapi_extra=body_schema(SwitchBody), summary="Pause")
async def pause(request: Request, token: Operator, parts: PartsOf) -> shapes.Paused:
    """Stop sending in a scope. Answers once no request can leave in it any more, and lists what was already out.

    That takes up to the signature window (`AXISOR_SIGNATURE_WINDOW_SECONDS` and some seconds) where a request is on
    its way. The switch is set from the first instant on, also if the client does not wait for the answer.
    """
    body = await read(request, SwitchBody)
    window = parts.runtime.settings.signature_window_seconds

    def set_it() -> tuple[Pausing, switching.Paused | None]:
        with parts.storage.connection():
            _check(parts.storage, token, body.scope, body.id)
            pausing = switching.begin(
                parts.storage, body.scope, body.id or "", mode=body.mode, reason=body.reason, window_seconds=window
            )
            return pausing, switching.found(parts.storage, pausing)

    pausing, paused = await run_in_threadpool(set_it)
    deadline = time.monotonic() + window + switching.CLOCK_TOLERANCE_SECONDS + _SPARE_SECONDS
    while paused is None:
        # Neither a thread nor a connection is held meanwhile: many pauses must not keep others from pausing.
        is_settled = await parts.waiting.for_pause(
            lambda: parts.storage, pausing, deadline - time.monotonic(), receive=request.receive, whose=token.id
        )
        if not is_settled:
            raise switching.unconfirmed(pausing)
        paused = await run_in_threadpool(switching.found, parts.storage, pausing)
    return shapes.Paused(
        scope=body.scope,
        id=paused.scope_id or None,
        mode=body.mode,
        already_out=[shapes.AlreadyOut.model_validate(switching.shown(one)) for one in paused.already_out],
    )


@router.delete("", summary="Resume")
def resume(token: Operator, parts: PartsOf, query: Annotated[Which, Query()]) -> shapes.Resumed:
    """Take a switch away; what waited for it goes on at once. One that is not set is no error."""
    with parts.storage.connection():
        _check(parts.storage, token, query.scope, query.id)
        return shapes.Resumed(removed=switching.resume(parts.storage, query.scope, query.id or ""))


def _check(storage: Storage, token: Token, scope: Scope, scope_id: str | None) -> None:
    """Refuse scopes that make no sense, or that this token has no business in.

    Raises:
        InvalidJob: as :func:`axisor_executor.switching.checked`.
        AxisorError: 403, ``forbidden``: the scope concerns all users, the token one.
        NotFound: ``scope_not_found``: it is not the token's user's.
    """
    switching.checked(scope, scope_id or "")
    if scope_id is None or scope == "exchange":
        check_unbound(token)
    else:
        missing = NotFound(f"{scope.capitalize()} {scope_id} not found", code="scope_not_found")
        check_user(token, _owner(storage, scope, scope_id) or "", missing)


def _owner(storage: Storage, scope: Scope, scope_id: str) -> str | None:
    """Return the user whose account or automation it is; ``None`` where it is nobody's."""
    found: accounts.Account | accounts.Automation | None = None
    if scope == "account":
        found = accounts.account(storage, scope_id)
    elif scope == "automation":
        found = accounts.automation(storage, scope_id)
    return None if found is None else found.user_id
