"""What the exchange says about an error, made fit to be shown: short, printable, and without our secrets."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

from axisor_executor.exchange.answers.fields import UnreadableAnswer, decode

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

WITHHELD = "[withheld: it repeats credentials]"
_LONGEST = 300
_LONGEST_BODY = 65536
_STANDARD = str.maketrans("-_", "+/")  # of the two alphabets of Base64
_PIECE = 8  # so many characters of a secret in a row are a leak
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|(?:\\|0)[xX]([0-9a-fA-F]{2})|\\(?=.)")


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
    """Return whether ``text`` holds one of the secrets: whole, as it is or encoded, or eight characters of it.

    Also where ``text`` is encoded as web pages, addresses and programs do it (twice at most), and where something
    stands between the letters. What takes more to be read, such as a secret backwards or as numbers, is not seen.
    """
    known = [secret for secret in secrets if secret]
    try:
        readings = _readings(text)
    except ValueError:  # a number in it is too long to be a letter's, and what else there is stays unread
        return bool(known)
    return any(_is_in(reading, known) for reading in readings)


def _readings(text: str) -> list[str]:
    """Return a text as it is and as it reads once decoded."""
    once = _decoded(text)
    return list(dict.fromkeys((text, once, _decoded(once))))


def _decoded(text: str) -> str:
    plain = _ESCAPE.sub(lambda found: _letter(found[1] or found[2] or found[3]), unquote(html.unescape(text)))
    return "".join(filter(str.isprintable, unicodedata.normalize("NFKC", plain)))


def _letter(digits: str | None) -> str:
    return chr(int(digits, 16)) if digits and int(digits, 16) <= sys.maxunicode else ""


def _is_in(text: str, secrets: list[str]) -> bool:
    # Pieces are looked up, not searched for: the time grows with the lengths, and not with their product.
    lowered = text.casefold()
    in_lowered, in_standard, in_bare = (set(_pieces(one)) for one in (lowered, text.translate(_STANDARD), _bare(text)))
    for secret in secrets:
        forms = [form.casefold() for form in _forms(secret)]
        cores = list(_base64_cores(secret.encode()))
        if (
            any(_is_word(form, lowered) for form in forms if len(form) <= _PIECE)
            or any(not in_lowered.isdisjoint(_pieces(form)) for form in forms if len(form) > _PIECE)
            or any(not in_standard.isdisjoint(_pieces(core)) for core in cores)
            or any(not in_bare.isdisjoint(_pieces(_bare(form))) for form in (secret, secret.encode().hex(), *cores))
        ):
            return True
    return False


def _bare(text: str) -> str:
    """Return the letters and digits of a text alone."""
    return "".join(filter(str.isalnum, text)).casefold()


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


def _is_word(form: str, text: str) -> bool:
    # A passphrase such as "test" is no leak inside of "latest".
    return re.search(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])", text) is not None


def _pieces(form: str) -> Iterator[str]:
    return (form[start : start + _PIECE] for start in range(len(form) - _PIECE + 1))
