"""The signature of LN Markets v3: pure functions, no clock, no I/O.

What is signed must be byte for byte what is sent: callers build path, query string and body once and use the very
same text for both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials


def sign(secret: str, timestamp_ms: int, method: str, path: str, data: str) -> str:
    """Return base64(HMAC-SHA256(secret, timestamp + method in lower case + path + data)).

    Args:
        secret: the API secret.
        timestamp_ms: milliseconds since the epoch, as sent in ``lnm-access-timestamp``.
        method: GET, POST, PUT or DELETE, in any case.
        path: with the leading ``/v3``, without a query string.
        data: the JSON body as sent, or the query string with its leading ``?``, or the empty string.
    """
    message = f"{timestamp_ms}{method.lower()}{path}{data}"
    return base64.b64encode(hmac.digest(secret.encode(), message.encode(), hashlib.sha256)).decode("ascii")


def auth_headers(
    credentials: SecureCredentials, timestamp_ms: int, method: str, path: str, data: str
) -> dict[str, str]:
    """Return the four headers of a private call; arguments as for :func:`sign`."""
    return {
        "lnm-access-key": credentials.reveal_key(),
        "lnm-access-passphrase": credentials.reveal_passphrase(),
        "lnm-access-timestamp": str(timestamp_ms),
        "lnm-access-signature": sign(credentials.reveal_secret(), timestamp_ms, method, path, data),
    }
