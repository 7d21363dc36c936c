"""Look at everything, in order."""

from __future__ import annotations

from axisor_executor import standing
from axisor_executor.configs import Checker
from axisor_executor.integrity.accounts import look_at_accounts, look_at_users
from axisor_executor.integrity.automations import look_at_automations
from axisor_executor.integrity.findings import Findings
from axisor_executor.integrity.ledger import look_at_ledger
from axisor_executor.plugins import Registry
from axisor_executor.run.deciding import Deciders
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import MIGRATIONS, missing_monolith_tables, owns_monolith_tables

LIMIT = 1000
_COUNTED = {
    "users": 'SELECT user_id FROM user_exchange_accounts UNION SELECT user_id FROM "Automation"',
    "accounts": "SELECT id FROM user_exchange_accounts",
    "automations": 'SELECT id FROM "Automation"',
    "executions": "SELECT id FROM axisor_executions",
}


def look(storage: Storage, settings: Settings, registry: Registry | None, *, limit: int = LIMIT) -> Findings:
    """Look at everything in a database; changes nothing.

    Args:
        storage: the database, as it is.
        settings: for the keys that decrypt.
        registry: the plugins; None leaves out what only they can tell.
        limit: how many of each kind are named; all are counted.

    Raises:
        StorageError: the database fails, or refuses to be read.
    """
    with storage.explained():
        return _look(storage, settings, registry, Findings(limit))


def _look(storage: Storage, settings: Settings, registry: Registry | None, found: Findings) -> Findings:
    if missing := missing_monolith_tables(storage):
        found.state("tables_missing", f"Tables are missing: {', '.join(missing)}")
        return found
    outdated = standing.outdated(storage)
    if outdated is None:
        origin = "made by us" if owns_monolith_tables(storage) else "the monolith's"
        found.facts["Schema"] = f"{len(MIGRATIONS)} (up to date); automations' tables {origin}"
    else:
        problem = found.state("schema", f"Our tables are not those of schema {len(MIGRATIONS)}")
        if outdated.code == "schema_too_new":
            problem.message, problem.advice = outdated.message, "Upgrade axisor-executor: going back is not possible."
    _count(found, storage)
    look_at_users(found, storage)
    look_at_accounts(found, storage, settings, registry)
    checker = None if registry is None else Checker(registry, Deciders(), settings.decide_seconds)
    look_at_automations(found, storage, checker)
    if outdated is None:
        look_at_ledger(found, storage)
    return found


def _count(found: Findings, storage: Storage) -> None:
    for name, rows in _COUNTED.items():
        if name != "executions" or "axisor_executions" in storage.tables:
            row = storage.one(f"SELECT COUNT(*) FROM ({rows}) counted")  # noqa: S608
            found.counts[name] = int(row[0]) if row else 0
    found.facts["Holds"] = ", ".join(f"{count} {name}" for name, count in found.counts.items())
