"""The watch, in the elected process: what no run would notice, a worker that fell silent and a queue that grows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from axisor_executor.automation import Lane
from axisor_executor.lanes import ACTORS
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.alerts import Alert, Severity
from axisor_executor.observe.logs import timestamp
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.leftover import LIVE
from axisor_executor.storage.values import instant
from axisor_executor.workers import SILENT_SECONDS

EVERY_SECONDS = 5.0
DAY = 86_400.0
EPISODE_SECONDS = 3_600.0
"""How long an episode lasts that nobody looks at any more."""
LOOKS = 2
"""How many looks in a row find a backlog before it is one: what waited long for its account is queued for a moment."""
CALM = 0.5
"""Below this share of both limits a backlog is over: one that hovers around a limit is one episode."""

_SILENT = (
    "SELECT id, host, pid, heartbeat_at FROM axisor_workers WHERE heartbeat_at < {later} AND heartbeat_at > {later}"
)
_QUEUED = (
    "SELECT lane, COUNT(*), MIN(COALESCE(sent_at, created_at)) FROM axisor_executions "  # noqa: S608
    f"WHERE {LIVE} AND status = 'queued' GROUP BY lane"
)


class Watch:
    """Alerts once, over all processes, for each worker that falls silent and each time that a lane's queue backs up."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        alerts: AlertDesk,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_queued = settings.alert_queue_depth
        self._longest_queued = settings.alert_queue_seconds
        self._storage = storage
        self._alerts = alerts
        self._clock = clock
        self._next_look = 0.0
        self._looks_over: Counter[Lane] = Counter()

    def look(self) -> None:
        """Look, if it is time to."""
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + EVERY_SECONDS
        for id_, host, pid, heartbeat_at in self._storage.rows(_SILENT, -SILENT_SECONDS, -DAY):
            self._silent(id_, host, pid, instant(heartbeat_at))
        queued = {row[0]: (int(row[1]), instant(row[2])) for row in self._storage.rows(_QUEUED)}
        now = self._storage.now()
        for lane in ACTORS:
            depth, since = queued.get(lane, (0, now))
            self._queued(lane, depth, max((now - since).total_seconds(), 0.0))

    def _silent(self, worker_id: str, host: str, pid: int, heartbeat_at: datetime) -> None:
        # One that shows itself again and falls silent again has another last sign of life.
        silence = f"{worker_id} {timestamp(heartbeat_at)}"
        if not self._alerts.cooldowns.begin(f"worker {silence}", 2 * DAY):
            return
        message = (
            f"Worker {host} pid {pid} has been silent since {timestamp(heartbeat_at)} without having stopped; "
            "other workers take its executions up"
        )
        details = {"worker": worker_id, "host": host, "pid": pid, "heartbeatAt": timestamp(heartbeat_at)}
        self._alerts.take(Alert("worker_down", "error", message, details=details, topic=silence))

    def _queued(self, lane: Lane, depth: int, oldest: float) -> None:
        episode = f"backlog {lane}"
        if depth > self._most_queued or oldest > self._longest_queued:
            self._looks_over[lane] += 1
            if self._looks_over[lane] < LOOKS:
                return
            if not self._alerts.cooldowns.begin(episode, EPISODE_SECONDS):
                self._alerts.cooldowns.prolong(episode, EPISODE_SECONDS)
                return
            message = (
                f"{depth} executions are queued on the lane {lane}, the oldest for {oldest:.0f} s "
                f"(limits: {self._most_queued}, {self._longest_queued:g} s)"
            )
            details = {"lane": lane, "queued": depth, "oldestQueuedSeconds": round(oldest, 1)}
            severity: Severity = "critical" if lane == "protect" else "error"
            self._alerts.take(
                Alert("queue_backlog", severity, message, details=details, topic=f"{lane} {self._storage.now()}")
            )
            return
        self._looks_over[lane] = 0
        if depth <= CALM * self._most_queued and oldest <= CALM * self._longest_queued:
            self._alerts.cooldowns.end(episode)  # also one that another process, elected before, has begun
