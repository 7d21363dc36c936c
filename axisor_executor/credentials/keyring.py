"""The ring of encryption keys: the newest writes, all read."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import SecretStr

from axisor_executor.credentials.ciphers import CipherKey, Field, Format, format_of, key_id_of
from axisor_executor.errors import CredentialsError, SettingsError

if TYPE_CHECKING:
    from axisor_executor.settings import Settings

#: How the monolith spells the fields; errors name them so.
LABELS: dict[Field, str] = {"key": "API Key", "secret": "API Secret", "passphrase": "Passphrase"}

_memo_salt = os.urandom(32)
_derived: dict[bytes, CipherKey] = {}
_deriving = threading.Lock()


def _derive_once(encryption_key: SecretStr) -> CipherKey:
    """Return the key's ciphers; scrypt runs once per key and process, however many rings and threads ask."""
    mark = hashlib.blake2b(encryption_key.get_secret_value().encode("utf-8", "surrogatepass"), key=_memo_salt).digest()
    if mark not in _derived:
        with _deriving:
            if mark not in _derived:
                _derived[mark] = CipherKey(encryption_key)
    return _derived[mark]


class KeyRing:
    """Encrypts with the first of its keys and decrypts with any; shows none of them.

    Keys are derived when they are first needed. A ring without keys can be made; using it fails.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[SecretStr]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyRing:
        """Return the ring of ``AXISOR_ENCRYPTION_KEYS`` and, last, ``ENCRYPTION_KEY``."""
        return cls(settings.ring_keys)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the one that writes first; empty for a ring without keys. They give no key away."""
        return tuple(_derive_once(key).key_id for key in self._keys)

    def newest(self) -> KeyRing:
        """Return a ring of nothing but the key that writes.

        Raises:
            SettingsError: there is no key.
        """
        return KeyRing(self._present_keys()[:1])

    def encrypt(
        self,
        text: SecretStr,
        *,
        format: Format,  # noqa: A002  the setting's word
        account_id: str,
        field: Field,
    ) -> str:
        """Encrypt a credential of an account with the newest key.

        Raises:
            SettingsError: there is no key.
        """
        newest = _derive_once(self._present_keys()[0])
        if format == "sealed":
            return newest.seal(text, account_id, field)
        return newest.encrypt_monolith(text)

    def decrypt(self, value: SecretStr, *, account_id: str, field: Field) -> SecretStr:
        """Decrypt a credential of an account, whichever format it is in.

        Raises:
            CredentialsError: code ``credentials_unreadable``; the value is damaged, belongs to another account or
                field, or was encrypted with a key that is not in the ring. The user can enter the credentials anew.
            SettingsError: there is no key.
        """
        keys = self._present_keys()
        shape = format_of(value.get_secret_value())
        if shape == "sealed":
            found, reason = self._open_sealed(keys, value, account_id, field)
        else:
            found, reason = _open_monolith(keys, value), f"can't be decrypted (keys tried: {len(keys)})"
        if found is None:
            raise unreadable(account_id, field, reason)
        return found

    def readings(self, value: SecretStr, *, account_id: str, field: Field) -> dict[str, SecretStr]:
        """Return what every key that can read a credential makes of it, by the keys' ids; empty if none can.

        Raises:
            SettingsError: there is no key.
        """
        text = value.get_secret_value()
        found = {}
        for cipher in map(_derive_once, self._present_keys()):
            opened = cipher.open_monolith(text)
            if opened is None:
                opened = cipher.open_sealed(text, account_id, field)
            if opened is not None:
                found[cipher.key_id] = opened
        return found

    def _open_sealed(
        self, keys: tuple[SecretStr, ...], value: SecretStr, account_id: str, field: Field
    ) -> tuple[SecretStr | None, str]:
        key_id = key_id_of(value.get_secret_value())
        if key_id is None:
            return None, "is damaged, or sealed by a newer version"
        for cipher in map(_derive_once, keys):
            if cipher.key_id == key_id:
                opened = cipher.open_sealed(value.get_secret_value(), account_id, field)
                return opened, "was altered, or sealed for another account or field"
        return None, f"was sealed with a key that is not given (keys tried: {len(keys)})"

    def _present_keys(self) -> tuple[SecretStr, ...]:
        if not self._keys:
            problem = "ENCRYPTION_KEY is not set, and credentials can't be read or written without it"
            raise SettingsError(problem, problems=[problem])
        return self._keys


def _open_monolith(keys: tuple[SecretStr, ...], value: SecretStr) -> SecretStr | None:
    for cipher in map(_derive_once, keys):
        opened = cipher.open_monolith(value.get_secret_value())
        if opened is not None:
            return opened
    return None


def unreadable(account_id: str, field: Field, reason: str) -> CredentialsError:
    """Return the error for a field of an account's credentials that can't be read."""
    message = f"The {LABELS[field]} of account {account_id} {reason}"
    return CredentialsError(message, code="credentials_unreadable", account_id=account_id)
