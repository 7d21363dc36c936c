"""The credentials of an account as they stand in its row, in every shape that has been seen there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import SecretStr

from axisor_executor.credentials.ciphers import Field, Format, format_of, is_credential
from axisor_executor.credentials.keyring import LABELS, KeyRing, unreadable
from axisor_executor.credentials.secure import LONGEST, SecureCredentials
from axisor_executor.errors import CredentialsError

#: What a row's column holds: the decoded object, its JSON text, or nothing.
RowJson = Mapping[str, object] | str | None

_FIELDS: dict[str, Field] = {"apikey": "key", "apisecret": "secret", "passphrase": "passphrase"}
_TESTNET = {"istestnet", "testnet"}
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", "none", ""}
_LONGEST_STORED = 16 * LONGEST  # four bytes for a letter at most, two digits for a byte, and what encryption adds
_digest_salt = os.urandom(32)


class _Found(NamedTuple):
    values: dict[Field, SecretStr]
    testnet: bool
    warnings: tuple[str, ...]
    problem: str | None = None


class StoredCredentials:
    """An account's credentials as stored: encrypted, or in plain text where the old worker left them so; never shown.

    Names of fields may be in any case, with spaces or underscores. Making one never raises, so that no traceback
    holds what was given; :meth:`check` and :meth:`open` say what is wrong.

    Attributes:
        account_id: the account whose row it is.
        testnet: the flag ``isTestnet``; absent means False.
        warnings: codes, without values: ``plain_text_key``, ``plain_text_secret``, ``plain_text_passphrase`` for what
            stands unencrypted, ``duplicate_key`` ... for what stands twice, when the monolith's spelling counts.
        digest: changes whenever one of the three stored values or the flag does; comparable within one process.
        mark: changes whenever anything in the row does, its spelling included (see :func:`mark_of`).
    """

    __slots__ = ("_problem", "_values", "account_id", "digest", "mark", "testnet", "warnings")

    def __init__(self, row_json: RowJson, *, account_id: str) -> None:
        found = _read(row_json)
        self.mark = mark_of(row_json)
        self.account_id = account_id
        self.testnet = found.testnet
        self.warnings = found.warnings
        self.digest = _digest(account_id, found)
        self._values = found.values
        self._problem = found.problem

    def __repr__(self) -> str:
        return f"StoredCredentials(<hidden>, account_id={self.account_id!r})"

    def check(self) -> None:
        """Check what can be seen without decrypting.

        Raises:
            CredentialsError: code ``credentials_missing``, naming the values that are absent or blank;
                ``credentials_unreadable``, when the row holds something else than credentials; or
                ``credentials_invalid``, naming the values that are too long to be any.
        """
        if self._problem is not None:
            message = f"The credentials of account {self.account_id} {self._problem}"
            raise CredentialsError(message, code="credentials_unreadable", account_id=self.account_id)
        _require(self._values, self.account_id)
        _limit(self._values, self.account_id, _LONGEST_STORED)

    def open(self, ring: KeyRing) -> SecureCredentials:
        """Decrypt. White space around a value is dropped: it can't be sent in a header.

        Raises:
            CredentialsError: as :meth:`check`, also after decrypting; or ``credentials_unreadable`` from the ring.
            SettingsError: the ring has no key.
        """
        self.check()
        values = {field: self._open(field, ring) for field in LABELS}
        _require(values, self.account_id)
        _limit(values, self.account_id, LONGEST)
        return SecureCredentials(
            values["key"].get_secret_value().strip(),
            values["secret"].get_secret_value().strip(),
            values["passphrase"].get_secret_value().strip(),
            self.testnet,
        )

    def _open(self, field: Field, ring: KeyRing) -> SecretStr:
        stored = self._values[field]
        if format_of(stored.get_secret_value()) is not None:
            return ring.decrypt(stored, account_id=self.account_id, field=field)
        if not is_credential(stored.get_secret_value()):
            raise unreadable(self.account_id, field, "holds control characters")
        return stored


def mark_of(row_json: RowJson) -> bytes | None:
    """Return what an unchanged row is recognised by within this process, without reading it; ``None``: by nothing.

    A digest under a key of this process, as :attr:`StoredCredentials.digest` is.
    """
    try:
        text = f"text {row_json}" if isinstance(row_json, str) else repr(row_json)
    except RecursionError:
        return None
    return _keyed(text.encode("utf-8", "surrogatepass"))


def write_credentials(
    key: str,
    secret: str,
    passphrase: str,
    testnet: bool,
    *,
    account_id: str,
    format: Format,  # noqa: A002  the setting's word
    ring: KeyRing,
) -> dict[str, str]:
    """Return the JSON object for the row of an account, in the monolith's shape, the values in ``format``.

    Raises:
        CredentialsError: code ``credentials_missing`` for blank values, ``credentials_invalid`` for what is no text,
            too long or can't be sent, and for a flag that is neither true nor false.
        SettingsError: the ring has no key.
    """
    values: dict[Field, SecretStr] = {
        "key": SecretStr(key),
        "secret": SecretStr(secret),
        "passphrase": SecretStr(passphrase),
    }
    del key, secret, passphrase  # an error below must not carry them in this frame
    if not isinstance(testnet, bool):
        raise CredentialsError("Whether it is the test network must be True or False", account_id=account_id)
    others = [label for field, label in LABELS.items() if not isinstance(values[field].get_secret_value(), str)]
    if others:
        raise CredentialsError(f"Must be text: {', '.join(others)}", account_id=account_id)
    given = {field: _stripped(values[field]) for field in LABELS}
    _require(given, account_id)
    _limit(given, account_id, LONGEST)
    unusable = SecureCredentials(
        given["key"].get_secret_value(), given["secret"].get_secret_value(), given["passphrase"].get_secret_value()
    ).unusable()
    if unusable:
        raise CredentialsError(f"With characters that can't be sent: {', '.join(unusable)}", account_id=account_id)
    row = {
        label: ring.encrypt(given[field], format=format, account_id=account_id, field=field)
        for field, label in LABELS.items()
    }
    return {**row, "isTestnet": "true" if testnet else "false"}


def _require(values: Mapping[Field, SecretStr], account_id: str) -> None:
    absent = [
        label for field, label in LABELS.items() if field not in values or not values[field].get_secret_value().strip()
    ]
    if absent:
        message = f"The credentials of account {account_id} lack: {', '.join(absent)}"
        raise CredentialsError(message, code="credentials_missing", account_id=account_id)


def _limit(values: Mapping[Field, SecretStr], account_id: str, longest: int) -> None:
    """Refuse values that are longer once their ends are stripped, as they are when they are used."""
    long = [label for field, label in LABELS.items() if len(values[field].get_secret_value().strip()) > longest]
    if long:
        message = f"The credentials of account {account_id} are longer than {LONGEST} characters: {', '.join(long)}"
        raise CredentialsError(message, code="credentials_invalid", account_id=account_id)


def _read(row_json: RowJson) -> _Found:
    """Read a row; never raises, so that no frame with its values gets into a traceback."""
    row: object = row_json
    for _ in range(2):  # a JSON column that holds a JSON text, as seen where the text was stored as such
        if isinstance(row, str):
            try:
                row = json.loads(row)
            except (ValueError, RecursionError):
                return _Found({}, False, (), "are not JSON")
    if row is None:
        row = {}
    if not isinstance(row, Mapping):
        return _Found({}, False, (), "are not a JSON object")
    named = [(str(name), _plain_name(name), row[name]) for name in sorted(row, key=str)]
    flags = {_flag(value) for _, plain, value in named if plain in _TESTNET}
    if None in flags or len(flags) > 1:
        return _Found({}, False, (), "have a flag isTestnet that is neither true nor false")
    if not all(is_text(value) for _, plain, value in named if plain in _FIELDS):
        return _Found({}, False, (), "hold something else than text")
    values: dict[Field, SecretStr] = {}
    warnings: list[str] = []
    for plain, field in _FIELDS.items():
        texts = {name: str(value).strip() for name, own, value in named if own == plain and value is not None}
        filled = {name: text for name, text in texts.items() if text}
        if filled:
            values[field] = SecretStr(filled.get(LABELS[field]) or next(iter(filled.values())))
            warnings += _warnings_on(field, values[field], filled.values())
    return _Found(values, True in flags, tuple(warnings))


def field_of(name: object) -> Field | None:
    """Return which of the three a name in a row means, in any spelling; None for anything else."""
    return _FIELDS.get(_plain_name(name))


def _plain_name(name: object) -> str:
    return re.sub(r"[\s_-]", "", str(name)).casefold()


def _flag(value: object) -> bool | None:
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def is_text(value: object) -> bool:
    """Tell whether a value in a row can be that of a secret, nothing included."""
    return value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _warnings_on(field: Field, value: SecretStr, texts: Iterable[str]) -> list[str]:
    found = []
    if format_of(value.get_secret_value()) is None:
        found.append(f"plain_text_{field}")
    if len(set(texts)) > 1:
        found.append(f"duplicate_{field}")
    return found


def _stripped(value: SecretStr) -> SecretStr:
    return SecretStr(value.get_secret_value().strip())


def _digest(account_id: str, found: _Found) -> bytes:
    """Digest what was stored, under a key of this process: a plain-text secret can't be guessed from it."""
    values = {field: value.get_secret_value() for field, value in found.values.items()}
    return _keyed(json.dumps([account_id, values, found.testnet], sort_keys=True).encode())


def _keyed(text: bytes) -> bytes:
    return hashlib.blake2b(text, key=_digest_salt, digest_size=32).digest()
