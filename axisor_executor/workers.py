"""A process's sign of life: it keeps the leases of its runs alive, and its own row in ``axisor_workers``."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from axisor_executor.ids import uuid7
from axisor_executor.observe.logs import say
from axisor_executor.storage import leases
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document

BEATS_PER_LEASE = 4
ANNOUNCE_SECONDS = 10.0
SILENT_SECONDS = 3 * ANNOUNCE_SECONDS
"""A worker that has not shown itself for so long counts as dead."""


class Presence:
    """Renews, from a thread of its own, the leases of the runs that go on in this process.

    The thread starts with the first run and ends with :meth:`stop`.

    Args:
        storage: the database.
        lease_seconds: how long a lease lasts that is not renewed.
        counters: what is to be counted of this process, since its start; flushed with each sign of life.
    """

    def __init__(
        self, storage: Storage, *, lease_seconds: float, counters: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self.storage = storage
        self.lease_seconds = lease_seconds
        self.worker_id = uuid7()
        self._counters = counters
        self._of_process: dict[str, object] = {}
        self._running: Counter[str] = Counter()  # a message delivered twice runs twice for a moment
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def running(self, execution_id: str) -> Iterator[None]:
        """Keep whatever lease this execution gets alive while the block runs."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                thread = threading.Thread(target=self._beat, name="axisor-presence", daemon=True)
                thread.start()
                self._thread = thread
            self._running[execution_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[execution_id] -= 1
                if not self._running[execution_id]:
                    del self._running[execution_id]

    def stop(self) -> None:
        """End the thread; leases that are still held end by themselves."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def describe(self, *, threads: int, queues: Sequence[str], key_ids: Sequence[str] = ()) -> None:
        """Say what this process is, for its row: its threads, the queues they work on, the keys it reads with."""
        self._of_process = {"threads": threads, "queues": list(queues), "keyIds": list(key_ids)}

    def announce(self) -> None:
        """Write this worker's row, or its sign of life, with its counters."""
        with self._lock:
            running = len(self._running)
        self.storage.run(
            "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at, counters) "
            "VALUES (?,?,?,{now},{now},?) "
            "ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, counters = excluded.counters",
            self.worker_id,
            socket.gethostname(),
            os.getpid(),
            {**self._of_process, "running": running, **self._counters()},
        )

    def retire(self) -> None:
        """Take this worker's row away."""
        self.storage.run("DELETE FROM axisor_workers WHERE id = ?", self.worker_id)

    def _beat(self) -> None:
        while not self._stopped.wait(self.lease_seconds / BEATS_PER_LEASE):
            with self._lock:
                held = tuple(self._running)
            if not held:
                continue
            try:
                with self.storage.connection():
                    leases.renew(self.storage, self.worker_id, held, seconds=self.lease_seconds)
            except Exception as error:  # noqa: BLE001  the next beat tries again; the leases' end is the safe side
                say.warning(f"Leases could not be renewed: {type(error).__name__}: {error}")


def without_key(storage: Storage, key_id: str) -> list[str]:
    """Return the live worker processes (``host pid``) that can't read what is encrypted with this key."""
    rows = storage.rows(
        "SELECT host, pid, counters FROM axisor_workers WHERE heartbeat_at > {later} ORDER BY host, pid",
        -SILENT_SECONDS,
    )
    return [f"{host} {pid}" for host, pid, told in rows if key_id not in (document(told) or {}).get("keyIds", ())]
