"""Tokens of the HTTP API: made, checked, listed and revoked. The database holds a digest, never the token.

A token is ``axisor_<id>_<secret>``: the id finds its row, and 256 random bits prove it. The digest is one plain
SHA-256: a slow hash with a salt protects secrets that people choose, which can be guessed; nobody guesses 256 bits,
and every request has to be checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.storage.accounts import as_stored
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document, instant, maybe_instant

Scope = Literal["read", "execute", "operate"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

USE_NOTED_SECONDS = 60.0
"""How exactly the last use is known: it is written at most this often, not with every request."""
DAY = 86_400
_TOKEN = re.compile(r"axisor_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODYS = "0" * 64
_COLUMNS = "id, name, scopes, user_id, created_at, expires_at, last_used_at, revoked_at"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; it shows itself only to whoever has just made it.

    ``user_id``: the only user that it acts and sees for; ``None``: all.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    user_id: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


def create(
    storage: Storage, name: str, scopes: Iterable[Scope], *, user_id: str | None = None, days: float | None = None
) -> tuple[str, Token]:
    """Make a token and return its text, which can't be had again, with what is known of it.

    Args:
        storage: the database.
        name: what people call it.
        scopes: what it may do.
        user_id: the only user that it may act and see for; without the spaces around it, which no job's has.
        days: how long it is valid; without an end if left out.

    Raises:
        AxisorError: the name or the user is blank (400, ``invalid_request``): nobody could tell what the token is for,
            and what was to be bound must not come out unbound.
    """
    for what, given in (("name", name), ("user", user_id)):
        if given is not None and not given.strip():
            raise AxisorError(f"the {what} of a token must not be blank", code="invalid_request", status=400)
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    text = f"axisor_{token_id}_{secret}"
    with storage.write(durable=True):
        expires = storage.one("SELECT {later}", days * DAY) if days is not None else None
        storage.run(
            "INSERT INTO axisor_tokens (id, digest, name, scopes, user_id, created_at, expires_at) "
            "VALUES (?,?,?,?,?,{now},?)",
            token_id,
            _digest(text),
            name,
            [scope for scope in SCOPES if scope in set(scopes)],
            user_id and as_stored(storage, "user", user_id.strip()),
            instant(expires[0]) if expires else None,
        )
        return text, _get(storage, token_id)


def check(storage: Storage, text: str) -> Token:
    """Return the token of this text, and note its use now and then.

    Asked anew for each request, so that a revoked token ends at once. Digests are compared in constant time, also
    where there is no such token.

    Raises:
        AxisorError: it is none, has expired or was revoked (401, ``unauthenticated``); never told apart.
    """
    named = _TOKEN.fullmatch(text)
    row = named and storage.one(
        f"SELECT {_COLUMNS}, digest, {{now}} FROM axisor_tokens WHERE id = ?",  # noqa: S608
        named[1],
    )
    is_right = hmac.compare_digest(row[-2] if row else _NOBODYS, _digest(text))
    if not row or not is_right:
        raise unauthenticated()
    return _admitted(storage, _token(row), instant(row[-1]))


def check_id(storage: Storage, token_id: str) -> Token:
    """Return the token of this id, if it is valid: for a session, which was proved otherwise.

    Raises:
        AxisorError: as :func:`check`.
    """
    row = storage.one(f"SELECT {_COLUMNS}, {{now}} FROM axisor_tokens WHERE id = ?", token_id)  # noqa: S608
    if row is None:
        raise unauthenticated()
    return _admitted(storage, _token(row), instant(row[-1]))


def _admitted(storage: Storage, token: Token, now: datetime) -> Token:
    if token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
        raise unauthenticated()
    if token.last_used_at is None or (now - token.last_used_at).total_seconds() > USE_NOTED_SECONDS:
        storage.run("UPDATE axisor_tokens SET last_used_at = {now} WHERE id = ?", token.id)
    return token


def unauthenticated() -> AxisorError:
    """Return the error of a request without a valid token."""
    return AxisorError("a valid token is needed: Authorization: Bearer <token>", code="unauthenticated", status=401)


def listed(storage: Storage) -> list[Token]:
    """Return all tokens, oldest first."""
    rows = storage.rows(f"SELECT {_COLUMNS} FROM axisor_tokens ORDER BY created_at, id")  # noqa: S608
    return [_token(row) for row in rows]


def revoke(storage: Storage, token_id: str) -> Token:
    """End a token; from its return on no request passes with it. Once more changes nothing.

    Raises:
        NotFound: there is no such token.
    """
    with storage.write(durable=True):
        storage.run("UPDATE axisor_tokens SET revoked_at = {now} WHERE id = ? AND revoked_at IS NULL", token_id)
        return _get(storage, token_id)


def _get(storage: Storage, token_id: str) -> Token:
    row = storage.one(f"SELECT {_COLUMNS} FROM axisor_tokens WHERE id = ?", token_id)  # noqa: S608
    if row is None:
        raise NotFound(f"Token {token_id} not found", code="token_not_found")
    return _token(row)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: tuple[Any, ...]) -> Token:
    return Token(
        id=row[0],
        name=row[1],
        scopes=tuple(document(row[2])),
        user_id=row[3],
        created_at=instant(row[4]),
        expires_at=maybe_instant(row[5]),
        last_used_at=maybe_instant(row[6]),
        revoked_at=maybe_instant(row[7]),
    )
