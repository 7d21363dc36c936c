"""The alert desk: takes alerts at any rate, and tells each once within its cooldown, from a thread of its own."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from axisor_executor.observe import metrics, tracing
from axisor_executor.observe.alerts import ALWAYS_TOLD, Alert
from axisor_executor.observe.cooldowns import Cooldowns
from axisor_executor.observe.logs import message_of, say
from axisor_executor.shared import Shared

MOST_PENDING = 1_000
MOST_CRITICAL = 10_000
"""How many alerts wait at most to be looked at: critical ones have room where others have none."""
MOST_RECENT = 200
_OBJECT = TypeAdapter(dict[str, JsonValue])
_NAMES = Alert("test", "info", "").as_dict().keys()
_TEXTS = ("kind", "severity", "message", "raisedAt")


class AlertDesk:
    """Takes alerts without ever waiting for anything.

    Those of one kind, severity, account and topic are told once within the cooldown, over all processes; how many were
    not is told with the next. An alert about money (``ALWAYS_TOLD``) is always told. What there is no room for is
    counted, and said in the log: the ledger has what it was about.

    Args:
        shared: Redis, in which the processes tell each other.
        tell: hands an alert to the observers, without waiting for them.
        cooldown_seconds: how long an alert stands for others.
    """

    def __init__(self, shared: Shared, tell: Callable[[Alert], None], *, cooldown_seconds: float) -> None:
        self.cooldowns = Cooldowns(shared)
        self._shared = shared
        self._tell = tell
        self._cooldown = cooldown_seconds
        self._pending: dict[str, tuple[Alert, int]] = {}
        self._dropped = 0
        self._is_busy = False
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def take(self, alert: Alert) -> None:
        """Have an alert told soon; return at once."""
        with self._changed:
            self._put(alert)
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="axisor-alerts", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all alerts taken so far were handed on; return whether it was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._pending or self._is_busy), seconds)

    def _put(self, alert: Alert) -> None:
        name = f"#{next(self._number)}" if alert.kind in ALWAYS_TOLD else _name(alert)
        alike, count = self._pending.get(name, (alert, 0))
        if not count and len(self._pending) >= (MOST_CRITICAL if alert.severity == "critical" else MOST_PENDING):
            self._dropped += 1
            metrics.alerts.add(alert.kind, "dropped")
            return
        self._pending[name] = (alike, count + 1)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._pending)
                batch, self._pending = self._pending, {}
                dropped, self._dropped = self._dropped, 0
                self._is_busy = True
            if dropped:
                say.error(f"{dropped} alerts were not told: too many were waiting already")
            for name, (alert, count) in batch.items():
                try:
                    self._settle(name, alert, count)
                except Exception as error:  # noqa: BLE001  one that can't be told must not silence the others
                    say.error(f"An alert {alert.kind} could not be told: {type(error).__name__}: {message_of(error)}")

    def _settle(self, name: str, alert: Alert, count: int) -> None:
        if alert.kind in ALWAYS_TOLD:
            return self._send(alert)
        if not self.cooldowns.begin(name, self._cooldown):
            metrics.alerts.add(alert.kind, "suppressed", amount=count)
            return self.cooldowns.hold_back(name, count)
        self._send(dataclasses.replace(alert, suppressed=self.cooldowns.held_back(name)))
        if count > 1:
            metrics.alerts.add(alert.kind, "suppressed", amount=count - 1)
            self.cooldowns.hold_back(name, count - 1)
        return None

    def _send(self, alert: Alert) -> None:
        speak = say.error if alert.severity in ("error", "critical") else say.warning
        about = {
            "executionId": alert.execution_id,
            "automationId": alert.automation_id,
            "userId": alert.user_id,
            "accountId": alert.account_id,
        }
        about |= tracing.ids(alert.execution_id) if alert.execution_id else {}
        speak(alert.line, severity=alert.severity, **{key: value for key, value in about.items() if value is not None})
        metrics.alerts.add(alert.kind, "sent")
        self._tell(alert)
        _remember(self._shared, alert)


def recent(shared: Shared, count: int = 50) -> list[dict[str, Any]]:
    """Return the alerts of all processes that were told last, newest first; none while Redis is away."""
    found = shared.ask(lambda client: client.lrange(shared.key("alerts", "recent"), 0, MOST_RECENT - 1))
    return [alert for one in found or () if (alert := _recalled(one)) is not None][:count]


def _recalled(text: bytes) -> dict[str, Any] | None:
    """Return an alert that was remembered; ``None`` for what is none of ours."""
    try:
        found = _OBJECT.validate_json(text)
    except ValidationError:
        return None
    is_ours = found.keys() >= _NAMES and all(isinstance(found[name], str) for name in _TEXTS)
    return found if is_ours else None


def _remember(shared: Shared, alert: Alert) -> None:
    key, text = shared.key("alerts", "recent"), json.dumps(alert.as_dict(), default=str)

    def push(client: Any) -> None:
        with client.pipeline(transaction=False) as commands:
            commands.lpush(key, text)
            commands.ltrim(key, 0, MOST_RECENT - 1)
            commands.execute()

    shared.ask(push)


def _name(alert: Alert) -> str:
    """Return what alerts have in common of which one stands for all: as JSON, so that no id can feign another."""
    whose = alert.account_id or [alert.user_id]
    return json.dumps([alert.kind, alert.severity, whose, alert.topic])
