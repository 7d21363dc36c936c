"""How long figures and metrics take on a large ledger: makes executions in an empty database and times each question.

python benchmarks/figures.py sqlite:////tmp/figures.db --executions 1000000
python benchmarks/figures.py postgresql://user:password@localhost/empty
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from axisor_executor import exposition
from axisor_executor.runtime import Runtime
from axisor_executor.settings import Settings
from axisor_executor.storage import counts, figures
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

DAYS = 30
ACCOUNTS = 5000
TRIES = 5


def fill(storage: Storage, executions: int) -> None:
    """Make executions of the last 30 days: of a hundred 2 fail, 1 is cancelled, and of a million 50 are uncertain."""
    made = {
        True: "strftime('%Y-%m-%d %H:%M:%f', 'now', (-n * 2592000.0 / ?) || ' seconds'{more})",
        False: "clock_timestamp() - n * interval '2592000 seconds' / ?{more}",
    }[storage.is_sqlite]
    half = (", '+0.5 seconds'", " + interval '0.5 second'")[not storage.is_sqlite]
    begun, ended = made.replace("{more}", ""), made.replace("{more}", half)
    text = "CAST(n AS TEXT)"
    storage.run(
        "INSERT INTO axisor_executions (id, user_id, automation_id, automation_type, account_id, account_name, "
        "exchange, lane, lane_rank, job, status, error, created_at, started_at, finished_at) "
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {executions}) "
        f"SELECT 'execution-' || {text}, 'user-' || CAST(n % {ACCOUNTS} AS TEXT), 'automation', 'margin_guard', "
        f"'account-' || CAST(n % {ACCOUNTS} AS TEXT), 'Account', 'lnmarkets', 'protect', 0, '{{}}', "
        "CASE WHEN n % 20000 = 0 THEN 'uncertain' WHEN n % 50 = 0 THEN 'failed' WHEN n % 100 = 1 THEN 'cancelled' "
        "ELSE 'completed' END, "
        f"""{"" if storage.is_sqlite else "("}CASE WHEN n % 50 = 0 THEN '{{"code": "exchange_unavailable"}}' END"""
        f"{'' if storage.is_sqlite else ')::jsonb'}, {begun}, {begun}, {ended} FROM numbers",
        *[executions] * 3,
    )
    storage.run("ANALYZE axisor_executions")


def main() -> None:
    """Fill the database if it is empty, and time each question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("--executions", type=int, default=1_000_000)
    given = parser.parse_args()
    storage = Storage(given.database_url)
    migrate(storage, create_monolith_tables=True)
    with storage.connection():
        if storage.one("SELECT 1 FROM axisor_executions LIMIT 1") is None:
            began = time.perf_counter()
            with storage.write():
                fill(storage, given.executions)
            print(f"{given.executions} executions made in {time.perf_counter() - began:.1f} s")
    runtime = Runtime(Settings(database_url=given.database_url, redis_url="redis://127.0.0.1:1"), storage=storage)
    questions: dict[str, Callable[[], object]] = {"all metrics (without Redis)": lambda: exposition.render(runtime)}
    for name, seconds in (("1 h", 3600), ("1 day", 86_400), ("30 days", 2_592_000)):
        questions |= {
            f"performance, {name}": lambda seconds=seconds: figures.performance(storage, seconds),
            f"100 accounts by id, {name}": lambda seconds=seconds: figures.accounts(storage, seconds),
            f"20 worst accounts, {name}": lambda seconds=seconds: figures.accounts(
                storage, seconds, worst_first=True, limit=20
            ),
            f"one account, {name}": lambda seconds=seconds: figures.account(storage, "account-50", seconds),
        }
    questions["counts of all processes"] = lambda: counts.total(storage)
    with storage.connection():
        for name, ask in questions.items():
            print(f"{name:32} {statistics.median(timed(ask) for _ in range(TRIES)) * 1000:9.1f} ms")
    runtime.close()


def timed(ask: Callable[[], object]) -> float:
    """Return how long a question takes, in seconds."""
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
