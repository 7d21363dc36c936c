"""What the exchange says about an error, made fit to be shown: short, printable, and without our secrets."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from axisor_executor.exchange.answers.fields import UnreadableAnswer, decode

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

WITHHELD = "[withheld: it repeats credentials]"
_LONGEST = 300
_LONGEST_BODY = 65536
_PIECE = 8  # so many characters of a secret in a row are a leak


def said(body: bytes, credentials: SecureCredentials | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the ``code`` and ``message`` of an error answer, as far as it has them and they may be shown.

    Args:
        body: the answer's body; one that is no JSON object says nothing.
        credentials: the secrets of the account that asked.
        headers: what was sent: the signature must not come back either.
    """
    if len(body) > _LONGEST_BODY:
        return {}
    try:
        answer = decode(body)
    except UnreadableAnswer:
        return {}
    if not isinstance(answer, dict):
        return {}
    texts = {name: answer[name] for name in ("code", "message") if isinstance(answer.get(name), str | int)}
    return {name: shown for name, text in texts.items() if (shown := _shown(text, credentials, headers))}


def _shown(text: Any, credentials: SecureCredentials | None, headers: Mapping[str, str]) -> str:
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    secrets = [headers.get("lnm-access-signature", "")]
    if credentials is not None:
        secrets += [credentials.reveal_key(), credentials.reveal_secret(), credentials.reveal_passphrase()]
    if repeats(plain, secrets):
        return WITHHELD
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def repeats(text: str, secrets: Iterable[str]) -> bool:
    """Return whether ``text`` holds one of the secrets: whole, as it is or encoded, or eight characters of it."""
    lowered = text.casefold()
    return any(_found(form.casefold(), lowered) for secret in secrets if secret for form in _forms(secret))


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {secret, quote(secret, safe=""), html.escape(secret), raw.hex(), base64.b64encode(raw).decode().rstrip("=")}


def _found(form: str, text: str) -> bool:
    if len(form) <= _PIECE:
        # A passphrase such as "test" is no leak inside of "latest".
        return re.search(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", text) is not None
    return any(form[start : start + _PIECE] in text for start in range(len(form) - _PIECE + 1))
