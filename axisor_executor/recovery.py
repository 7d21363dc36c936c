"""Recovery: what was lost, left behind or is due goes back on the queue, by one elected process at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import redis

from axisor_executor.automation import Lane
from axisor_executor.broker import Queue
from axisor_executor.errors import AxisorError
from axisor_executor.ids import uuid7
from axisor_executor.lanes import ACTORS
from axisor_executor.observe import metrics
from axisor_executor.observe.logs import say
from axisor_executor.observe.metrics import PutBack
from axisor_executor.redis_client import QUEUE_ERRORS
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

    Due executions are looked for twice a second, the rest every ``every_seconds``; then ``watch`` is called. Who can't
    reach Redis touches nothing, and leaves it to another process that perhaps can.
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
        self._overdue_at = 0.0
        self._first_in_line: dict[Lane, str | None] = {}
        self._refusal: redis.ResponseError | None = None

    def start(self) -> None:
        """Start looking."""
        thread = threading.Thread(target=self._loop, name="axisor-recovery", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Stop looking, and let another process be elected at once."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def look(self) -> int:
        """Look once for everything, elected or not, and return how many executions were put back on the queue.

        Raises:
            AxisorError: Redis is away or refuses (503, ``redis_unavailable``); the next look finds what is left.
        """
        with self.storage.connection():
            self._refusal = None
            try:
                count = self._look_for_due() + self._look()
                if self._refusal is not None:
                    raise self._refusal
            except QUEUE_ERRORS as error:
                raise AxisorError(
                    f"Redis, which has the queue, can't be used: {error}", code="redis_unavailable", status=503
                ) from None
            return count

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
        try:
            self._look_for_due()
            self._ticks_until_look -= 1
            if self._ticks_until_look >= 0:
                return
            self._ticks_until_look = max(round(self.every_seconds / TICK_SECONDS) - 1, 0)
            self._look()
        except QUEUE_ERRORS as error:
            say.warning(f"Recovery can't use Redis: {type(error).__name__}: {error}")
            self._resign()
            self._elected, self._next_election = False, time.monotonic() + TERM_SECONDS
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

    def _look_for_due(self) -> int:
        self.queue.ping()
        return self._try(self._put_back_due)

    def _look(self) -> int:
        return sum(map(self._try, (self._put_back_abandoned, self._look_after_marker, self._send, self._revive)))

    def _try(self, step: Callable[[], int]) -> int:
        """Return how many executions a step put back; one that Redis refuses must not keep back the others."""
        try:
            return step()
        except redis.ResponseError as refusal:
            say.warning(f"Recovery will try again what Redis refused: {type(refusal).__name__}")
            self._refusal = refusal
            return 0

    def _put_back_due(self) -> int:
        return self._put_back("due", leftover.due(self.storage, BATCH))

    def _put_back_abandoned(self) -> int:
        abandoned = leftover.abandoned(self.storage, BATCH, grace_seconds=NO_ACCOUNT_GRACE_SECONDS)
        if abandoned:
            say.warning(f"Recovery took up {len(abandoned)} executions that a dead worker left behind")
        return self._put_back("abandoned", abandoned)

    def _look_after_marker(self) -> int:
        if not self.queue.is_intact():
            self.queue.unmark()  # who may not write there, or only to a replica, forgets nothing either
            lost = leftover.forget_sent(self.storage)
            if lost:
                say.warning(f"The queue in Redis is not the one that it was: {lost} executions are put back")
            self.queue.mark_intact()
        return 0

    def _revive(self) -> int:
        self.queue.revive()
        return 0

    def _send(self) -> int:
        batch = leftover.unsent(self.storage, BATCH, grace_seconds=UNSENT_GRACE_SECONDS)
        count = self._put_back("unsent", self._without_held(batch))
        if len(batch) == BATCH:
            self._ticks_until_look = 0  # there is more; what is due gets its turn in between
            if count or time.monotonic() < self._overdue_at:
                return count
        self._overdue_at = time.monotonic() + self.every_seconds  # not the more often for a long line
        for lane in ACTORS:
            # The first at the look before: what was ahead of that one has been taken since, and begun.
            now = self.queue.first_in_line(lane)
            first, self._first_in_line[lane] = self._first_in_line.get(lane, now), now
            overdue = leftover.overdue(self.storage, lane, first, OVERDUE_BATCH, seconds=OVERDUE_SECONDS)
            count += self._put_back("overdue", overdue)
        return count

    def _without_held(self, found: list[tuple[Next, bool]]) -> list[Next]:
        """Return those but the new ones that the queue holds; of these the ledger is told that it does."""
        held: set[str] = set()
        for lane in ACTORS:
            if ids := [one.id for one, is_new in found if is_new and one.lane == lane]:
                held |= self.queue.holding(ids, lane)
        if held:
            leftover.mark_told(self.storage, held)
        return [one for one, _ in found if one.id not in held]

    def _put_back(self, reason: PutBack, found: Iterable[Next]) -> int:
        """Tell the queue; what it can't be told now stays queued and unsent, for the next look."""
        count = 0
        for one in found:
            self.queue.wake(one.id, one.lane)
            executions.mark_sent(self.storage, one.id)
            metrics.put_back.add(reason)
            count += 1
        return count
