"""What the exchange says about an error, made fit to be shown: short, printable, and without our secrets."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from axisor_executor.exchange.answers.fields import UnreadableAnswer, decode

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

WITHHELD = "[withheld: it repeats credentials]"
_LONGEST = 300
_LONGEST_BODY = 65536
_STANDARD = str.maketrans("-_", "+/")  # of the two alphabets of Base64
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
    raw = str(text)
    plain = _collapsed("".join(letter if letter.isprintable() else " " for letter in raw))
    secrets = [headers.get("lnm-access-signature", "")]
    if credentials is not None:
        secrets += [credentials.reveal_key(), credentials.reveal_secret(), credentials.reveal_passphrase()]
    if repeats(raw, secrets) or (plain != raw and repeats(plain, secrets)):
        return WITHHELD
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def repeats(text: str, secrets: Iterable[str]) -> bool:
    """Return whether ``text`` holds one of the secrets: whole, as it is or encoded, or eight characters of it."""
    lowered, standard = text.casefold(), text.translate(_STANDARD)
    return any(
        any(_found(form.casefold(), lowered) for form in _forms(secret))
        or any(piece in standard for core in _base64_cores(secret.encode()) for piece in _pieces(core))
        for secret in secrets
        if secret
    )


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {
        secret,
        _collapsed(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
    }


def _base64_cores(secret: bytes) -> Iterator[str]:
    """Yield the letters that a secret has in Base64 whatever stands before and behind it (``name:secret``)."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        yield encoded[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]


def _found(form: str, text: str) -> bool:
    if len(form) <= _PIECE:
        # A passphrase such as "test" is no leak inside of "latest".
        return re.search(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", text) is not None
    return any(piece in text for piece in _pieces(form))


def _pieces(form: str) -> Iterator[str]:
    return (form[start : start + _PIECE] for start in range(len(form) - _PIECE + 1))
