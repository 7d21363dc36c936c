"""Sends to every target at once, each with its own tries, and never for longer than a deadline."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import apprise
from apprise.conversion import convert_between

from axisor_alerts_apprise.message import body, title

if TYPE_CHECKING:
    from axisor_executor.observe.alerts import Alert

TRIES = 3
PAUSES = (1.0, 3.0)
"""Seconds before the second and the third try."""
DEADLINE = 30.0
"""How long all tries of one alert may take, in seconds."""
GIVEN_UP_SECONDS = 60.0
"""For so long, one try is enough for a target that took nothing in three."""

TYPES = {
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "error": apprise.NotifyType.FAILURE,
    "critical": apprise.NotifyType.FAILURE,
}
THREAD = "axisor-apprise"
_is_quiet: ContextVar[bool] = ContextVar("axisor_apprise_quiet", default=False)

log = logging.getLogger("axisor_executor.alerts_apprise")


class Sender:
    """Sends alerts to the targets of a list of Apprise URLs (white space or commas between).

    URLs hold tokens and passwords: a target is only ever called by its place in the list and its service's name.
    """

    def __init__(self, urls: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        _keep_quiet()
        found = [one for one in re.split(r"[\s,]+(?=[A-Za-z][\w+.-]*://)", urls) if one]
        self.targets = [Target(place, url, sleep) for place, url in enumerate(found, 1)]

    def send(self, alert: Alert) -> dict[str, str | None]:
        """Send an alert, and return for each target what went wrong, ``None`` for nothing."""
        threads = [(target, target.begin(alert)) for target in self.targets]
        ends = time.monotonic() + DEADLINE
        outcome: dict[str, str | None] = {}
        for target, thread in threads:
            problem: str | None = "still busy with an earlier alert"
            if thread is not None:
                thread.join(max(ends - time.monotonic(), 0.0))
                problem = f"no end after {DEADLINE:g} s" if thread.is_alive() else target.problem
            outcome[target.name] = problem
            if problem is not None:
                log.error("Alert %s could not be sent to %s: %s", alert.kind, target.name, problem)
        return outcome


class Target:
    """One URL. ``problem``: why the last alert did not get there."""

    def __init__(self, place: int, url: str, sleep: Callable[[float], None]) -> None:
        with _quietly():
            self._service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        self._sleep = sleep
        self._given_up_until = 0.0
        self._thread: threading.Thread | None = None
        self.name = f"{place} (unusable)"
        self.problem: str | None = "Apprise can't use this URL"
        if self._service is not None:
            self.name, self.problem = f"{place} ({self._service.service_name})", None

    def begin(self, alert: Alert) -> threading.Thread | None:
        """Begin to send, in the thread that is returned; ``None`` where the one before has not ended yet."""
        if self._thread is not None and self._thread.is_alive():
            return None
        # A daemon: a server that hangs must not keep the worker from stopping.
        self._thread = threading.Thread(target=self._send, args=(alert,), name=THREAD, daemon=True)
        self._thread.start()
        return self._thread

    def _send(self, alert: Alert) -> None:
        if self._service is None:
            return
        tries = 1 if time.monotonic() < self._given_up_until else TRIES
        for number in range(tries):
            if number:
                self._sleep(PAUSES[number - 1])
            if _deliver(alert, self._service):
                self.problem, self._given_up_until = None, 0.0
                return
        self.problem = f"not delivered in {tries} {'try' if tries == 1 else 'tries'}"
        self._given_up_until = time.monotonic() + GIVEN_UP_SECONDS


def _deliver(alert: Alert, service: apprise.NotifyBase) -> bool:
    # Not by Apprise.notify(), which sends from threads of its own that a process waits for when it ends.
    try:
        with _quietly():
            return bool(service.notify(notify_type=TYPES[alert.severity], **_written(alert, service)))
    except Exception:  # noqa: BLE001  its message may hold the URL
        return False


def _written(alert: Alert, service: apprise.NotifyBase) -> dict[str, Any]:
    """Return the alert in the format that a service takes: nothing in a name is taken for HTML or Markdown."""
    source = apprise.NotifyFormat.TEXT
    # Since Apprise 2 a service may take several formats, and `notify_format` is all of them.
    resolve = getattr(service, "resolve_format", None)
    target = resolve(source) if resolve else service.notify_format
    head = title(alert)
    if service.title_maxlen <= 0:  # it becomes part of the body; elsewhere, as a mail's subject, it is plain text
        head = _converted(head, target)
    return {"title": head, "body": _converted(body(alert), target), "body_format": target if resolve else source}


def _converted(text: str, target: apprise.NotifyFormat) -> str:
    return str(convert_between(apprise.NotifyFormat.TEXT, target, text))  # type: ignore[no-untyped-call]


@contextmanager
def _quietly() -> Iterator[None]:
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


class _Quiet(logging.Filter):
    """Drops what the libraries say while we send: it may hold the URL, or a path that is a token."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  the signature is logging's
        return not _is_quiet.get()


def _keep_quiet() -> None:
    for name in ("apprise", "urllib3.connectionpool", "requests_oauthlib"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Quiet) for one in logger.filters):
            logger.addFilter(_Quiet())
