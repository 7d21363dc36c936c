"""A worker process from boot to shutdown, as Dramatiq's middleware; and a watch on its threads."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import ConsumerThread, Worker, WorkerThread

from axisor_executor import runtime
from axisor_executor.broker import LaneBroker
from axisor_executor.errors import AxisorError, SettingsError, StorageError
from axisor_executor.lanes import ACTORS
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.logs import gather_others, say, stop_gathering
from axisor_executor.settings import Settings
from axisor_executor.storage import claiming
from axisor_executor.storage.connection import Storage
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

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002  Dramatiq's signature
        """Let nobody in this process wait for who reads its log: it is a worker's, and has just imported its actors."""
        gather_others()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        with _or_not_at_all():
            self._boot(broker, worker)

    def _boot(self, broker: Broker, worker: Worker) -> None:
        parts = runtime.current().build()
        _check_work(broker, worker)
        _check_pool(parts.settings, worker.worker_threads)
        queues = lanes_of(worker)
        key_ids = parts.vault.ring.key_ids
        parts.presence.describe(threads=worker.worker_threads, queues=queues, key_ids=key_ids)
        with parts.storage.explained():
            parts.presence.announce()
        if not key_ids:
            _tell_no_key(parts.alerts)
        _open_connections(parts.storage, worker.worker_threads)
        parts.executor.slots.threads = worker.worker_threads
        assert isinstance(broker, LaneBroker)
        broker.default_cap = default_cap(worker)
        broker.threads = worker.worker_threads
        parts.recovery.start()
        # What is there now stays. A full collection that had to look at all of it would stop every thread for tens of
        # milliseconds, in the middle of a burst more often than not.
        gc.collect()
        gc.freeze()

    def after_consumer_thread_boot(self, broker: Broker, thread: ConsumerThread) -> None:
        assert isinstance(broker, LaneBroker)
        if thread.queue_name in ACTORS:
            broker.hand_on[thread.queue_name] = thread.handle_message

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002  Dramatiq's signature
        with _or_not_at_all():
            threading.Thread(target=self._watch, args=(worker,), name="axisor-watch", daemon=True).start()
        types = ", ".join(sorted(runtime.current().registry.handlers)) or "none"
        lanes = ", ".join(lanes_of(worker)) or "none"
        say.info(f"Worker ready: {worker.worker_threads} threads, lanes: {lanes}, automation types: {types}")

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        """Take no more, let runs hand back what they have not sent, and end the process when they take too long."""
        parts = runtime.current()
        assert isinstance(broker, LaneBroker)
        broker.stop_taking()
        stop_gathering()
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
            say.warning(f"This worker's row stays: {parts.storage.reason(error)}")
        parts.close()
        say.info("Worker stopped")

    def _watch(self, worker: Worker) -> None:
        announced = time.monotonic()
        stalls: dict[str, float] = {}
        while not self._stopped.wait(WATCH_SECONDS):
            replace_stalled(worker, stalls)
            replace_dead(worker)
            if time.monotonic() - announced > ANNOUNCE_SECONDS:
                announced = time.monotonic()
                parts = runtime.current()
                try:
                    parts.presence.announce()
                except Exception as error:  # noqa: BLE001  the next one tries again
                    say.warning(f"No sign of life could be written: {parts.storage.reason(error)}")


@contextmanager
def _or_not_at_all() -> Iterator[None]:
    """End the process where the block fails: Dramatiq would log that, and go on with a worker that lacks a part."""
    try:
        yield
    except AxisorError as error:
        say.error(f"The worker can't start: {error}")
        raise SystemExit(1) from None
    except Exception as error:  # noqa: BLE001  a mistake of ours, or a machine that has no thread to give
        say.crash(f"The worker can't start: {type(error).__name__}")
        raise SystemExit(1) from None


def lanes_of(worker: Worker) -> list[str]:
    """Return the lanes that a worker takes: all, unless it was told its queues."""
    return [lane for lane in ACTORS if lane in (worker.consumer_whitelist or ACTORS)]


def _check_work(broker: Broker, worker: Worker) -> None:
    """Refuse what Dramatiq takes without a word, and what would then look ready and serve nothing.

    An application's own actors may share this worker, or have one without any of our lanes: their queues are declared.
    """
    unknown = sorted(set(worker.consumer_whitelist or ()) - set(broker.get_declared_queues()))
    if unknown:
        names = ", ".join(repr(one) for one in unknown)
        raise SettingsError(f"--queues names {names}, for which there is no actor; lanes are: {', '.join(ACTORS)}")
    if worker.worker_threads < 1:
        raise SettingsError(f"--threads is {worker.worker_threads}, and must be at least 1")


