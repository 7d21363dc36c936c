"""API keys and signatures, as LN Markets v3 checks them."""

from __future__ import annotations

import hmac
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from axisor_paper_exchange.engine import Account, Rejected

__all__ = ["ACCESS_KEY", "PERMISSIONS", "TIMESTAMP", "Credentials", "Permission", "authenticate", "signature"]

Permission = Literal["read", "trade", "withdraw"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

ACCESS_KEY = "lnm-access-key"
PASSPHRASE = "lnm-access-passphrase"  # noqa: S105 - a header's name
SIGNATURE = "lnm-access-signature"
TIMESTAMP = "lnm-access-timestamp"


class Credentials(NamedTuple):
    """An API key of an account; its repr shows no secret."""

    account: Account
    key: str
    secret: str
    passphrase: str
    permissions: tuple[Permission, ...] = PERMISSIONS

    def __repr__(self) -> str:
        return f"Credentials(account={self.account.id!r}, key={self.key!r})"


def signature(secret: str, timestamp: str, method: str, path: str, data: str) -> str:
    """Return base64(HMAC-SHA256(secret, timestamp + method in lower case + path + data)).

    `path` includes /v3; `data` is the body as sent, or the query string with its leading `?`, or nothing.
    """
    digest = hmac.digest(secret.encode(), f"{timestamp}{method.lower()}{path}{data}".encode(), "sha256")
    return b2a_base64(digest, newline=False).decode()


def authenticate(
    credentials: Credentials | None,
    headers: Mapping[str, str],
    *,
    method: str,
    path: str,
    query: str,
    body: bytes,
    now: int,
    window: int,
    permission: Permission,
) -> Account:
    """Return the account that signed a request, or raise `Rejected`: 401, or 403 where the key lacks `permission`.

    `path` and `query` as sent (without the `?` between them); `now` and `window` in milliseconds.
    """
    timestamp = headers.get(TIMESTAMP, "")
    signed = headers.get(SIGNATURE, "")
    passphrase = headers.get(PASSPHRASE, "")
    if ACCESS_KEY not in headers or not timestamp or not signed or not passphrase:
        raise _unauthorized("Missing authentication headers", "MISSING_CREDENTIALS")
    if credentials is None:
        raise _unauthorized("Invalid API key", "INVALID_API_KEY")
    if not _same(passphrase, credentials.passphrase):
        raise _unauthorized("Invalid passphrase", "INVALID_PASSPHRASE")
    if not _in_window(timestamp, now, window):
        raise _unauthorized("Timestamp is outside the allowed window", "INVALID_TIMESTAMP")
    data = body.decode("utf-8", "replace") if body or not query else f"?{query}"
    if not _same(signed, signature(credentials.secret, timestamp, method, path, data)):
        raise _unauthorized("Invalid signature", "INVALID_SIGNATURE")
    if permission not in credentials.permissions:
        raise Rejected(
            f"This API key has no permission to {permission}",
            code="INSUFFICIENT_PERMISSIONS",
            status=403,
            details={"permission": permission},
        )
    return credentials.account


def _in_window(timestamp: str, now: int, window: int) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and abs(int(timestamp[:20]) - now) <= window


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _unauthorized(message: str, code: str) -> Rejected:
    return Rejected(message, code=code, status=401)
