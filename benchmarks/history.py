"""A past for a database: accounts with automations, executions with actions, TradeLog rows and leases, by bulk SQL.

Everything is copied from what one real job has left behind, so rows look as they do, whatever columns there are. The
tables are filled beside each other, each in the order of time, without the checks of foreign keys: a million executions
take a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.stack import Site

DAYS = 730
"""How far back the past reaches; it is spread evenly."""
ACTIVE_SHARE = 10
"""One in so many executions is of the accounts that were there before: they are the ones that jobs come from.

Uncertain ones are of others: an uncertain entry holds back all further ones of its automation.
"""

LEASE_LEFT = 100
"""One in so many accounts has a lease that a dead worker left behind: a run takes its own away when it ends."""

_ID = """(substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(hash, 1, 3) || '-8' || substr(hash, 4, 3)
    || '-' || substr(hash, 7, 12))"""
_PAST = f"""
CREATE UNLOGGED TABLE past AS
SELECT n, {_ID} AS id, begun, begun + interval '200 milliseconds' AS ended, o.* FROM (
    SELECT n, begun, lpad(to_hex((extract(epoch FROM begun) * 1000)::bigint), 12, '0') AS hex, md5(n::text) AS hash,
        CASE WHEN n % {ACTIVE_SHARE} = 0 THEN n / {ACTIVE_SHARE} % ? ELSE ? + (n + n / ?) % ? END AS owner
    FROM (SELECT n, clock_timestamp() - interval '1 hour' - (? - n) * interval '{DAYS} days' / ? AS begun
        FROM generate_series(1, ?) n) at
) made JOIN owners o ON o.number = made.owner ORDER BY n
"""
_OWNERS = """
CREATE UNLOGGED TABLE owners AS
SELECT row_number() OVER (ORDER BY u.created_at, u.id) - 1 AS number, u.id AS account_id, u.user_id, u.account_name,
    a.id AS automation_id
FROM user_exchange_accounts u JOIN "Automation" a ON a.user_exchange_account_id = u.id AND a.type = 'auto_entry'
"""


def make_past(site: Site, *, accounts: int, executions: int) -> None:
    """Add executions, and accounts until there are so many; a job of the first account is carried out for it."""
    template, own = site.accounts[0], len(site.accounts)
    others = accounts - own
    assert others > 0, "the past needs accounts of its own"
    done = _carried_out(site)
    with _filling(site):
        _copy_accounts(site, template.id, accounts)
        site.storage.run(_OWNERS)
        site.storage.run("CREATE UNIQUE INDEX ON owners (number)")
        site.storage.run("ANALYZE owners")
        site.storage.run(_PAST, own, own, others, others, executions, executions, executions)
    copies = (_copy_executions, _copy_actions, _copy_trade_log, _copy_leases)
    with ThreadPoolExecutor(len(copies)) as threads:
        for copied in [threads.submit(copy, site, done) for copy in copies]:
            copied.result()
    with site.storage.write():
        site.storage.run("DROP TABLE past")
        site.storage.run("DROP TABLE owners")
    tidy_up(site)


def _carried_out(site: Site) -> str:
    """Have one entry carried out, and return its execution's id."""
    site.stack.exchange.reset()
    (execution_id,) = site.enqueue("entry", 1)
    with site.workers(processes=1, threads=1):
        site.stack.wait_for_changes(1)  # it is at its end when the workers are
    row = site.storage.one("SELECT status FROM axisor_executions WHERE id = ?", execution_id)
    assert row == ("completed",), f"there is nothing to make a past from: the job is {row}"
    return execution_id


@contextmanager
def _filling(site: Site) -> Iterator[None]:
    with site.storage.write():
        site.storage.run("SET LOCAL session_replication_role = 'replica'")  # no checks of foreign keys
        yield