def _check_pool(settings: Settings, threads: int) -> None:
    if settings.db_pool < threads + SPARE_CONNECTIONS:
        raise SettingsError(
            f"AXISOR_DB_POOL is {settings.db_pool}, {threads} threads need at least {threads + SPARE_CONNECTIONS}"
        )


def _tell_no_key(alerts: AlertDesk) -> None:
    """Tell that runs will fail, of all accounts but those whose secrets stand in plain text."""
    message = "ENCRYPTION_KEY is not set: no worker without it can read encrypted credentials"
    say.error(message)  # also where an alert is not told, because another worker's stands for it
    alerts.take(Alert("credential_failure", "error", message, topic="no key"))


def _open_connections(storage: Storage, count: int) -> None:
    """Open what the threads need while there is time for it, else whoever gets a job does: at the worst minute, all."""
    try:
        storage.open_ahead(count, lambda: claiming.prepare(storage))
    except StorageError as error:
        say.warning(f"Threads will open their connections when they need them: {error}")


def default_cap(worker: Worker) -> int | None:
    """Return how many threads may run ``default`` work: three quarters, or all where nothing else is consumed."""
    if worker.consumer_whitelist and "protect" not in worker.consumer_whitelist:
        return None
    return max(worker.worker_threads * 3 // 4, 1)


def replace_stalled(worker: Worker, stalls: dict[str, float]) -> list[str]:
    """Put a new consumer in the place of every one that has died or stalled; return the queues of those.

    One that has not turned for long is replaced where the look before saw the same: when a whole process has slept
    (a laptop's lid, a machine that was moved), all of its consumers look stalled until they turn again.

    Args:
        worker: the one of this process.
        stalls: by queue, when the consumer turned that looked stalled last; kept from one look to the next.
    """
    replaced = []
    for queue, thread in list(worker.consumers.items()):
        turned_at = getattr(thread.consumer, "turned_at", None)
        stalled = False
        if turned_at is not None and time.monotonic() - turned_at > STALLED_SECONDS:
            stalled = stalls.get(queue) == turned_at
            stalls[queue] = turned_at
        if thread.is_alive() and not stalled:
            continue
        what = f"The consumer of queue {queue} has {'stalled' if thread.is_alive() else 'died'}"
        try:
            _replace(worker, queue, thread)
        except Exception as error:  # noqa: BLE001  whatever it is, the next look tries again
            say.warning(f"{what} and can't be replaced yet: {type(error).__name__}")
        else:
            say.error(f"{what} and is replaced")
            replaced.append(queue)
    return replaced


def replace_dead(worker: Worker) -> None:
    """Put a new thread in the place of every one that has died: what it worked on is done with, or taken up later.

    Of what Dramatiq doesn't document, this uses ``Worker.workers`` and ``WorkerThread``: the arguments, which it keeps
    under their names, and ``running``, which is true of one that was not told to end.
    """
    for place, thread in enumerate(worker.workers):
        if thread.is_alive() or not thread.running:
            continue
        new = WorkerThread(
            broker=thread.broker,
            consumers=thread.consumers,
            work_queue=thread.work_queue,
            worker_timeout=worker.worker_timeout,
        )
        try:
            new.start()
        except RuntimeError as error:
            say.warning(f"A worker thread has died and can't be replaced yet: {error}")
        else:
            worker.workers[place] = new
            say.error("A worker thread has died and is replaced")


def _replace(worker: Worker, queue: str, old: ConsumerThread) -> None:
    """Put a new consumer in the place of an old one; where none can be built, the old one stays as it is.

    A worker's threads look up the consumer of a message when they are done with it, and die where they find none. So
    its queue has one at every moment, and that one can be told: a thread builds its own only once it runs, hence it is
    given one for until then. From there on the broker takes the old one for given up, so it is stopped even where the
    new thread can't start; the next look finds that one dead.

    Of what Dramatiq doesn't document, this uses ``Worker.consumers`` and ``ConsumerThread``: the arguments, which it
    keeps under their names, and ``consumer``, ``start`` and ``stop``.
    """
    new = ConsumerThread(
        broker=old.broker,
        queue_name=queue,
        prefetch=old.prefetch,
        work_queue=old.work_queue,
        worker_timeout=old.worker_timeout,
    )
    new.consumer = old.broker.consume(queue_name=queue, prefetch=old.prefetch, timeout=old.worker_timeout)
    worker.consumers[queue] = new
    old.stop()
    new.start()
