"""From an account's row to its credentials, through the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from axisor_executor.credentials.cache import CredentialCache
from axisor_executor.credentials.keyring import KeyRing
from axisor_executor.credentials.row import RowJson, StoredCredentials, mark_of
from axisor_executor.credentials.secure import SecureCredentials

if TYPE_CHECKING:
    from axisor_executor.settings import Settings


class OpenedCredentials(NamedTuple):
    """What :meth:`Vault.credentials_for` found.

    ``was_hit`` tells whether it came from the cache; ``warnings`` are codes on the row (see ``StoredCredentials``).
    """

    credentials: SecureCredentials
    was_hit: bool
    warnings: tuple[str, ...]


class Vault:
    """The key ring and the cache, together: what a process needs one of.

    Attributes:
        ring: encrypts and decrypts.
        cache: counts its hits and misses.
    """

    def __init__(self, ring: KeyRing, cache: CredentialCache) -> None:
        self.ring = ring
        self.cache = cache

    @classmethod
    def from_settings(cls, settings: Settings, clock: Callable[[], float] = time.monotonic) -> Vault:
        """Return a vault with the settings' keys, cache size and cache time. ``clock``: seconds, monotonic."""
        cache = CredentialCache(settings.credentials_cache_size, settings.credentials_cache_seconds, clock)
        return cls(KeyRing.from_settings(settings), cache)

    def credentials_for(self, user_id: str, account_id: str, row_json: RowJson) -> OpenedCredentials:
        """Return the credentials that ``row_json``, the account's row as it is now, holds.

        Raises:
            CredentialsError: code ``credentials_missing`` or ``credentials_unreadable``; nothing may be sent.
            SettingsError: the row is encrypted and no key is set.
        """
        mark = mark_of(row_json)
        kept = self.cache.kept(user_id, account_id, mark) if mark is not None else None
        if kept is not None:
            return OpenedCredentials(kept[0], True, kept[1])
        row = StoredCredentials(row_json, account_id=account_id)
        del row_json  # it may hold a secret in plain text, and an error carries this frame
        credentials, was_hit = self.cache.get(user_id, account_id, row, lambda: row.open(self.ring))
        return OpenedCredentials(credentials, was_hit, row.warnings)
