"""Recovery: what was lost, left behind or is due goes back on the queue, by one elected process at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from axisor_executor.broker import QUEUE_ERRORS, Queue
from axisor_executor.ids import uuid7
from axisor_executor.observe import metrics
from axisor_executor.observe.logs import say
from axisor_executor.observe.metrics import PutBack
from axisor_executor.storage import executions, leases, leftover
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Next

ELECTION = "axisor:recovery"
TICK_SECONDS = 0.5
TERM_SECONDS = 3.0
BATCH = 500
OVERDUE_BATCH = 100
OVERDUE_SECONDS = 30.0
UNSENT_GRACE_SECONDS = 2.0
NO_ACCOUNT_GRACE_SECONDS = 30.0


class Recovery:
    """Looks for what must go on; :meth:`start` does so from a thread until :meth:`stop`.

    Due executions are looked for twice a second, the rest every ``every_seconds``; then ``watch`` is called.
    """

    def __init__(
        self, storage: Storage, queue: Queue, *, every_seconds: float, watch: Callable[[], None] = lambda: None
    ) -> None:
        self.storage = storage
        self.queue = queue
        self.every_seconds = every_seconds
        self.watch = watch
        self._name = uuid7()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._ticks_until_look = 0
        self._elected = False
        self._next_election = 0.0

    def start(self) -> None:
        """Start looking."""
        self._thread = threading.Thread(target=self._loop, name="axisor-recovery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and let another process be elected at once."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def look(self) -> int:
        """Look once for everything, elected or not, and return how many executions were put back on the queue."""
        with self.storage.connection():
            return self._put_back("due", self._due()) + self._look()

    def _loop(self) -> None:
        try:
            while not self._stopped.wait(TICK_SECONDS):
                try:
                    with self.storage.connection():
                        self._tick()
                except Exception as error:  # noqa: BLE001  whatever it was, the next tick looks again
                    say.warning(f"Recovery will look again: {type(error).__name__}: {error}")
        finally:
            self._resign()

    def _tick(self) -> None:
        if not self._is_elected():
            return
        self._put_back("due", self._due())
        self._ticks_until_look -= 1
        if self._ticks_until_look < 0:
            self._ticks_until_look = max(round(self.every_seconds / TICK_SECONDS) - 1, 0)
            self._look()
            self.watch()

    def _is_elected(self) -> bool:
        """Stand for election now and then: each time is a write, and one in a while is enough."""
        if time.monotonic() >= self._next_election:
            with self.storage.write():
                self._elected = leases.take(
                    self.storage, ELECTION, self._name, worker_id=self._name, fence=0, seconds=TERM_SECONDS
                )
            self._next_election = time.monotonic() + TERM_SECONDS / 3
        return self._elected

    def _resign(self) -> None:
        try:
            with self.storage.write():
                if leases.hold(self.storage, ELECTION, self._name, 0):
                    leases.free(self.storage, ELECTION)
        except Exception as error:  # noqa: BLE001  the election ends by itself
            say.debug(f"Recovery could not resign: {type(error).__name__}")

    def _due(self) -> list[Next]:
        return leftover.due(self.storage, BATCH)

    def _look(self) -> int:
        abandoned = leftover.abandoned(self.storage, BATCH, grace_seconds=NO_ACCOUNT_GRACE_SECONDS)
        if abandoned:
            say.warning(f"Recovery took up {len(abandoned)} executions that a dead worker left behind")
        count = self._put_back("abandoned", abandoned)
        try:
            return count + self._tend_queue()
        except QUEUE_ERRORS as error:
            say.warning(f"Recovery can't reach Redis: {type(error).__name__}")
            return count

    def _tend_queue(self) -> int:
        if not self.queue.is_intact():
            lost = leftover.forget_sent(self.storage)
            if lost:
                say.warning(f"The queue in Redis is not the one that it was: {lost} executions are put back")
            self.queue.mark_intact()
        self.queue.revive()
        batch = leftover.unsent(self.storage, BATCH, grace_seconds=UNSENT_GRACE_SECONDS)
        count = self._put_back("unsent", batch)
        if count == BATCH:
            self._ticks_until_look = 0  # there is more; what is due gets its turn in between
        overdue = leftover.overdue(self.storage, OVERDUE_BATCH, seconds=OVERDUE_SECONDS)
        return count + self._put_back("overdue", overdue)

    def _put_back(self, reason: PutBack, found: Iterable[Next]) -> int:
        """Tell the queue; what it can't be told now stays queued and unsent, for the next look."""
        count = 0
        for one in found:
            try:
                self.queue.wake(one.id, one.lane)
            except QUEUE_ERRORS:
                break
            executions.mark_sent(self.storage, one.id)
            metrics.put_back.add(reason)
            count += 1
        return count
