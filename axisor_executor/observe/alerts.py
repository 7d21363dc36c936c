"""Alerts: what a person should hear about, handed to every ``axisor_alert`` hook."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "error", "critical"]
Kind = Literal[
    "credential_failure",
    "inactive_account",
    "api_error",
    "timeout",
    "uncertain_outcome",
    "half_done_reduce",
    "reduce_unaffordable",
    "unguarded_trade",
    "plugin_failure",
]


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``details`` is JSON-able and never holds a secret."""

    kind: Kind
    severity: Severity
    message: str
    user_id: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    automation_id: str | None = None
    execution_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
