"""Our tables, and (on a database of our own) the monolith's: forward-only migrations.

Safe to run twice and from two processes at once: each migration runs in one transaction, under a lock, and is
recorded in ``axisor_schema`` by that same transaction.
"""

from __future__ import annotations

import peewee

from axisor_executor.errors import StorageError
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.postgres import code_of

LOCK_SECONDS = 60
"""How long to wait for another process that migrates the same database: of a large table it may make an index."""
TABLE_SECONDS = 5
"""How long to wait for a table that is in use: meanwhile everybody else who wants it waits behind us."""

MONOLITH_TABLES = ("exchanges", "user_exchange_accounts", "Automation", "TradeLog")
_LOCK = 0x61_78_69_73  # "axis": the advisory lock that migrations of one PostgreSQL database share
_LOCKED = ("55P03", "SQLITE_BUSY")
_FORBIDDEN = ("42501", "25006", "SQLITE_READONLY")

# PostgreSQL writes each new version of a row into all of its indexes, also of columns that are NULL, except where the
# page has room for it and no indexed column was changed. A run writes three versions of its execution.
_LEANER = """
ALTER TABLE axisor_executions DROP CONSTRAINT axisor_executions_message_id_key;
ALTER TABLE axisor_executions DROP CONSTRAINT axisor_executions_user_id_idempotency_key_key;
CREATE UNIQUE INDEX axisor_executions_message ON axisor_executions (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX axisor_executions_idempotency ON axisor_executions (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
ALTER TABLE axisor_executions SET (fillfactor = 60);
"""

_DIALECT = {
    True: {"JSON": "TEXT", "INSTANT": "TEXT", "BOOL": "INTEGER", "ON": "1", "OFF": "0", "LEANER": ""},
    False: {
        "JSON": "JSONB",
        "INSTANT": "TIMESTAMPTZ",
        "BOOL": "BOOLEAN",
        "ON": "TRUE",
        "OFF": "FALSE",
        "LEANER": _LEANER,
    },
}

_MONOLITH_SHAPED = """
CREATE TABLE exchanges (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, slug TEXT NOT NULL UNIQUE,
    is_active [BOOL] NOT NULL DEFAULT [ON], api_version TEXT);
CREATE TABLE user_exchange_accounts (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, exchange_id TEXT NOT NULL REFERENCES exchanges(id),
    account_name TEXT NOT NULL, credentials [JSON] NOT NULL, is_active [BOOL] NOT NULL DEFAULT [ON],
    is_verified [BOOL] NOT NULL DEFAULT [OFF], last_test [INSTANT],
    created_at [INSTANT] NOT NULL, updated_at [INSTANT] NOT NULL);
CREATE INDEX user_exchange_accounts_user ON user_exchange_accounts (user_id);
CREATE TABLE "Automation" (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL,
    user_exchange_account_id TEXT REFERENCES user_exchange_accounts(id),
    type TEXT NOT NULL, config [JSON] NOT NULL, is_active [BOOL] NOT NULL DEFAULT [ON],
    status TEXT, risk_level TEXT, created_at [INSTANT] NOT NULL, updated_at [INSTANT] NOT NULL);
CREATE INDEX "Automation_user" ON "Automation" (user_id);
CREATE TABLE "TradeLog" (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, automation_id TEXT REFERENCES "Automation"(id),
    trade_id TEXT NOT NULL, status TEXT NOT NULL, action TEXT, pnl DOUBLE PRECISION, amount DOUBLE PRECISION,
    price DOUBLE PRECISION, error_message TEXT, executed_at [INSTANT], created_at [INSTANT] NOT NULL);
CREATE INDEX "TradeLog_user" ON "TradeLog" (user_id, created_at);
"""

