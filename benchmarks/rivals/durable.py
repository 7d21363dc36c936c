"""DBOS: workflows whose steps are recorded in PostgreSQL and carried out at least once.

``python durable.py put JOBS THREADS`` puts the jobs of a file on the queue, ``python durable.py serve THREADS`` works.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import requests
from account import BASE, JOB_SQL, LOG_SQL, RUNNING, TICKER, TRADE, headers, is_at_risk, keys_of, order
from dbos import DBOS, DBOSClient
from psycopg2.pool import ThreadedConnectionPool

URL = os.environ["DATABASE_URL"]
QUEUE = "jobs"
_local = threading.local()
_pool: list[ThreadedConnectionPool] = []


def _run(sql: str, values: tuple[Any, ...]) -> Any:
    connection = _pool[0].getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone() if cursor.description else None
    finally:
        _pool[0].putconn(connection)


def _load(user_id: str, automation_id: str) -> tuple[dict[str, Any], Any]:
    row = _run(JOB_SQL, (automation_id, user_id))
    return row[1], keys_of(row[2], row[5])


def _ask(method: str, path: str, keys: Any, body: str = "") -> Any:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    signed = headers(keys, method, path, body)
    answer = _local.session.request(method, BASE + path, data=body or None, headers=signed, timeout=10)
    answer.raise_for_status()
    return answer.json()


@DBOS.step()
def open_trade(user_id: str, automation_id: str, client_id: str) -> dict[str, Any]:
    """Open a trade at the market. The keys are read here: what a step returns is stored."""
    config, keys = _load(user_id, automation_id)
    return _ask("POST", TRADE, keys, order(config, client_id))


@DBOS.step()
def look(user_id: str, automation_id: str, trade_id: str) -> bool:
    """Tell whether a trade is at risk."""
    config, keys = _load(user_id, automation_id)
    trade = next(one for one in _ask("GET", RUNNING, keys) if one["id"] == trade_id)
    return is_at_risk(trade, _ask("GET", TICKER, keys)["lastPrice"], config["margin_threshold"])


@DBOS.step()
def close_trade(user_id: str, automation_id: str, trade_id: str) -> dict[str, Any]:
    """Close a trade."""
    _, keys = _load(user_id, automation_id)
    return _ask("POST", f"{TRADE}/close", keys, f'{{"id":"{trade_id}"}}')


@DBOS.step()
def record(user_id: str, automation_id: str, action: str, trade: dict[str, Any]) -> None:
    """Insert what was done into the TradeLog."""
    price = trade["exitPrice"] or trade["entryPrice"]
    row = (str(uuid.uuid4()), user_id, automation_id, trade["id"], action, trade["pl"], trade["margin"], price)
    _run(LOG_SQL, row)


@DBOS.workflow()
def entry(user_id: str, automation_id: str, _: str) -> None:
    """Open a trade and log it."""
    trade = open_trade(user_id, automation_id, f"ax-{DBOS.workflow_id}")
    record(user_id, automation_id, "auto_entry_executed", trade)


@DBOS.workflow()
def guard(user_id: str, automation_id: str, trade_id: str) -> None:
    """Close a trade that is at risk and log it."""
    if look(user_id, automation_id, trade_id):
        record(user_id, automation_id, "close_position", close_trade(user_id, automation_id, trade_id))


def start(threads: int, *, listens: bool) -> None:
    """Launch DBOS, as a worker or only to have its tables made."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": URL,
            "application_version": "bench",
            "executor_id": f"worker-{os.getpid()}",
            "max_executor_threads": threads,
            "sys_db_pool_size": threads + 8,
            "log_level": "WARNING",
        }
    )
    DBOS.listen_queues([QUEUE if listens else "none"])
    DBOS.launch()


def main() -> None:
    """Put jobs on the queue, or work."""
    if sys.argv[1] == "serve":
        threads = int(sys.argv[2])
        _pool.append(ThreadedConnectionPool(1, threads + 8, URL))
        start(threads, listens=True)
        threading.Event().wait()
    path, threads = sys.argv[2], int(sys.argv[3])
    start(threads, listens=False)
    # Ten times what the threads can take at once, asked for ten times a second: they never wait for the queue.
    DBOS.register_queue(QUEUE, worker_concurrency=10 * threads, polling_interval_sec=0.1)
    client = DBOSClient(system_database_url=URL)
    for line in Path(path).read_text().splitlines():
        work, *job = json.loads(line)
        client.enqueue({"queue_name": QUEUE, "workflow_name": work, "app_version": "bench"}, *job)
    client.destroy()
    DBOS.destroy()


if __name__ == "__main__":
    main()
