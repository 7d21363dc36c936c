"""What a person may do to an execution that has ended: try it again, or say what really happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any, Literal

from axisor_executor.automation import OpenPosition
from axisor_executor.errors import AxisorError, Changed, InvalidJob, NotFound
from axisor_executor.observe.logs import say
from axisor_executor.run import by_hand
from axisor_executor.run import result as results
from axisor_executor.run.acting import Accounts
from axisor_executor.run.by_hand import Shown
from axisor_executor.run.outcome import as_told, is_untold, merged_outcomes, present_plan
from axisor_executor.run.result import Subject
from axisor_executor.storage import actions, executions, tradelog
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution

RETRYABLE = frozenset({"failed", "uncertain", "expired", "cancelled"})
_BY_HAND = {"status": 400, "code": "resolved_by_hand", "message": "a person looked and said so"}
_TRADE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,199}")


def retry(opener: Accounts, execution_id: str, *, max_age_seconds: float) -> Execution:
    """Put an ended execution back on the queue's side of the ledger, with all its tries and a fresh deadline.

    What is not known is reconciled first; a remainder that was not reopened is reopened (within its slippage bound),
    and the steps behind it are done; what took effect is never done again. Where something is not known or a remainder
    is owed, groups that failed stay so, and the next retry decides them anew; else all that is left is decided anew.

    Raises:
        NotFound: there is no such execution.
        InvalidJob: it is not over, or there is nothing to try again (400, ``not_retryable``).
        AxisorError: the exchange shows what a person has said was not executed (409, ``was_executed``); or another
            version wrote what the ledger has of it (500, ``ledger_unreadable``).
        Unavailable, SettingsError: a person has said so, and the exchange, which is asked again, does not answer, or
            can't be asked by this process.
    """
    storage = opener.storage
    with storage.connection():
        for sent in _said_not_executed(storage, execution_id):
            _check_not_shown(opener, sent)
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
    opener: Accounts, execution_id: str, verdict: Literal["executed", "not_executed"], *, trade_id: str | None = None
) -> dict[str, Any]:
    """Settle an uncertain execution by a person's word, and return its result. What it held is free again.

    Of what was sent with a client id the exchange is asked first: the word counts where that can't tell. Steps behind
    an unknown one are not carried out any more: too much time has passed for them to be meant.

    Args:
        opener: asks the exchange.
        execution_id: an execution that is ``uncertain``.
        verdict: whether its unknown action took effect on the exchange.
        trade_id: the trade that the unknown entry (or reopen) opened, if it was executed; where it is left out, it is
            looked for.

    Raises:
        NotFound: there is no such execution.
        InvalidJob: it is not uncertain (400, ``not_uncertain``); a trade is named and there is not exactly one
            unknown entry that was executed (400, ``not_one_entry``), it is not the one that was opened (400,
            ``not_our_trade``) or no id at all; or none is named, nor found, for a reopen (400, ``trade_id_missing``).
        AxisorError: what is said not to be executed may be yet (409, ``request_alive``), or the exchange shows it (409,
            ``was_executed``); or another version wrote what the ledger has of it (500, ``ledger_unreadable``).
        Unavailable: the exchange does not answer.
        SettingsError: the exchange can't be asked, for this process has no key for the account's credentials.
        Changed: it was gone on with while the exchange was asked.
    """
    storage = opener.storage
    with storage.connection():
        # Outside of the transaction: the exchange may take its time.
        sent = _unsettled(_uncertain(executions.get(storage, execution_id), execution_id), storage)
        opened = [one for one in sent if isinstance(one.action, OpenPosition)]
        if trade_id is not None and (verdict != "executed" or len(opened) != 1):
            raise InvalidJob(
                f"Of what is unknown of execution {execution_id}, {len(opened)} actions open a trade: a trade can be "
                "named where exactly one does, and was executed",
                code="not_one_entry",
            )
        if verdict == "executed":
            trades = _trades_opened(opener, opened, trade_id)
        else:
            trades = {}
            _check_dead(opener, sent)
            for one in sent:
                _check_not_shown(opener, one)
    with storage.write(durable=True):
        found = _uncertain(executions.lock(storage, execution_id), execution_id)
        ledger = actions.of(storage, found.id)
        if [one for one in ledger if one.is_unsettled] != sent:
            raise Changed(f"Execution {found.id} was gone on with meanwhile: look at it again")
        for action in ledger:
            if action.is_unsettled and verdict == "executed":
                actions.settle(storage, action, "confirmed", new_trade_id=trades.get(action.seq))
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


def _unsettled(found: Execution, storage: Storage) -> list[LedgerAction]:
    return [one for one in actions.of(storage, found.id) if one.is_unsettled]


def _said_not_executed(storage: Storage, execution_id: str) -> list[LedgerAction]:
    """Return what a person has said was not executed, has a client id, and was not sent again since."""
    sent = [one for one in actions.of(storage, execution_id) if one.client_id and one.sent_at is not None]
    latest = {one.client_id: one for one in sent}
    return [one for one in latest.values() if (one.error or {}).get("code") == _BY_HAND["code"]]


def _check_dead(opener: Accounts, sent: Sequence[LedgerAction]) -> None:
    """Raise while any of these requests may still be carried out: nobody can have seen that it was not."""
    until = max((by_hand.lives_until(opener, one).astimezone(UTC) for one in sent), default=None)
    if until is not None and opener.storage.now() <= until:
        raise AxisorError(
            f"What execution {sent[0].execution_id} sent may still be carried out until "
            f"{until + timedelta(seconds=1):%Y-%m-%d %H:%M:%S} UTC: look at the account, and say so, after that",
            code="request_alive",
            status=409,
            details={"until": until.isoformat()},
        )


def _check_not_shown(opener: Accounts, sent: LedgerAction) -> None:
    """Raise where the exchange shows what is said not to be executed; of what has no client id, the word is taken."""
    if sent.client_id is None:
        return
    shown = by_hand.look(opener, sent)
    if shown.ids:
        what = "trade" if isinstance(sent.action, OpenPosition) else "order"
        raise AxisorError(
            f"The exchange shows {what} {', '.join(shown.ids)} with the client id of {sent.action.kind} of execution "
            f"{sent.execution_id}: it was executed",
            code="was_executed",
            status=409,
            account_id=sent.account_id,
            details={f"{what}Ids": list(shown.ids)},
        )
    _tell_gap(sent, shown)


def _trades_opened(opener: Accounts, opened: Sequence[LedgerAction], trade_id: str | None) -> dict[int, str]:
    """Return the trade that each executed entry has opened, by ``seq``, as far as it is known."""
    if trade_id is not None and not _TRADE_ID.fullmatch(trade_id):
        raise InvalidJob(f"{trade_id[:200]!r} is not the id of a trade")
    trades: dict[int, str] = {}
    for sent in opened:
        shown = by_hand.look(opener, sent)
        if trade_id is not None:
            _check_is_ours(sent, shown, trade_id)
            trades[sent.seq] = trade_id
        elif len(shown.ids) == 1:
            trades[sent.seq] = shown.ids[0]
        elif _replaced(sent) is not None:
            raise _needs_trade(sent, shown)
        _tell_gap(sent, shown)
    return trades


def _check_is_ours(sent: LedgerAction, shown: Shown, trade_id: str) -> None:
    """Raise where a trade is certainly not the one that was opened."""
    if trade_id in shown.ids or (not shown.ids and shown.gap is not None and trade_id != _replaced(sent)):
        return
    there = f"trade {', '.join(shown.ids)}" if shown.ids else "none"
    raise InvalidJob(
        f"Trade {trade_id} is not the one that execution {sent.execution_id} opened: with its client id the exchange "
        f"shows {there}",
        code="not_our_trade",
        account_id=sent.account_id,
    )


def _needs_trade(sent: LedgerAction, shown: Shown) -> InvalidJob:
    """Return the error for a remainder without its trade: whatever is meant for the old trade would miss it."""
    why = shown.gap or (f"it shows {', '.join(shown.ids)}" if shown.ids else "it shows none")
    return InvalidJob(
        f"Which trade replaced {_replaced(sent)} can't be told from what the exchange shows ({why}): name it, or have "
        "it reconciled again by a retry",
        code="trade_id_missing",
        account_id=sent.account_id,
    )


def _replaced(sent: LedgerAction) -> str | None:
    return sent.action.replaces if isinstance(sent.action, OpenPosition) else None


def _tell_gap(sent: LedgerAction, shown: Shown) -> None:
    if shown.gap is not None:
        say.warning(f"{sent.action.kind} of execution {sent.execution_id} was not looked for to the end: {shown.gap}")


def _uncertain(found: Execution | None, execution_id: str) -> Execution:
    if found is None:
        raise _not_found(execution_id)
    if found.status != "uncertain":
        raise InvalidJob(f"Execution {found.id} is {found.status}, not uncertain", code="not_uncertain")
    return found


def _not_found(execution_id: str) -> NotFound:
    return NotFound(f"Execution {execution_id} not found", code="execution_not_found")


def _get(storage: Storage, execution_id: str) -> Execution:
    found = executions.lock(storage, execution_id)
    if found is None:
        raise _not_found(execution_id)
    return found
