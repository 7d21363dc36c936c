"""Sessions of the console: what a token is traded for when somebody logs in. The database holds a digest only.

A session is worth what its token is worth at each moment: with the token it is revoked, expires, and loses scopes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from axisor_executor.storage import tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.tokens import Token

SESSION_SECONDS = 43_200
"""How long a session lasts at most: half a day, then the token is asked for again."""
_LONGEST = 100


def begin(storage: Storage, token: Token) -> str:
    """Begin a session and return its text, which can't be had again; those that are over are forgotten."""
    text = secrets.token_urlsafe(32)
    with storage.write():
        storage.run("DELETE FROM axisor_sessions WHERE expires_at <= {now}")
        storage.run(
            "INSERT INTO axisor_sessions (digest, token_id, created_at, expires_at) VALUES (?,?,{now},{later})",
            _digest(text),
            token.id,
            SESSION_SECONDS,
        )
    return text


def check(storage: Storage, text: str) -> Token:
    """Return the token behind a session.

    Raises:
        AxisorError: there is no such session, it is over, or its token is not valid any more (401,
            ``unauthenticated``); never told apart.
    """
    row = storage.one(
        "SELECT token_id FROM axisor_sessions WHERE digest = ? AND expires_at > {now}", _digest(text[:_LONGEST])
    )
    if row is None:
        raise tokens.unauthenticated()
    return tokens.check_id(storage, row[0])


def end(storage: Storage, text: str) -> None:
    """End a session; from its return on no request passes with it."""
    storage.run("DELETE FROM axisor_sessions WHERE digest = ?", _digest(text[:_LONGEST]))


def csrf_token(text: str) -> str:
    """Return what a page of this session must bring with each change; of another origin, nobody can know it."""
    return hmac.new(text.encode("utf-8", "surrogatepass"), b"axisor csrf", hashlib.sha256).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
