"""Tell how a run ended: the human line, the machine line, alerts and observers. Nothing here can change the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axisor_executor.automation import CloseCrossPosition, ClosePosition
from axisor_executor.observe import metrics, tracing
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.alerts import Alert, Kind, Severity
from axisor_executor.observe.finished import Finished
from axisor_executor.observe.logs import run_line, say, timestamp
from axisor_executor.plugins import Registry
from axisor_executor.run.flow import Suspend
from axisor_executor.run.outcome import GroupOutcome
from axisor_executor.run.result import Ended, Subject, dropped

_ALERTS: dict[str, tuple[Kind, Severity]] = {
    "credentials_missing": ("credential_failure", "error"),
    "credentials_unreadable": ("credential_failure", "error"),
    "credentials_invalid": ("credential_failure", "error"),
    "wrong_network": ("credential_failure", "error"),
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


_OF_ONE_TRADE: frozenset[Kind] = frozenset({"unguarded_trade", "reduce_unaffordable", "plugin_failure"})
"""What one automation can't do for one trade says nothing about another."""

_OF_ONE_LANE: frozenset[Kind] = frozenset({"api_error", "timeout"})
"""What was to be done for a trade's protection, and was not, is not hidden by an entry that met the same."""


def tell(registry: Registry, alerts: AlertDesk, subject: Subject, ended: Ended, title: str, seconds: float) -> None:
    """Write the lines of a run that has ended, raise its alerts, and call the observers."""
    name = subject.account_name or subject.run.account_name or "unknown"
    tracing.note(ended.status, (ended.error or {}).get("code"))
    _human_line(ended, title, name)
    for outcome in ended.outcomes:
        if dropped(outcome):
            say.warning(_unprotected(outcome, name))
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
        alerts.take(found)
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


def count(registry: Registry, subject: Subject, ended: Ended, seconds: float, *, per_account: bool) -> None:
    """Count a run that has ended, for the metrics."""
    found = subject.automation_type
    kind = found if found is None or found in registry.handlers else "unknown"  # what a row names may be anything
    metrics.executions.add(kind, ended.result.get("action"), ended.status, subject.run.exchange)
    metrics.execution_seconds.observe(seconds, kind, ended.status)
    if per_account:
        metrics.account_executions.add(ended.result.get("accountId"), kind, ended.status)


def tell_held(alerts: AlertDesk, subject: Subject, pause: Suspend) -> None:
    """Alert, once, where a pause or an open breaker holds a reduce between its close and its reopen."""
    tracing.note(f"waiting for {pause.wait_for}", pause.error and pause.error.code)
    if not pause.holds_half_done:
        return
    if ((subject.run.error or {}).get("details") or {}).get("halfDone"):
        return  # said when it was first held
    run = subject.run
    message = f"Execution {run.id} is held between the close of a position and the opening of its remainder: "
    message += str(pause.error)
    alerts.take(
        Alert(
            kind="half_done_reduce",
            severity="critical",
            message=message,
            user_id=run.user_id,
            account_id=subject.account_id or run.account_id,
            account_name=subject.account_name or run.account_name,
            automation_id=run.automation_id,
            execution_id=run.id,
        )
    )


def _human_line(ended: Ended, title: str, name: str) -> None:
    result = ended.result
    match ended.status:
        case "completed" if result.get("dryRun"):
            count = len(result.get("requests", ()))
            say.success(f"{title} dry run for account {name}: {count} request(s) recorded, nothing was sent by it")
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
    return any(
        isinstance(step.action, (ClosePosition, CloseCrossPosition)) and step.status == "confirmed"
        for step in outcome.steps
    )


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
            found.append(_alert(subject, ended, "half_done_reduce", "critical", message, outcome.group.trade_id))
    errors = [
        (one.error, one.group.trade_id)
        for one in ended.outcomes
        if one.error and not one.is_half_done and one.status != "uncertain"
    ]
    for error, trade_id in errors or ([(ended.error, subject.run.trade_id)] if ended.error and not found else []):
        kind = _ALERTS.get(str(error.get("code"))) or _by_default(subject, ended, error)
        if kind is not None:
            topic = _topic(subject, kind[0], str(error.get("code")), trade_id)
            found.append(_alert(subject, ended, *kind, str(error.get("message")), trade_id, topic))
    for outcome in ended.outcomes:
        if "stoploss" in dropped(outcome):
            trade_id, message = outcome.new_trade_id, _unprotected(outcome, name)
            topic = _topic(subject, "unguarded_trade", "", trade_id)
            found.append(_alert(subject, ended, "unguarded_trade", "error", message, trade_id, topic))
    return found


def _unprotected(outcome: GroupOutcome, name: str) -> str:
    reasons = "; ".join(f"{what} {why}" for what, why in dropped(outcome).items())
    return f"Position {outcome.group.trade_id} on account {name} was reopened as {outcome.new_trade_id}: {reasons}"


def _topic(subject: Subject, kind: Kind, code: str, trade_id: str | None) -> str | None:
    """Return what an alert is about, where its account is too wide for one to stand for all."""
    protects = subject.run.lane == "protect"
    if kind in _OF_ONE_TRADE or (protects and code == "exchange_rejected"):
        return f"{subject.run.automation_id} {trade_id}"
    return "protect" if protects and kind in _OF_ONE_LANE else None


def _by_default(subject: Subject, ended: Ended, error: Mapping[str, Any]) -> tuple[Kind, Severity] | None:
    """No failure of a guard, and none that is not the caller's, goes unheard for want of a line in the table."""
    if ended.is_success:
        return None
    if subject.run.lane == "protect":
        return "unguarded_trade", "error"
    return ("api_error", "error") if int(error.get("status", 500)) >= 500 else None


def _message(ended: Ended) -> str:
    return str((ended.error or {}).get("message"))


def _alert(
    subject: Subject,
    ended: Ended,
    kind: Kind,
    severity: Severity,
    message: str,
    trade_id: str | None = None,
    topic: str | None = None,
) -> Alert:
    return Alert(
        kind=kind,
        severity=severity,
        message=message,
        user_id=subject.run.user_id,
        account_id=ended.result.get("accountId"),
        account_name=ended.result.get("accountName"),
        automation_id=subject.run.automation_id,
        execution_id=subject.run.id,
        details={"tradeId": trade_id} if trade_id else {},
        topic=topic,
    )
