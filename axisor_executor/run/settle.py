"""Find out what became of actions whose answer was lost: look at the exchange, judge, commit the verdict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from axisor_executor.automation import ClosePosition, OpenPosition
from axisor_executor.errors import AxisorError, OutcomeUnknown, Rejected, Unavailable
from axisor_executor.exchange.base import Answer, ExchangeClient, Trade
from axisor_executor.observe.logs import say
from axisor_executor.reconcile import Observation, Verdict, judge, request_is_dead
from axisor_executor.run.acting import Accounts, Acting
from axisor_executor.run.flow import Suspend
from axisor_executor.run.reads import search, shown
from axisor_executor.storage import accounts, actions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution

FIRST_LOOK_SECONDS = 1.0
SLOWEST_LOOK_SECONDS = 60.0
GIVE_UP_AFTER = timedelta(hours=1)
_LOOK_BACK = timedelta(minutes=1)  # how far before the signed instant a history is searched: clocks differ


class Settler:
    """Settles the unsettled actions of an execution, asking with the account that is recorded in each."""

    def __init__(self, opener: Accounts, *, window_seconds: float, margin_seconds: float) -> None:
        self.opener = opener
        self.window_seconds = window_seconds
        self.margin_seconds = margin_seconds

    def settle(self, run: Execution, unsettled: list[LedgerAction]) -> None:
        """Judge every unsettled action. Those that stay ``unknown`` when this returns are uncertain for good.

        Raises:
            Suspend: some can't be judged yet; look again later.
        """
        pending = [sent for sent in unsettled if not self._settle_one(sent)]
        if pending:
            delay = min(FIRST_LOOK_SECONDS * 2 ** min(run.looks, 10), SLOWEST_LOOK_SECONDS, self._until_dead(pending))
            raise Suspend("reconcile", max(delay, FIRST_LOOK_SECONDS), error=_unknown(pending), looked=True)

    def _until_dead(self, pending: list[LedgerAction]) -> float:
        """Seconds until the last of the requests is dead; a look then is worth more than one before."""
        last = max(sent.timestamp_ms or 0 for sent in pending) / 1000
        left = last + self.window_seconds + self.margin_seconds + 1.0 - datetime.now(UTC).timestamp()
        return left if left > 0 else SLOWEST_LOOK_SECONDS

    def _settle_one(self, sent: LedgerAction) -> bool:
        """Judge one action and commit it; return whether nothing more is to be found out."""
        try:
            verdict = self._look(sent)
        except (Unavailable, Rejected, AxisorError) as error:
            verdict = Verdict("unknown", f"the exchange could not be asked: {error}")
        if verdict.outcome == "executed" and isinstance(sent.action, ClosePosition) and self._closed_by_another(sent):
            verdict = Verdict("superseded", "another execution closed the trade", verdict.trade)
        if verdict.outcome == "unknown" and _too_old(sent):
            verdict = Verdict("uncertain", f"given up after {GIVE_UP_AFTER}: {verdict.reason}")
        say.info(
            f"Outcome of {sent.action.kind} on account {sent.account_id}: {verdict.outcome} ({verdict.reason})",
            mark="🔎",
        )
        return commit(self.opener, sent, verdict)

    def _closed_by_another(self, sent: LedgerAction) -> bool:
        return actions.closed_by_another(self.opener.storage, sent)

    def _look(self, sent: LedgerAction) -> Verdict:
        account = accounts.account(self.opener.storage, sent.account_id)
        if account is None:
            return Verdict("uncertain", f"account {sent.account_id} is not there any more")
        acting = self.opener.open(account, sent.automation_id)
        if acting.exchange_user_id != sent.exchange_user_id:
            return Verdict("uncertain", "the account's key now belongs to another exchange user, who can't answer")
        seen = observe(sent, acting)
        dead = request_is_dead(
            sent.timestamp_ms or 0, seen.server_time, window=self.window_seconds, margin=self.margin_seconds
        )
        return judge(sent.action, sent.baseline or {}, seen, timestamp_ms=sent.timestamp_ms or 0, dead=dead)


def commit(opener: Accounts, sent: LedgerAction, verdict: Verdict) -> bool:
    """Write a verdict into the ledger; return whether it is final (``uncertain`` is, and stays ``unknown`` there)."""
    status = 503 if verdict.outcome == "not_executed" else 504
    note: dict[str, Any] = {"status": status, "code": verdict.outcome, "message": verdict.reason}
    answer = shown(verdict.trade) if verdict.trade else None
    match verdict.outcome:
        case "executed":
            opened = verdict.trade.id if verdict.trade and isinstance(sent.action, OpenPosition) else None
            actions.settle(opener.storage, sent, "confirmed", answer=answer, new_trade_id=opened)
        case "not_executed":
            actions.settle(opener.storage, sent, "rejected", answer=answer, error=note)
        case "superseded":
            actions.settle(opener.storage, sent, "superseded", answer=answer, error=note)
        case "uncertain":
            actions.settle(opener.storage, sent, "unknown", error=note)
        case _:
            actions.note(opener.storage, sent, note)
    return verdict.outcome != "unknown"


def observe(sent: LedgerAction, acting: Acting) -> Observation:
    """Read what is needed to recognise the action's effect, in lifecycle order.

    A trade moves from open to running to closed or canceled; looking in that order can't miss one that moves
    meanwhile. The clock is that of the first answer: everything read after it is at least as new.
    """
    if isinstance(sent.action, OpenPosition):
        server_time, found, complete = _find(sent, acting, lambda trade: trade.client_id == sent.client_id, all_of=True)
        return Observation(server_time, matches=tuple(found), complete=complete)
    target = sent.action.target
    server_time, found, complete = _find(sent, acting, lambda trade: trade.id == target, all_of=False)
    return Observation(server_time, trade=found[0] if found else None, complete=complete)


def _find(
    sent: LedgerAction, acting: Acting, wanted: Callable[[Trade], bool], *, all_of: bool
) -> tuple[datetime, list[Trade], bool]:
    client: ExchangeClient = acting.client
    first: Answer[tuple[Trade, ...]] = client.open_trades()
    found = {trade.id: trade for trade in first.value if wanted(trade)}
    if not found or all_of:
        found.update({trade.id: trade for trade in client.running_trades().value if wanted(trade)})
    complete = True
    # A new trade can't be older than its request. An old one may be anywhere in the history, which shows the newest
    # first, and it is not documented whether its limits mean when a trade began or when it ended.
    since = None
    if all_of:
        since = datetime.fromtimestamp((sent.timestamp_ms or 0) / 1000, UTC) - _LOOK_BACK
    for read in (client.closed_trades, client.canceled_trades):
        if found and not all_of:
            break
        trades, whole = search(read, wanted, since=since, stop_early=not all_of)
        found.update({trade.id: trade for trade in trades})
        complete = complete and whole
    return first.server_time, list(found.values()), complete


def _too_old(sent: LedgerAction) -> bool:
    return sent.sent_at is not None and datetime.now(UTC) - sent.sent_at > GIVE_UP_AFTER


def _unknown(pending: list[LedgerAction]) -> OutcomeUnknown:
    kinds = ", ".join(sent.action.kind for sent in pending)
    return OutcomeUnknown(f"the outcome of {kinds} is not known yet", account_id=pending[0].account_id)
