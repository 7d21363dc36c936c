"""How an open circuit is told: in words, as an alert, and as a state for people and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from axisor_executor.automation import Lane
from axisor_executor.limits.board import Door, Opening
from axisor_executor.limits.circuits import AccountRef, Kind
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.logs import timestamp


@dataclass(frozen=True, slots=True)
class CircuitState:
    """One open circuit as it is shown.

    ``subject``: the exchange (slug and host), the account's id or the plugin's distribution. ``changes_only``: reads
    go through. ``state``:
    ``half_open`` while a probe is under way or may go. ``since``: seconds since 1970. ``next_probe_seconds``: until any
    lane may probe.
    """

    kind: Kind
    subject: str
    changes_only: bool
    state: Literal["open", "half_open"]
    since: float
    reason: str
    failed_probes: int
    next_probe_seconds: float
    account_name: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as machines read it; ``name`` is what it is reset by."""
        return {
            "name": self.subject,
            "exchange": self.subject if self.kind == "exchange" else None,
            "accountId": self.subject if self.kind == "account" else None,
            "accountName": self.account_name,
            "plugin": self.subject if self.kind == "plugin" else None,
            "changesOnly": self.changes_only,
            "state": self.state,
            "since": timestamp(datetime.fromtimestamp(self.since, UTC)),
            "failedProbes": self.failed_probes,
            "nextProbeSeconds": round(self.next_probe_seconds, 1),
            "reason": self.reason,
        }


def trouble(opening: Opening) -> str:
    """Say what is wrong."""
    if opening.kind == "exchange":
        return f"Exchange {opening.subject} {'carries nothing out' if opening.changes_only else 'is away'}"
    if opening.kind == "plugin":
        return f"Plugin {opening.subject} {opening.fingerprint} fails again and again"
    refused = "to trade with the keys" if opening.changes_only else "the keys"
    return f"The exchange refuses {refused} of account {opening.account_name}"


def whose(opening: Opening) -> str:
    """Name the exchange, the account or the plugin."""
    return (
        f"Account {opening.account_name}" if opening.kind == "account" else f"{opening.kind.title()} {opening.subject}"
    )


def what(opening: Opening) -> str:
    """Name what is held back."""
    return "decisions" if opening.kind == "plugin" else "calls"


def alert(opening: Opening, account: AccountRef | None) -> Alert:
    """Return the alert of an opening."""
    message = f"{trouble(opening)}; {what(opening)} are held back until a probe goes through ({opening.reason})"
    if opening.kind == "plugin":
        return Alert(
            kind="plugin_circuit_open",
            severity="error",
            message=message,
            details={"plugin": opening.subject, "version": opening.fingerprint},
            topic=opening.subject,
        )
    if opening.kind == "exchange" or account is None:
        details = {"exchange": opening.subject, "changesOnly": opening.changes_only}
        about = f"{opening.subject} {opening.changes_only}"
        return Alert(kind="exchange_circuit_open", severity="critical", message=message, details=details, topic=about)
    return Alert(
        kind="account_circuit_open",
        severity="error",
        message=f"{message}; its automations wait{', its guards try on' if opening.is_forbidden else ''}",
        user_id=account.user_id,
        account_id=account.id,
        account_name=account.name,
        details={"changesOnly": opening.changes_only},
    )


def state_of(opening: Opening, doors: Mapping[Lane, Door]) -> CircuitState:
    """Return how an open circuit stands."""
    next_probe = min(door.seconds for door in doors.values())
    probing = any(door.probing for door in doors.values())
    return CircuitState(
        kind=opening.kind,
        subject=opening.subject,
        changes_only=opening.changes_only,
        state="half_open" if probing or next_probe == 0 else "open",
        since=opening.since,
        reason=opening.reason,
        failed_probes=opening.failed_probes,
        next_probe_seconds=next_probe,
        account_name=opening.account_name,
    )