_OWN_1 = """
CREATE TABLE axisor_executions (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, automation_id TEXT NOT NULL, automation_type TEXT,
    account_id TEXT, account_name TEXT, exchange TEXT, lane TEXT NOT NULL, lane_rank SMALLINT NOT NULL,
    job [JSON] NOT NULL, trade_id TEXT, idempotency_key TEXT, message_id TEXT UNIQUE,
    status TEXT NOT NULL, wait_for TEXT, due_at [INSTANT], tries INTEGER NOT NULL DEFAULT 0,
    looks INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, plan_version INTEGER NOT NULL DEFAULT 0, plan [JSON], old_plans [JSON],
    result [JSON], error [JSON], worker_id TEXT, fence BIGINT NOT NULL DEFAULT 0,
    sends INTEGER NOT NULL DEFAULT 0, sent_at [INSTANT],
    created_at [INSTANT] NOT NULL, started_at [INSTANT], finished_at [INSTANT], expires_at [INSTANT],
    UNIQUE (user_id, idempotency_key));
CREATE INDEX axisor_executions_live ON axisor_executions (status, due_at)
    WHERE status IN ('queued', 'running', 'waiting');
CREATE INDEX axisor_executions_line ON axisor_executions (account_id, lane_rank, id)
    WHERE status = 'waiting' AND wait_for = 'lease';
CREATE INDEX axisor_executions_automation ON axisor_executions (automation_id, created_at);
CREATE INDEX axisor_executions_account ON axisor_executions (account_id, created_at);
CREATE INDEX axisor_executions_created ON axisor_executions (created_at);
CREATE TABLE axisor_actions (
    execution_id TEXT NOT NULL, seq INTEGER NOT NULL, plan_version INTEGER NOT NULL,
    group_index INTEGER NOT NULL, step_index INTEGER NOT NULL, kind TEXT NOT NULL, trade_id TEXT,
    params [JSON] NOT NULL, automation_id TEXT NOT NULL, account_id TEXT NOT NULL, status TEXT NOT NULL,
    timestamp_ms BIGINT, baseline [JSON], exchange_user_id TEXT, key_fingerprint TEXT, client_id TEXT,
    answer [JSON], error [JSON], new_trade_id TEXT, created_at [INSTANT] NOT NULL, sent_at [INSTANT],
    settled_at [INSTANT], PRIMARY KEY (execution_id, seq));
CREATE INDEX axisor_actions_trade ON axisor_actions (trade_id) WHERE trade_id IS NOT NULL;
CREATE INDEX axisor_actions_unsettled ON axisor_actions (account_id) WHERE status IN ('sending', 'unknown');
CREATE INDEX axisor_actions_automation ON axisor_actions (automation_id, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX axisor_actions_client ON axisor_actions (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX axisor_actions_new_trade ON axisor_actions (new_trade_id) WHERE new_trade_id IS NOT NULL;
CREATE TABLE axisor_leases (
    account_id TEXT PRIMARY KEY, execution_id TEXT NOT NULL, worker_id TEXT, fence BIGINT NOT NULL,
    until [INSTANT] NOT NULL);
CREATE TABLE axisor_switches (
    scope TEXT NOT NULL, scope_id TEXT NOT NULL DEFAULT '', mode TEXT NOT NULL, reason TEXT,
    created_at [INSTANT] NOT NULL, PRIMARY KEY (scope, scope_id));
CREATE TABLE axisor_trade_lineage (
    account_id TEXT NOT NULL, old_id TEXT NOT NULL, new_id TEXT NOT NULL, execution_id TEXT NOT NULL,
    created_at [INSTANT] NOT NULL, PRIMARY KEY (account_id, old_id));
CREATE INDEX axisor_trade_lineage_new ON axisor_trade_lineage (account_id, new_id);
CREATE TABLE axisor_workers (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started_at [INSTANT] NOT NULL,
    heartbeat_at [INSTANT] NOT NULL, counters [JSON]);
"""

_OWN_2 = """
CREATE TABLE axisor_tokens (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, name TEXT NOT NULL, scopes [JSON] NOT NULL, user_id TEXT,
    created_at [INSTANT] NOT NULL, expires_at [INSTANT], last_used_at [INSTANT], revoked_at [INSTANT]);
CREATE INDEX axisor_executions_finished ON axisor_executions (finished_at) WHERE finished_at IS NOT NULL;
"""

_OWN_3 = """
ALTER TABLE axisor_actions ADD COLUMN dry_run [BOOL] NOT NULL DEFAULT [OFF];
ALTER TABLE axisor_actions ADD COLUMN request [JSON];
"""

_OWN_4 = """
CREATE TABLE axisor_counts (process TEXT PRIMARY KEY, counted_at [INSTANT] NOT NULL, counts [JSON] NOT NULL);
CREATE INDEX axisor_executions_account_finished ON axisor_executions (account_id, finished_at)
    WHERE finished_at IS NOT NULL;
CREATE INDEX axisor_executions_uncertain ON axisor_executions (finished_at) WHERE status = 'uncertain';
"""

_OWN_5 = """
CREATE TABLE axisor_sessions (
    digest TEXT PRIMARY KEY, token_id TEXT NOT NULL, created_at [INSTANT] NOT NULL, expires_at [INSTANT] NOT NULL);
"""

_OWN_6 = """
CREATE TABLE axisor_horizon (
    id SMALLINT PRIMARY KEY CHECK (id = 1), ended [INSTANT] NOT NULL, acted [INSTANT] NOT NULL);
"""

# A condition on the status would be met by what a run says of its own row, too (`id = ? AND status = 'running'`): told
# that nothing is live, as after a quiet night, PostgreSQL would look for it among all that is, and not by its id. For
# the same reason the second index has a condition of its own: what is asked of one automation must not go through the
# first.
_OWN_7 = """
DROP INDEX axisor_executions_live;
CREATE INDEX axisor_executions_live_automation ON axisor_executions (automation_id)
    WHERE (finished_at IS NULL) IS TRUE;
CREATE INDEX axisor_executions_live ON axisor_executions (status, due_at) WHERE finished_at IS NULL;
"""

_OWN_8 = "[LEANER]"

