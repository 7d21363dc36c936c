"""Logging in to the console and out of it: a token is traded for a cookie that scripts can't read."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from axisor_executor.errors import AxisorError
from axisor_executor.service.callers import COOKIE, caller_of, check_csrf, check_origin
from axisor_executor.service.console.rendering import page
from axisor_executor.service.parts import Parts, PartsOf
from axisor_executor.service.rates import Rates
from axisor_executor.storage import sessions, tokens
from axisor_executor.storage.sessions import SESSION_SECONDS

LOGINS_PER_MINUTE = 20
"""From one address, in one process."""
router = APIRouter(include_in_schema=False)


def _logins(request: Request) -> Rates:
    logins = request.app.state.logins
    assert isinstance(logins, Rates)
    return logins


@router.get("/login")
async def show_login(request: Request, ended: str = "") -> Response:
    """Ask for a token."""
    return page(request.scope, "login.html", problem=None, has_ended=bool(ended))


@router.post("/login")
async def log_in(request: Request, parts: PartsOf, logins: Annotated[Rates, Depends(_logins)]) -> Response:
    """Begin a session for whoever brings a token that may read."""
    check_origin(request.scope)
    given = (await _form(request)).get("token", "").strip()
    try:
        logins.take(request.client.host if request.client else "", LOGINS_PER_MINUTE, "logins a minute")
        session = await run_in_threadpool(_begin, parts, given)
    except AxisorError as error:
        if error.status not in (401, 403, 429):
            raise
        answer: Response = page(
            request.scope, "login.html", status=error.status, problem=_PROBLEMS[error.status], has_ended=False
        )
        if error.status == 429:
            answer.headers["Retry-After"] = str(error.details["retryAfterSeconds"])
        return answer
    root = request.scope.get("root_path", "")
    answer = RedirectResponse(f"{root}/", status_code=303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_SECONDS,
        path=root or "/",
        httponly=True,
        samesite="strict",
        secure=request.scope.get("scheme") == "https",
    )
    return answer


@router.post("/logout")
async def log_out(request: Request, parts: PartsOf) -> Response:
    """End the session."""
    session = caller_of(request.scope).session
    if session is None:
        raise AxisorError("there is no session to end", code="invalid_request", status=400)
    check_csrf(session, (await _form(request)).get("csrf", ""))
    await run_in_threadpool(sessions.end, parts.storage, session)
    root = request.scope.get("root_path", "")
    answer = RedirectResponse(f"{root}/login", status_code=303)
    answer.delete_cookie(COOKIE, path=root or "/", httponly=True, samesite="strict")
    return answer


_PROBLEMS = {
    401: "This is no valid token.",
    403: "This token may not read, so it opens no console.",
    429: "Too many attempts. Wait a minute, then try again.",
}


def _begin(parts: Parts, text: str) -> str:
    storage = parts.storage
    with storage.connection():
        token = tokens.check(storage, text)
        if "read" not in token.scopes:
            raise AxisorError("this token lacks the scope read", code="forbidden", status=403)
        return sessions.begin(storage, token)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a plain form; the last of each name."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise AxisorError("the form is not as this page sends it", code="invalid_request", status=400) from None
    return {name: values[-1] for name, values in fields.items()}
