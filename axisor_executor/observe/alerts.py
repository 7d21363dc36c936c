"""Alerts: what a person should hear about, handed to every ``axisor_alert`` hook."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from axisor_executor.observe.logs import timestamp

Severity = Literal["info", "warning", "error", "critical"]
Kind = Literal[
    "credential_failure",
    "inactive_account",
    "api_error",
    "exchange_circuit_open",
    "account_circuit_open",
    "timeout",
    "uncertain_outcome",
    "half_done_reduce",
    "reduce_unaffordable",
    "unguarded_trade",
    "plugin_failure",
    "plugin_circuit_open",
    "worker_down",
    "queue_backlog",
    "test",
]

ALWAYS_TOLD: frozenset[Kind] = frozenset({"uncertain_outcome", "half_done_reduce"})
"""Each of these is about money that only a person can look after: none stands for another."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``details`` is JSON-able and never holds a secret.

    ``topic`` narrows down what it is about where the account is too wide: alerts of one kind, severity, account and
    topic are told once within the cooldown. ``suppressed``: how many such were not told since the last that was.
    """

    kind: Kind
    severity: Severity
    message: str
    user_id: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    automation_id: str | None = None
    execution_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    topic: str | None = None
    suppressed: int = 0
    raised_at: str = field(default_factory=timestamp, compare=False)

    @property
    def line(self) -> str:
        """The alert in one line, as the log has it."""
        whose = f" for account {self.account_name or 'unknown'}" if self.account_id or self.account_name else ""
        more = f" (and {self.suppressed} more of this kind since the last alert)" if self.suppressed else ""
        return f"Alert {self.kind}{whose}: {self.message}{more}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as machines read it."""
        return {
            name.split("_")[0] + "".join(map(str.title, name.split("_")[1:])): v for name, v in asdict(self).items()
        }
