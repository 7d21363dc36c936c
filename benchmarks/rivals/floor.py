"""No queue, no ORM, no HTTP library: threads, SQL and ``http.client``. What Python can't go below.

``python floor.py JOBS PROCESSES THREADS``; JOBS is a file with a job on each line, as JSON:
``[work, user, automation, trade]``.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psycopg2
from account import BASE, JOB_SQL, LOG_SQL, RUNNING, TICKER, TRADE, headers, is_at_risk, keys_of, order


class Thread(threading.Thread):
    """Carries jobs out over connections of its own."""

    def __init__(self, jobs: SimpleQueue[list[Any]]) -> None:
        super().__init__()
        self._jobs = jobs

    def run(self) -> None:
        self._database = psycopg2.connect(os.environ["DATABASE_URL"])
        self._database.autocommit = True
        self._exchange = http.client.HTTPConnection(BASE.removeprefix("http://"), timeout=10)
        with self._database.cursor() as self._cursor:
            while True:
                try:
                    work, *job = self._jobs.get_nowait()
                except Empty:
                    return
                (self._entry if work == "entry" else self._guard)(*job)

    def _entry(self, user_id: str, automation_id: str, _: str) -> None:
        config, keys = self._load(user_id, automation_id)
        trade = self._ask("POST", TRADE, keys, order(config, str(uuid.uuid4())))
        self._log(user_id, automation_id, "auto_entry_executed", trade)

    def _guard(self, user_id: str, automation_id: str, trade_id: str) -> None:
        config, keys = self._load(user_id, automation_id)
        trade = next(one for one in self._ask("GET", RUNNING, keys) if one["id"] == trade_id)
        if is_at_risk(trade, self._ask("GET", TICKER, keys)["lastPrice"], config["margin_threshold"]):
            closed = self._ask("POST", f"{TRADE}/close", keys, f'{{"id":"{trade_id}"}}')
            self._log(user_id, automation_id, "close_position", closed)

    def _load(self, user_id: str, automation_id: str) -> tuple[dict[str, Any], Any]:
        self._cursor.execute(JOB_SQL, (automation_id, user_id))
        row = self._cursor.fetchone()
        return row[1], keys_of(row[2], row[5])

    def _ask(self, method: str, path: str, keys: Any, body: str = "") -> Any:
        self._exchange.request(method, path, body or None, headers(keys, method, path, body))
        answer = self._exchange.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status}")
        return json.loads(text)

    def _log(self, user_id: str, automation_id: str, action: str, trade: dict[str, Any]) -> None:
        price = trade["exitPrice"] or trade["entryPrice"]
        row = (str(uuid.uuid4()), user_id, automation_id, trade["id"], action, trade["pl"], trade["margin"], price)
        self._cursor.execute(LOG_SQL, row)


def carry_out(jobs: Sequence[list[Any]], threads: int) -> None:
    """Carry jobs out with so many threads, and stay: whoever measures wants to look at the process."""
    waiting: SimpleQueue[list[Any]] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    running = [Thread(waiting) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    threading.Event().wait()


def main() -> None:
    """Share the jobs out among the processes."""
    path, processes, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    jobs = [json.loads(line) for line in Path(path).read_text().splitlines()]
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=carry_out, args=(jobs[number::processes], threads), daemon=True)
        for number in range(processes)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()


if __name__ == "__main__":
    main()
