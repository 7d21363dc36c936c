"""The secrets of a row one by one, each under the name it stands under: what a rotation reads and replaces.

``row`` says which credentials an account has; here, spellings that stand beside each other and all that is no secret
are kept as they are, so that a row can be written back with nothing changed but the secrets' encryption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from axisor_executor.credentials.ciphers import Field, Format, format_of, is_credential
from axisor_executor.credentials.keyring import KeyRing, unreadable
from axisor_executor.credentials.row import field_of, is_text
from axisor_executor.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret as it stands in a row: its name there, and its text. ``format`` is None for plain text."""

    name: str
    field: Field
    text: SecretStr
    format: Format | None


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry and what it says. ``key_id`` is that of the key that reads it, None for plain text."""

    entry: Entry
    key_id: str | None
    plain: SecretStr


class RowEntries:
    """The secrets that a row's column holds. Making one never raises, and it shows none of them.

    Attributes:
        account_id: the account whose row it is.
        entries: those that are not blank; none where the column can't be understood.
    """

    __slots__ = ("_nested", "_problem", "_row", "account_id", "entries")

    def __init__(self, text: SecretStr, *, account_id: str) -> None:
        self.account_id = account_id
        self._row, self._nested, self._problem = _parse(text)
        self.entries: tuple[Entry, ...] = ()
        if self._problem is None:
            named = [(name, field, value) for name, value in self._row.items() if (field := field_of(name)) is not None]
            if all(is_text(value) for _, _, value in named):
                self.entries = tuple(
                    _entry(name, field, value)
                    for name, field, value in named
                    if value is not None and str(value).strip()
                )
            else:
                self._problem = "hold something else than text"

    def __repr__(self) -> str:
        return f"RowEntries(<hidden>, account_id={self.account_id!r})"

    def open(self, ring: KeyRing) -> tuple[Opened, ...]:
        """Decrypt every entry, and tell by which key.

        Text in the monolith's format may, once in a thousand million times, seem to be readable with a wrong key: then
        the key that reads all of the row is the right one.

        Raises:
            CredentialsError: code ``credentials_unreadable``; some entry can't be read, or several keys read it.
            SettingsError: the ring has no key.
        """
        if self._problem is not None:
            raise CredentialsError(
                f"The credentials of account {self.account_id} {self._problem}",
                code="credentials_unreadable",
                account_id=self.account_id,
            )
        readings = {entry.name: self._readings(entry, ring) for entry in self.entries if entry.format is not None}
        common = set.intersection(*(set(found) for found in readings.values())) if readings else set()
        opened = []
        for entry in self.entries:
            if entry.format is None:
                if not is_credential(entry.text.get_secret_value()):
                    raise unreadable(self.account_id, entry.field, "holds control characters")
                opened.append(Opened(entry, None, entry.text))
                continue
            found = readings[entry.name]
            if len(common) == 1:
                found = {key_id: found[key_id] for key_id in common}
            if len(found) > 1:
                raise unreadable(self.account_id, entry.field, f"seems readable with keys {', '.join(found)}")
            ((key_id, plain),) = found.items()
            opened.append(Opened(entry, key_id, plain))
        return tuple(opened)

    def readers(self, ring: KeyRing) -> frozenset[str]:
        """Return the ids of the keys that read any entry, also where :meth:`open` can't tell what the row says."""
        encrypted = (entry for entry in self.entries if entry.format is not None)
        found = (ring.readings(entry.text, account_id=self.account_id, field=entry.field) for entry in encrypted)
        return frozenset(key_id for readings in found for key_id in readings)

    def replaced(self, texts: Mapping[str, str]) -> SecretStr:
        """Return the column's text with these texts in the place of the entries of those names."""
        row: Any = {**self._row, **texts}
        for _ in range(self._nested):
            row = json.dumps(row)
        return SecretStr(json.dumps(row))

    def differs_only_in(self, other: RowEntries, names: set[str]) -> bool:
        """Tell whether the two rows are the same but for what stands under these names."""
        return (
            self._nested == other._nested
            and self._row.keys() == other._row.keys()
            and all(self._row[name] == other._row[name] for name in self._row.keys() - names)
        )

    def _readings(self, entry: Entry, ring: KeyRing) -> dict[str, SecretStr]:
        found = ring.readings(entry.text, account_id=self.account_id, field=entry.field)
        if not found:
            ring.decrypt(entry.text, account_id=self.account_id, field=entry.field)  # says why
        return found


def _parse(text: SecretStr) -> tuple[dict[str, Any], int, str | None]:
    """Return the object, in how many JSON texts it is wrapped, and what is wrong, if anything."""
    row: Any = text.get_secret_value()
    texts = 0
    while isinstance(row, str) and texts < 2:  # a JSON column that holds a JSON text, as seen
        try:
            row = json.loads(row)
        except (ValueError, RecursionError):
            return {}, 0, "are not JSON"
        texts += 1
    if row is None:
        return {}, 0, None
    return (row, texts - 1, None) if isinstance(row, dict) else ({}, 0, "are not a JSON object")


def _entry(name: str, field: Field, value: object) -> Entry:
    text = str(value).strip()
    return Entry(name, field, SecretStr(text), format_of(text))
