"""What a person may do to an execution that has ended: try it again, or say what really happened."""

from __future__ import annotations

from typing import Any, Literal

from axisor_executor.automation import OpenPosition
from axisor_executor.errors import InvalidJob, NotFound
from axisor_executor.observe.logs import say
from axisor_executor.run import result as results
from axisor_executor.run.outcome import as_told, is_untold, merged_outcomes, present_plan
from axisor_executor.run.result import Subject
from axisor_executor.storage import actions, executions, tradelog
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution

RETRYABLE = frozenset({"failed", "uncertain", "expired", "cancelled"})
_BY_HAND = {"status": 400, "code": "resolved_by_hand", "message": "a person looked and said so"}


def retry(storage: Storage, execution_id: str, *, max_age_seconds: float) -> Execution:
    """Put an ended execution back on the queue's side of the ledger, with all its tries and a fresh deadline.

    What is not known is reconciled first; a remainder that was not reopened is reopened (within its slippage bound),
    and the steps behind it are done; what took effect is never done again. Where something is not known or a remainder
    is owed, groups that failed stay so, and the next retry decides them anew; else all that is left is decided anew.

    Raises:
        NotFound: there is no such execution.
        InvalidJob: it is not over, or there is nothing to try again (400, ``not_retryable``).
        AxisorError: another version wrote what the ledger has of it (500, ``ledger_unreadable``).
    """
    with storage.write(durable=True):
        found = _get(storage, execution_id)
        if found.status not in RETRYABLE:
            raise InvalidJob(f"Execution {found.id} is {found.status}: nothing to try again", code="not_retryable")
        found = as_told(found, actions.of(storage, found.id))
        owed = _owed(storage, found)
        for step in owed:
            actions.plan_again(storage, found, step)
        keeps_plan = found.status == "uncertain" or bool(owed)
        executions.reopen(storage, found, max_age_seconds=max_age_seconds, keeps_plan=keeps_plan)
        again = _get(storage, execution_id)
    say.info(f"Execution {found.id} is tried again", mark="🔁")
    return again


def resolve(
    storage: Storage, execution_id: str, verdict: Literal["executed", "not_executed"], *, trade_id: str | None = None
) -> dict[str, Any]:
    """Settle an uncertain execution by a person's word, and return its result. What it held is free again.

    Steps behind an unknown one are not carried out any more: too much time has passed for them to be meant.

    Args:
        storage: the database.
        execution_id: an execution that is ``uncertain``.
        verdict: whether its unknown action took effect on the exchange.
        trade_id: the trade that the unknown entry (or reopen) opened, if it was executed and its id is known.

    Raises:
        NotFound: there is no such execution.
        InvalidJob: it is not uncertain (400, ``not_uncertain``), or a trade is named and there is not exactly one
            unknown entry that was executed (400, ``not_one_entry``).
        AxisorError: another version wrote what the ledger has of it (500, ``ledger_unreadable``).
    """
    with storage.write(durable=True):
        found = _get(storage, execution_id)
        if found.status != "uncertain":
            raise InvalidJob(f"Execution {found.id} is {found.status}, not uncertain", code="not_uncertain")
        ledger = actions.of(storage, found.id)
        opened = [one for one in ledger if one.is_unsettled and isinstance(one.action, OpenPosition)]
        if trade_id is not None and (verdict != "executed" or len(opened) != 1):
            raise InvalidJob(
                f"Of what is unknown of execution {found.id}, {len(opened)} actions open a trade: a trade can be named "
                "where exactly one does, and was executed",
                code="not_one_entry",
            )
        for action in ledger:
            if action.is_unsettled and verdict == "executed":
                actions.settle(storage, action, "confirmed", new_trade_id=trade_id if action in opened else None)
            elif action.is_unsettled:
                actions.settle(storage, action, "rejected", error=_BY_HAND)
            elif action.status == "planned" and not action.is_rehearsed:
                actions.deny(storage, found, action, _BY_HAND)
        plan, outcomes = merged_outcomes(storage, found)
        subject = Subject(found, automation_type=found.automation_type)
        if outcomes or verdict == "executed":
            ended = results.acted(subject, plan, outcomes)
        else:  # its plans are lost; that nothing took effect is known all the same
            ended = results.failed(subject, _BY_HAND, None)
        executions.conclude(storage, found, ended.status, result=ended.result, error=ended.error)
        if is_untold(found):
            tradelog.write(storage, ended.trade_log)
    say.info(f"Execution {found.id} was resolved by hand: {verdict}", mark="🧑‍⚖️")
    return ended.result


def _owed(storage: Storage, found: Execution) -> list[LedgerAction]:
    """Return what half-done reduces still owe and is not planned any more: reopens, and steps behind them."""
    if not present_plan(found).groups:
        return []
    _, outcomes = merged_outcomes(storage, found)
    half_done = [outcome for outcome in outcomes if outcome.is_half_done]
    return [step for outcome in half_done for step in outcome.steps if step.status == "rejected"]


def _get(storage: Storage, execution_id: str) -> Execution:
    found = executions.lock(storage, execution_id)
    if found is None:
        raise NotFound(f"Execution {execution_id} not found", code="execution_not_found")
    return found
