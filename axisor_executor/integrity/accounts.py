"""Accounts: their users, exchanges and credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator

from axisor_executor.credentials import KeyRing, SecureCredentials, StoredCredentials
from axisor_executor.errors import CredentialsError
from axisor_executor.integrity.findings import Findings
from axisor_executor.plugins import Registry
from axisor_executor.run.acting import LN_MARKETS
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.paging import paged

_ACCOUNTS = """
SELECT u.id, u.user_id, u.account_name, CAST(u.credentials AS TEXT), e.slug
FROM user_exchange_accounts u LEFT JOIN exchanges e ON e.id = u.exchange_id
WHERE {behind} ORDER BY u.id LIMIT ?
"""
_SEVERAL_ACTIVE = """
SELECT user_id FROM user_exchange_accounts WHERE is_active = ? AND {behind}
GROUP BY user_id HAVING COUNT(*) > 1 ORDER BY user_id LIMIT ?
"""
_ACTIVE = (
    "SELECT account_name, id FROM user_exchange_accounts WHERE user_id = ? AND is_active = ? ORDER BY created_at, id"
)
USERS = ("User", "users")
"""How the monolith's table of users may be called; a database of our own has none."""


def look_at_accounts(found: Findings, storage: Storage, settings: Settings, registry: Registry | None) -> None:
    """Look at every account."""
    ring = KeyRing.from_settings(settings) if settings.ring_keys else None
    if ring is None:
        found.state("no_key")
    exchanges = None if registry is None else {*LN_MARKETS, *registry.exchanges}
    owners: dict[tuple[str | None, str], str] = {}
    pepper = os.urandom(32)
    for account_id, user_id, name, credentials, slug in paged(storage, _ACCOUNTS, "u.id"):
        item = {"accountId": account_id, "accountName": name, "userId": user_id}
        if slug is None:
            found.note("exchange_missing", item)
        elif exchanges is not None and slug not in exchanges:
            found.note("exchange_unknown", {**item, "message": f"exchange {slug}"})
        stored = StoredCredentials(credentials, account_id=account_id)
        for kind, message in _credentials_problems(stored, ring):
            found.note(kind, {**item, "message": message})
        keys = _opened(stored, ring)
        if keys is not None:
            other = owners.setdefault((slug, keys.fingerprint(pepper)), account_id)
            if other != account_id:
                found.note("account_twice", {**item, "message": f"the API key of account {other}"})


def look_at_users(found: Findings, storage: Storage) -> None:
    """Look for users with several active accounts, and for what belongs to a user who is not there."""
    for (user_id,) in paged(storage, _SEVERAL_ACTIVE, "user_id", True):
        active = storage.rows(_ACTIVE, user_id, True)
        names = ", ".join(f"{name} ({account_id})" for name, account_id in active)
        found.note("several_active_accounts", {"userId": user_id, "message": names})
    users = next((name for name in USERS if name in storage.tables), None)
    if users is None:
        return
    for table, named in (("user_exchange_accounts", "accountId"), ("Automation", "automationId")):
        sql = (
            f'SELECT t.id, t.user_id FROM "{table}" t '  # noqa: S608
            f'LEFT JOIN "{users}" o ON CAST(o.id AS TEXT) = CAST(t.user_id AS TEXT) '
            "WHERE o.id IS NULL AND {behind} ORDER BY t.id LIMIT ?"
        )
        for row_id, user_id in paged(storage, sql, "t.id"):
            found.note("user_missing", {named: row_id, "userId": user_id})


def _credentials_problems(stored: StoredCredentials, ring: KeyRing | None) -> Iterator[tuple[str, str]]:
    for start, kind in (("plain_text_", "credentials_plain_text"), ("duplicate_", "credentials_twice")):
        if fields := [code.removeprefix(start) for code in stored.warnings if code.startswith(start)]:
            yield kind, ", ".join(fields)
    try:
        if ring is None:
            stored.check()
        elif unusable := stored.open(ring).unusable():
            yield "credentials_invalid", ", ".join(unusable)
    except CredentialsError as error:
        yield error.code, error.message


def _opened(stored: StoredCredentials, ring: KeyRing | None) -> SecureCredentials | None:
    try:
        return None if ring is None else stored.open(ring)
    except CredentialsError:
        return None
