"""A worker process from boot to shutdown, as Dramatiq's middleware; and a watch on its consumers."""

from __future__ import annotations

import os
import threading
import time

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker

from axisor_executor import runtime
from axisor_executor.broker import ACTORS, LaneBroker
from axisor_executor.errors import AxisorError
from axisor_executor.observe.logs import say
from axisor_executor.workers import ANNOUNCE_SECONDS

stopping = threading.Event()
"""Set when this process has been told to stop."""

STALLED_SECONDS = 20.0
WATCH_SECONDS = 2.0
SPARE_CONNECTIONS = 4
"""Database connections beside those of the threads: presence, recovery, handlers that read."""
STOPPED_LATE = 3
"""Exit code of a worker whose runs did not end within AXISOR_SHUTDOWN_SECONDS; recovery takes them up."""


class Lifecycle(Middleware):
    """Builds the runtime when a worker process has started, watches over it, and takes it down when it stops."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        try:
            parts = runtime.current().build()
            queues = [lane for lane in ACTORS if lane in (worker.consumer_whitelist or ACTORS)]
            key_ids = parts.vault.ring.key_ids
            parts.presence.describe(threads=worker.worker_threads, queues=queues, key_ids=key_ids)
            parts.presence.announce()
        except AxisorError as error:
            say.error(f"The worker can't start: {error}")
            raise SystemExit(1) from None
        if parts.settings.db_pool < worker.worker_threads + SPARE_CONNECTIONS:
            say.error(
                f"The worker can't start: AXISOR_DB_POOL is {parts.settings.db_pool}, {worker.worker_threads} threads "
                f"need at least {worker.worker_threads + SPARE_CONNECTIONS}"
            )
            raise SystemExit(1)
        parts.executor.slots.threads = worker.worker_threads
        assert isinstance(broker, LaneBroker)
        broker.default_cap = default_cap(worker)
        broker.threads = worker.worker_threads
        parts.recovery.start()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002  Dramatiq's signature
        threading.Thread(target=self._watch, args=(worker,), name="axisor-watch", daemon=True).start()
        types = ", ".join(sorted(runtime.current().registry.handlers)) or "none"
        say.info(f"Worker ready: {worker.worker_threads} threads, automation types: {types}")

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Let runs hand back what they have not sent, and end the process when they take too long."""
        parts = runtime.current()
        stopping.set()
        parts.executor.stopping.set()
        self._stopped.set()
        late = threading.Timer(parts.settings.shutdown_seconds, os._exit, (STOPPED_LATE,))
        late.daemon = True
        late.start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        parts = runtime.current()
        try:
            parts.presence.retire()
        except Exception as error:  # noqa: BLE001  a database that is away must not keep a worker from stopping
            say.warning(f"This worker's row stays: {type(error).__name__}")
        parts.close()
        say.info("Worker stopped")

    def _watch(self, worker: Worker) -> None:
        announced = time.monotonic()
        while not self._stopped.wait(WATCH_SECONDS):
            replace_stalled(worker)
            if time.monotonic() - announced > ANNOUNCE_SECONDS:
                announced = time.monotonic()
                try:
                    runtime.current().presence.announce()
                except Exception as error:  # noqa: BLE001  the next one tries again
                    say.warning(f"No sign of life could be written: {type(error).__name__}")


def default_cap(worker: Worker) -> int | None:
    """Return how many threads may run ``default`` work: three quarters, or all where nothing else is consumed."""
    if worker.consumer_whitelist and "protect" not in worker.consumer_whitelist:
        return None
    return max(worker.worker_threads * 3 // 4, 1)


def replace_stalled(worker: Worker) -> list[str]:
    """Start a new consumer for every queue whose consumer has died or has not turned for long; return the queues."""
    replaced = []
    for queue, thread in list(worker.consumers.items()):
        turned_at = getattr(thread.consumer, "turned_at", None)
        stalled = turned_at is not None and time.monotonic() - turned_at > STALLED_SECONDS
        if thread.is_alive() and not stalled:
            continue
        say.error(f"The consumer of queue {queue} has {'stalled' if stalled else 'died'} and is replaced")
        thread.stop()
        del worker.consumers[queue]
        worker._add_consumer(queue, delay=queue.endswith(".DQ"))
        replaced.append(queue)
    return replaced