def _copy_accounts(site: Site, template: str, accounts: int) -> None:
    numbers = f"generate_series(1, {accounts - len(site.accounts)}) n"
    at = "clock_timestamp()"
    _copy(
        site,
        "user_exchange_accounts",
        {
            "id": "md5('account' || n)::uuid::text",
            "user_id": "'past-user-' || n",
            "account_name": "'Past ' || n",
            "created_at": at,
        },
        f"user_exchange_accounts t, {numbers} WHERE t.id = '{template}'",
    )
    _copy(
        site,
        "Automation",
        {
            "id": "md5(t.type || n)::uuid::text",
            "user_id": "'past-user-' || n",
            "user_exchange_account_id": "md5('account' || n)::uuid::text",
        },
        f"\"Automation\" t, {numbers} WHERE t.user_exchange_account_id = '{template}'",
    )


def _copy_executions(site: Site, template: str) -> None:
    with _filling(site):
        _copy(
            site,
            "axisor_executions",
            {
                "id": "p.id",
                "user_id": "p.user_id",
                "automation_id": "p.automation_id",
                "account_id": "p.account_id",
                "account_name": "p.account_name",
                "message_id": "NULL",
                "idempotency_key": "NULL",
                "status": _ended("uncertain", "failed", "completed"),
                "created_at": "p.begun",
                "sent_at": "p.begun",
                "started_at": "p.begun",
                "finished_at": "p.ended",
                "expires_at": "p.begun + interval '1 minute'",
            },
            f"axisor_executions t, past p WHERE t.id = '{template}'",
        )


def _copy_actions(site: Site, template: str) -> None:
    with _filling(site):
        _copy(
            site,
            "axisor_actions",
            {
                "execution_id": "p.id",
                "automation_id": "p.automation_id",
                "account_id": "p.account_id",
                "status": _ended("unknown", "rejected", "confirmed"),
                "client_id": "'ax-' || p.id || '-e3b0c442-0'",
                "new_trade_id": "md5('trade' || p.n)::uuid::text",
                "timestamp_ms": "extract(epoch FROM p.begun) * 1000",
                "created_at": "p.begun",
                "sent_at": "p.begun",
                "settled_at": "p.ended",
            },
            f"axisor_actions t, past p WHERE t.execution_id = '{template}'",
        )


def _copy_trade_log(site: Site, template: str) -> None:
    with _filling(site):
        _copy(
            site,
            "TradeLog",
            {
                "id": "md5('log' || p.n)::uuid::text",
                "user_id": "p.user_id",
                "automation_id": "p.automation_id",
                "trade_id": "md5('trade' || p.n)::uuid::text",
                "executed_at": "p.ended",
                "created_at": "p.ended",
            },
            f"""(SELECT l.* FROM "TradeLog" l JOIN axisor_executions e ON e.automation_id = l.automation_id
            WHERE e.id = '{template}' LIMIT 1) t, past p""",
        )


def _copy_leases(site: Site, template: str) -> None:  # noqa: ARG001  there is none left of a run that has ended
    with _filling(site):
        site.storage.run(
            "INSERT INTO axisor_leases (account_id, execution_id, worker_id, fence, until) "
            f"SELECT account_id, max(id), 'gone', 1, max(ended) FROM past WHERE number % {LEASE_LEFT} = 0 "
            "GROUP BY account_id ON CONFLICT DO NOTHING"
        )


def _ended(uncertain: str, failed: str, done: str) -> str:
    return f"CASE WHEN p.n % 20000 = 19997 THEN '{uncertain}' WHEN p.n % 50 = 0 THEN '{failed}' ELSE '{done}' END"


def _copy(site: Site, table: str, own: Mapping[str, str], source: str) -> None:
    """Insert rows like ``t`` of the source into a table, with ``own`` expressions for some columns."""
    columns = [column.name for column in site.storage.database.get_columns(table)]
    missing = own.keys() - set(columns)
    assert not missing, f"{table} has no columns {missing}"
    values = (own.get(column, f't."{column}"') for column in columns)
    site.storage.run(f'INSERT INTO "{table}" ({_names(columns)}) SELECT {", ".join(values)} FROM {source}')


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def tidy_up(site: Site) -> None:
    """Leave the database as autovacuum would after a while."""
    connection = site.storage.database.connection()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    connection.autocommit = False
