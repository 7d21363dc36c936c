"""What a job costs the database does not go with how many executions wait, whatever the planner was told before."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from axisor_executor.ids import uuid7
from axisor_executor.storage import claiming, executions, taking
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

ENDED, WAITING = 20_000, 3_000
ROWS = (
    "INSERT INTO axisor_executions (id, user_id, automation_id, account_id, lane, lane_rank, job, status, created_at, "
    "finished_at) SELECT ? || n, 'user', 'automation' || n % 50, 'account' || n, 'protect', 0, '{}', ?, {now}, "
    "CASE WHEN ? = 'completed' THEN {now} END FROM generate_series(1, ?) n"
)


@pytest.mark.parametrize("what", ["claim", "mark_sent", "take"])
def test_an_execution_is_found_in_a_backlog_that_the_planner_has_not_heard_of(what: str, postgres_url: str) -> None:
    storage = Storage(postgres_url)
    migrate(storage, create_monolith_tables=True)
    with storage.connection():
        storage.run(ROWS, f"{uuid7()}-", "completed", "completed", ENDED)
        _vacuum(postgres_url)  # as autovacuum does, while nothing waits
        storage.run(ROWS, prefix := f"{uuid7()}-", "queued", "queued", WAITING)
        before = _rows_looked_at(storage)
        one = f"{prefix}{WAITING // 2}"
        if what == "claim":
            assert claiming.claim(storage, one, worker_id="one", lease_seconds=6.0) is not None
        elif what == "mark_sent":
            executions.mark_sent(storage, one)
        else:
            new = taking.NewExecution("user", "automation2", "protect", {"v": 1}, 60.0, collapses=True)
            assert taking.record(storage, new)[1]
        looked_at = _rows_looked_at(storage) - before
    storage.close()
    assert looked_at < (10 if what != "take" else 200), f"{looked_at} rows were looked at for one"


def _vacuum(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE axisor_executions")


def _rows_looked_at(storage: Storage) -> int:
    storage.run("SELECT pg_stat_force_next_flush()")
    row = storage.one(
        "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'axisor_executions'"
    )
    assert row is not None
    return int(row[0])
