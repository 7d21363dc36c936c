"""Who asks: a token in the header, or a session of the console in a cookie, whose changes must prove their origin."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Scope

from axisor_executor.errors import AxisorError
from axisor_executor.storage import sessions, tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.tokens import Token

COOKIE = "axisor_session"
CSRF_HEADER = "X-CSRF-Token"
FORMS = frozenset({"/logout"})
"""Paths that take a plain form: its field ``csrf`` is checked there, where the body is read."""
CALLER = "axisor_executor.caller"
"""Where a request's scope has its :class:`Caller`: a key of our own, for ``state`` is a host application's."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid token, and the session it was found by; ``None``: the request brought the token itself."""

    token: Token
    session: str | None = field(repr=False)


def caller_of(scope: Scope) -> Caller:
    """Return who asks, as the gate has found out; not to be used on the paths that are open."""
    caller = scope[CALLER]
    assert isinstance(caller, Caller)
    return caller


def identify(storage: Storage, scope: Scope, path: str) -> Caller:
    """Return who asks. A token in the header counts before a cookie.

    Raises:
        AxisorError: nobody who may (401, ``unauthenticated``); or a change by cookie that the console's own page did
            not make (403, ``wrong_origin``).
    """
    headers = Headers(scope=scope)
    session = None if "authorization" in headers else cookie(headers)
    if session is None:
        return Caller(tokens.check(storage, _bearer(headers)), None)
    token = sessions.check(storage, session)
    if scope["method"] not in _SAFE:
        check_origin(scope)
        if path not in FORMS:
            check_csrf(session, headers.get(CSRF_HEADER, ""))
    return Caller(token, session)


def cookie(headers: Headers) -> str | None:
    """Return the text of the session's cookie; other applications', whatever they hold, don't matter."""
    # Not by SimpleCookie, which forgets all cookies where one is not to its liking, such as one in JSON.
    named = (one.partition("=") for one in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in named}.get(COOKIE)


def check_csrf(session: str, given: str) -> None:
    """Refuse a change that does not bring what only a page of this session knows.

    Raises:
        AxisorError: 403, ``wrong_origin``.
    """
    if not hmac.compare_digest(sessions.csrf_token(session).encode(), given.encode("utf-8", "surrogatepass")):
        raise _wrong_origin()


def check_origin(scope: Scope) -> None:
    """Refuse a change that a browser says another site's page has made; what is no browser says nothing.

    Browsers say it in ``Sec-Fetch-Site``; where they don't (plain HTTP, old ones), in ``Origin``.

    Raises:
        AxisorError: 403, ``wrong_origin``.
    """
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site is not None:
        is_own = site in ("same-origin", "none")
    else:
        origin = headers.get("origin")
        # An origin is all scheme and host. It is not parsed: this one comes from anybody, and may be none.
        is_own = origin is None or origin.partition("://")[2] == headers.get("host")
    if not is_own:
        raise _wrong_origin()


def _bearer(headers: Headers) -> str:
    given = headers.getlist("authorization")
    scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise tokens.unauthenticated()
    return text.strip()


def _wrong_origin() -> AxisorError:
    return AxisorError(
        "this change did not come from the console's own page; reload it", code="wrong_origin", status=403
    )
