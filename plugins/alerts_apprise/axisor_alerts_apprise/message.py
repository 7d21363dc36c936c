"""What people read of an alert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axisor_executor.observe.alerts import Alert

SIGNS = {"info": "📊", "warning": "⚠️", "error": "❌", "critical": "🛑"}


def title(alert: Alert) -> str:
    """Return the alert in a few words: ``🛑 Critical: uncertain outcome (Main Account)``."""
    whose = f" ({alert.account_name})" if alert.account_name else ""
    return f"{SIGNS[alert.severity]} {alert.severity.capitalize()}: {alert.kind.replace('_', ' ')}{whose}"


def body(alert: Alert) -> str:
    """Return what happened, to whom and when, line by line."""
    return "\n".join(_lines(alert))


def _lines(alert: Alert) -> Iterator[str]:
    yield alert.message
    yield ""
    account = f"{alert.account_name} ({alert.account_id})" if alert.account_name else alert.account_id
    facts = {
        "Account": account,
        "User": alert.user_id,
        "Automation": alert.automation_id,
        "Execution": alert.execution_id,
        **alert.details,
        "Raised": alert.raised_at,
    }
    for name, value in facts.items():
        if value is not None:
            yield f"{name}: {value}"
    if alert.suppressed:
        yield f"{alert.suppressed} more of this kind were not sent since the last one."
    if alert.execution_id:
        yield f"More: axisor-executor executions show {alert.execution_id}"