# The steps that are planned behind others: hardly ever any, and looked for by whatever is about to be sent.
_OWN_9 = """
CREATE INDEX axisor_actions_owed ON axisor_actions (account_id)
    WHERE status = 'planned' AND step_index > 0 AND NOT dry_run;
"""

MIGRATIONS: tuple[str, ...] = (_OWN_1, _OWN_2, _OWN_3, _OWN_4, _OWN_5, _OWN_6, _OWN_7, _OWN_8, _OWN_9)


def missing_monolith_tables(storage: Storage) -> tuple[str, ...]:
    """Return which of the monolith's tables are not there."""
    return tuple(name for name in MONOLITH_TABLES if name not in storage.tables)


def migrate(storage: Storage, *, create_monolith_tables: bool = False) -> int:
    """Bring our tables up to date and return how many migrations ran.

    Where they are up to date nothing is locked or written, so that a database user without the right to make tables
    will do.

    Args:
        storage: the database.
        create_monolith_tables: on a database without any of the monolith's tables, create those too.

    Raises:
        StorageError: the monolith's tables are missing (wholly, without ``create_monolith_tables``; or in part);
            the schema was made by a newer version of this library; it is an older one's, and can't be brought up to
            date, because this database user may not or because others do not let go of it; or the database fails.
    """
    with storage.explained():
        if is_current(storage):
            return 0
        try:
            return _bring_up_to_date(storage, create_monolith_tables=create_monolith_tables)
        except peewee.PeeweeException as error:
            raise _what_hindered(error, storage.reason(error)) from None


def _bring_up_to_date(storage: Storage, *, create_monolith_tables: bool) -> int:
    with storage.write():
        if not storage.is_sqlite:
            storage.run(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            storage.run("SELECT pg_advisory_xact_lock(?)", _LOCK)
            storage.run(f"SET LOCAL lock_timeout = '{TABLE_SECONDS}s'")
        storage.forget_tables()
        ours = _prepare_monolith(storage, create=create_monolith_tables)
        done = _version(storage)
        if done > len(MIGRATIONS):
            raise StorageError(
                f"the database has schema {done}, this version knows {len(MIGRATIONS)}: upgrade axisor-executor",
                code="schema_too_new",
            )
        storage.run(
            "CREATE TABLE IF NOT EXISTS axisor_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL, "
            "owns_monolith_tables INTEGER NOT NULL)"
        )
        for number, text in enumerate(MIGRATIONS[done:], start=done + 1):
            _run_script(storage, text)
            storage.run(
                "INSERT INTO axisor_schema (version, applied_at, owns_monolith_tables) VALUES (?, {now}, ?)",
                number,
                int(ours),
            )
        storage.forget_tables()
    return len(MIGRATIONS) - done


def _what_hindered(error: Exception, reason: str) -> Exception:
    """Return what to tell of a migration that failed; what says nothing about migrations stays as it is."""
    code = code_of(error) or str(getattr(getattr(error, "orig", None), "sqlite_errorname", ""))
    if code.startswith(_LOCKED):
        return StorageError(
            f"our tables are to be brought up to date, and another process does not let go of them ({reason}): "
            "try again when it is done",
            code="schema_locked",
            status=503,
        )
    if code.startswith(_FORBIDDEN):
        return StorageError(
            f"our tables are to be brought up to date, and this database user may not ({reason}): "
            "run `axisor-executor db init` as one that may",
            code="schema_outdated",
        )
    return error


def is_current(storage: Storage) -> bool:
    """Return whether every migration has run and the monolith's tables are there."""
    storage.forget_tables()
    return not missing_monolith_tables(storage) and _version(storage) == len(MIGRATIONS)


def owns_monolith_tables(storage: Storage) -> bool:
    """Return whether the monolith-shaped tables are of our own making (then nobody else reads the credentials)."""
    row = storage.one("SELECT MAX(owns_monolith_tables) FROM axisor_schema")
    return bool(row and row[0])


def _prepare_monolith(storage: Storage, *, create: bool) -> bool:
    missing = missing_monolith_tables(storage)
    if not missing:
        return False
    if len(missing) < len(MONOLITH_TABLES):
        raise StorageError(
            f"some of the monolith's tables are missing: {', '.join(missing)}; is this the right database?",
            code="tables_missing",
        )
    if not create:
        raise StorageError(
            "the monolith's tables are not in this database: run `axisor-executor db init` to create them here, "
            "or point DATABASE_URL at the monolith's database",
            code="tables_missing",
        )
    _run_script(storage, _MONOLITH_SHAPED)
    return True


def _version(storage: Storage) -> int:
    if "axisor_schema" not in storage.tables:
        return 0
    row = storage.one("SELECT COALESCE(MAX(version), 0) FROM axisor_schema")
    return int(row[0]) if row else 0


def _run_script(storage: Storage, text: str) -> None:
    for name, value in _DIALECT[storage.is_sqlite].items():
        text = text.replace(f"[{name}]", value)
    for statement in text.split(";"):
        if statement.strip():
            storage.run(statement)
