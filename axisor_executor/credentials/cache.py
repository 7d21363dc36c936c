"""Decrypted credentials of each account, kept for a while."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakValueDictionary

from cachetools import TTLCache

from axisor_executor.credentials.row import RowJson, StoredCredentials
from axisor_executor.credentials.secure import SecureCredentials
from axisor_executor.observe import metrics


class _Entry(NamedTuple):
    user_id: str
    account_id: str
    digest: bytes
    mark: bytes | None
    credentials: SecureCredentials
    warnings: tuple[str, ...]


class CredentialCache:
    """Credentials by ``{userId}-{accountId}``, used only while the row is what they were decrypted from.

    Safe for threads. When many ask for one account at once, one loads and the others wait for it; if it fails, each
    tries for itself, and nothing is kept. Different accounts never wait for each other.

    Args:
        size: accounts kept at most; the least recently used one goes.
        ttl_seconds: how long an entry is kept.
        clock: seconds, monotonic.

    Attributes:
        hits: answers without a load of one's own, since the start of the process.
        misses: loads, failed ones included.
    """

    def __init__(
        self, size: int = 10_000, ttl_seconds: float = 300, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hits = 0
        self.misses = 0
        self._entries: TTLCache[str, _Entry] = TTLCache(size, ttl_seconds, timer=clock)
        self._guard = threading.Lock()  # held for look-ups only, never during a load
        # A lock lives as long as someone loads or waits under it.
        self._loading: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def kept(self, user_id: str, account_id: str, mark: bytes) -> tuple[SecureCredentials, tuple[str, ...]] | None:
        """Return the credentials loaded from the row of exactly this ``mark``, and what is to be said of that row.

        The row needs no reading then. ``None`` does not mean that there are none: ask :meth:`get`.
        """
        with self._guard:
            try:
                entry = self._entries[f"{user_id}-{account_id}"]
            except KeyError:
                return None
            if (entry.user_id, entry.account_id, entry.mark) != (user_id, account_id, mark):
                return None
            self.hits += 1
        metrics.credentials_lookups.add("hit")
        return entry.credentials, entry.warnings

    def get(
        self,
        user_id: str,
        account_id: str,
        row_json: RowJson | StoredCredentials,
        load: Callable[[], SecureCredentials],
    ) -> tuple[SecureCredentials, bool]:
        """Return the account's credentials and whether they were there already (``was_hit``).

        ``row_json`` is what the row holds now; if that is not what the entry was loaded from, ``load`` is called.

        Raises:
            CredentialsError: the row as it is now can't be used (see ``StoredCredentials.check``), or from ``load``.
        """
        row = (
            row_json if isinstance(row_json, StoredCredentials) else StoredCredentials(row_json, account_id=account_id)
        )
        del row_json  # it may hold a secret in plain text
        row.check()
        name = f"{user_id}-{account_id}"
        found = self._find(name, user_id, row)
        if found is None:
            with self._lock_for(name):
                found = self._find(name, user_id, row)  # whom we waited for may have loaded it
                if found is None:
                    return self._load(name, user_id, row, load), False
        with self._guard:
            self.hits += 1
        metrics.credentials_lookups.add("hit")
        return found, True

    def clear(self) -> None:
        """Forget all entries; the counters stay."""
        with self._guard:
            self._entries.clear()

    def _find(self, name: str, user_id: str, row: StoredCredentials) -> SecureCredentials | None:
        with self._guard:
            entry = self._entries.get(name)
        # The name alone is not enough: "a-b" and "c" share one with "a" and "b-c".
        if entry is None or (entry.user_id, entry.account_id) != (user_id, row.account_id):
            return None
        return entry.credentials if hmac.compare_digest(entry.digest, row.digest) else None

    def _lock_for(self, name: str) -> threading.Lock:
        with self._guard:
            lock = self._loading.get(name)
            if lock is None:
                lock = self._loading[name] = threading.Lock()
            return lock

    def _load(
        self, name: str, user_id: str, row: StoredCredentials, load: Callable[[], SecureCredentials]
    ) -> SecureCredentials:
        with self._guard:
            self.misses += 1
        metrics.credentials_lookups.add("miss")
        credentials = load()
        with self._guard:
            self._entries[name] = _Entry(user_id, row.account_id, row.digest, row.mark, credentials, row.warnings)
        return credentials
