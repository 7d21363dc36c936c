"""Sends alerts to the Apprise URLs of ``AXISOR_ALERT_URLS``."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from axisor_executor import hookimpl

if TYPE_CHECKING:
    from axisor_alerts_apprise.sending import Sender
    from axisor_executor.observe.alerts import Alert

axisor_hook_api = "1.0"

VARIABLE = "AXISOR_ALERT_URLS"


@hookimpl
def axisor_alert(alert: Alert) -> dict[str, str | None]:
    """Send an alert to every target; return for each what went wrong, ``None`` for nothing."""
    urls = os.environ.get(VARIABLE, "").strip()
    return _sender(urls).send(alert) if urls else {VARIABLE: "is not set: alerts stand in the log only"}


@cache
def _sender(urls: str) -> Sender:
    from axisor_alerts_apprise.sending import Sender  # with the first alert: Apprise takes its time to import

    return Sender(urls)
