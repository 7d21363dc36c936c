"""Tell how a run ended: the human line, the machine line, alerts and observers. Nothing here can change the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axisor_executor.observe.alerts import Alert, Kind, Severity
from axisor_executor.observe.finished import Finished
from axisor_executor.observe.logs import run_line, say, timestamp
from axisor_executor.plugins import Registry
from axisor_executor.run.flow import Suspend
from axisor_executor.run.result import Ended, Subject

_ALERTS: dict[str, tuple[Kind, Severity]] = {
    "credentials_missing": ("credential_failure", "error"),
    "credentials_unreadable": ("credential_failure", "error"),
    "credentials_invalid": ("credential_failure", "error"),
    "exchange_unauthorized": ("credential_failure", "error"),
    "exchange_forbidden": ("credential_failure", "error"),
    "account_inactive": ("inactive_account", "warning"),
    "reduce_unaffordable": ("reduce_unaffordable", "error"),
    "exchange_unavailable": ("api_error", "error"),
    "exchange_rejected": ("api_error", "warning"),
    "plugin_error": ("plugin_failure", "error"),
    "plugin_timeout": ("plugin_failure", "error"),
    "expired": ("timeout", "warning"),
    "liquidation_invalid": ("unguarded_trade", "error"),
    "trade_invalid": ("unguarded_trade", "error"),
    "price_stale": ("api_error", "error"),
    "price_invalid": ("api_error", "error"),
}


def tell(registry: Registry, subject: Subject, ended: Ended, title: str, seconds: float) -> None:
    """Write the lines of a run that has ended, raise its alerts, and call the observers."""
    name = subject.account_name or subject.run.account_name or "unknown"
    _human_line(ended, title, name)
    run_line(
        {
            "timestamp": timestamp(),
            "userId": subject.run.user_id,
            "accountId": ended.result.get("accountId"),
            "accountName": ended.result.get("accountName"),
            "automationId": subject.run.automation_id,
            "automationType": subject.automation_type,
            "action": ended.result.get("action"),
            "status": "success" if ended.is_success else "error",
            "duration": round(seconds * 1000),
            "error": None if ended.is_success else (ended.error or {}).get("message"),
        }
    )
    for found in _alerts(subject, ended, name):
        alert(registry, found)
    registry.tell_finished(
        Finished(
            execution_id=subject.run.id,
            user_id=subject.run.user_id,
            automation_id=subject.run.automation_id,
            automation_type=subject.automation_type,
            account_id=ended.result.get("accountId"),
            account_name=ended.result.get("accountName"),
            status=ended.status,
            result=ended.result,
            duration_seconds=seconds,
        )
    )


def tell_held(registry: Registry, subject: Subject, pause: Suspend) -> None:
    """Alert, once, where a pause holds a reduce between its close and its reopen."""
    if not (pause.half_done and pause.wait_for == "paused"):
        return
    if ((subject.run.error or {}).get("details") or {}).get("halfDone"):
        return  # said when it was first held
    run = subject.run
    message = f"A pause holds execution {run.id} between the close of a position and the opening of its remainder"
    alert(
        registry,
        Alert(
            kind="half_done_reduce",
            severity="critical",
            message=message,
            user_id=run.user_id,
            account_id=subject.account_id or run.account_id,
            account_name=subject.account_name or run.account_name,
            automation_id=run.automation_id,
            execution_id=run.id,
        ),
    )


def alert(registry: Registry, found: Alert) -> None:
    """Say an alert in the log and hand it to every hook."""
    name = found.account_name or "unknown"
    say.warning(f"Alert {found.kind} for account {name}: {found.message}", severity=found.severity)
    registry.tell_alert(found)


def _human_line(ended: Ended, title: str, name: str) -> None:
    result = ended.result
    match ended.status:
        case "completed" if result.get("action") == "auto_entry_executed":
            say.success(f"Auto entry executed successfully for account {name}. Trade ID: {result.get('tradeId')}")
        case "completed" if any(_closed(outcome) for outcome in ended.outcomes):
            for outcome in ended.outcomes:
                if _closed(outcome):
                    say.success(f"Successfully closed position {outcome.group.trade_id} on account {name}")
        case "completed":
            say.success(f"{title} action {result.get('action')} executed successfully for account {name}")
        case "pending":
            say.info(f"{title} for account {name}: nothing to do yet ({result['result']['reason']})", mark="⏳")
        case "cancelled":
            say.info(f"{title} for account {name} cancelled: {result.get('message')}", mark="🚫")
        case _:
            reason = (ended.error or {}).get("message")
            say.error(f"Failed to execute {title} action for account {name}: {reason}")


def _closed(outcome: Any) -> bool:
    return any(step.action.kind == "close_position" and step.status == "confirmed" for step in outcome.steps)


def _alerts(subject: Subject, ended: Ended, name: str) -> list[Alert]:
    found: list[Alert] = []
    if ended.status == "uncertain":
        message = f"The outcome of execution {subject.run.id} on account {name} can't be told: {_message(ended)}"
        found.append(_alert(subject, ended, "uncertain_outcome", "critical", message))
    for outcome in ended.outcomes:
        if outcome.is_half_done:
            message = f"Position {outcome.group.trade_id} on account {name} is closed and was not reopened: " + str(
                (outcome.error or {}).get("message")
            )
            found.append(_alert(subject, ended, "half_done_reduce", "critical", message))
    errors = [one.error for one in ended.outcomes if one.error and not one.is_half_done and one.status != "uncertain"]
    for error in errors or ([ended.error] if ended.error and not found else []):
        kind = _ALERTS.get(str(error.get("code"))) or _by_default(subject, ended, error)
        if kind is not None:
            found.append(_alert(subject, ended, *kind, str(error.get("message"))))
    return found


def _by_default(subject: Subject, ended: Ended, error: Mapping[str, Any]) -> tuple[Kind, Severity] | None:
    """No failure of a guard, and none that is not the caller's, goes unheard for want of a line in the table."""
    if ended.is_success:
        return None
    if subject.run.lane == "protect":
        return "unguarded_trade", "error"
    return ("api_error", "error") if int(error.get("status", 500)) >= 500 else None


def _message(ended: Ended) -> str:
    return str((ended.error or {}).get("message"))


def _alert(subject: Subject, ended: Ended, kind: Kind, severity: Severity, message: str) -> Alert:
    return Alert(
        kind=kind,
        severity=severity,
        message=message,
        user_id=subject.run.user_id,
        account_id=ended.result.get("accountId"),
        account_name=ended.result.get("accountName"),
        automation_id=subject.run.automation_id,
        execution_id=subject.run.id,
    )
