"""Find out what became of actions whose answer was lost: look at the exchange, judge, commit the verdict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from axisor_executor.automation import CloseCrossPosition, ClosePosition, OpenPosition
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import AxisorError, CircuitOpen, OutcomeUnknown, StorageError, Throttled, Unavailable
from axisor_executor.exchange.base import Answer, CrossOrder, ExchangeClient, Trade
from axisor_executor.exchange.failures import UNREADABLE
from axisor_executor.observe.logs import say
from axisor_executor.reconcile import Observation, Outcome, SignedRequest, Verdict, judge
from axisor_executor.run import remainder
from axisor_executor.run.acting import Accounts, Acting
from axisor_executor.run.flow import Suspend, held_back
from axisor_executor.run.patience import FIRST_LOOK_SECONDS, GIVE_UP_AFTER, asked_for, is_given_up, is_past
from axisor_executor.run.reads import search, shown
from axisor_executor.storage import accounts, actions, executions, history
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution

T = TypeVar("T")

SLOWEST_LOOK_SECONDS = 60.0
_LOOK_BACK = timedelta(minutes=2)  # how far before the signed instant a history is searched: clocks differ


class Settler:
    """Settles the unsettled actions of an execution, asking with the account that is recorded in each."""

    def __init__(
        self, opener: Accounts, *, window_seconds: float, margin_seconds: float, max_skew_seconds: float
    ) -> None:
        self.opener = opener
        self.window_seconds = window_seconds
        self.margin_seconds = margin_seconds
        self.max_skew_seconds = max_skew_seconds

    def settle(self, run: Execution, unsettled: list[LedgerAction]) -> None:
        """Judge every unsettled action. Those that stay ``unknown`` when this returns are uncertain for good.

        Raises:
            Suspend: some can't be judged yet; look again later.
        """
        pending: list[LedgerAction] = []
        unanswered: Unavailable | None = None
        for sent in unsettled:
            try:
                if not self._settle_one(run, sent):
                    pending.append(sent)
            except Unavailable as error:
                if error.code != UNREADABLE:  # that one was an answer, and passes by itself no sooner for being asked
                    unanswered = error
                pending.append(sent)
        if unanswered is not None:
            # Nothing was shown: this was no look, and the next one must not be later for it.
            raise Suspend("reconcile", _until_asked_again(unanswered), error=_unknown(pending))
        if pending:
            delay = min(FIRST_LOOK_SECONDS * 2 ** min(run.looks, 10), SLOWEST_LOOK_SECONDS, self._until_dead(pending))
            raise Suspend("reconcile", max(delay, FIRST_LOOK_SECONDS), error=_unknown(pending), looked=True)

    def _until_dead(self, pending: list[LedgerAction]) -> float:
        """Seconds until the last of the requests is dead; a look then is worth more than one before."""
        left = (max(map(self._dead_at, pending)) - datetime.now(UTC)).total_seconds()
        return left if left > 0 else SLOWEST_LOOK_SECONDS

    def _dead_at(self, sent: LedgerAction) -> datetime:
        """When a request is dead by the clock that it was signed by, which proves nothing."""
        seconds = (sent.timestamp_ms or 0) / 1000 + self.window_seconds + self.margin_seconds + 1.0
        return datetime.fromtimestamp(seconds, UTC)

    def _settle_one(self, run: Execution, sent: LedgerAction) -> bool:
        """Judge one action and commit it; return whether nothing more is to be found out."""
        try:
            verdict = self._judge(sent)
        except Unavailable as error:
            if not is_given_up(sent, self.opener.storage.now):
                raise
            verdict = Verdict("unknown", f"the exchange could not be asked: {error}")
        except (StorageError, *BROKEN):
            raise
        except AxisorError as error:
            verdict = Verdict("unknown", f"the exchange could not be asked: {error}")
        except Exception as error:  # noqa: BLE001  what is wrong with one action must not keep others unsettled or owed
            say.crash(f"{sent.action.kind} on account {sent.account_id} can't be judged: {type(error).__name__}")
            outcome: Outcome = "uncertain" if is_past(self._dead_at(sent), self.opener.storage.now) else "unknown"
            verdict = Verdict(outcome, f"it could not be judged: {type(error).__name__}")
        if verdict.outcome == "unknown" and is_given_up(sent, self.opener.storage.now):
            verdict = Verdict("uncertain", f"given up after {GIVE_UP_AFTER}: {verdict.reason}")
        say.info(
            f"Outcome of {sent.action.kind} on account {sent.account_id}: {verdict.outcome} ({verdict.reason})",
            mark="🔎",
        )
        return _commit(self.opener.storage, run, sent, verdict)

    def _judge(self, sent: LedgerAction) -> Verdict:
        verdict = self._look(sent)
        if verdict.outcome == "executed" and self._closed_by_another(sent, verdict):
            verdict = Verdict("superseded", "another execution closed it", verdict.evidence)
        return remainder.judge(self.opener.storage, self._look, sent, verdict) or verdict

    def _closed_by_another(self, sent: LedgerAction, verdict: Verdict) -> bool:
        if isinstance(sent.action, CloseCrossPosition) and isinstance(verdict.evidence, CrossOrder):
            return history.cross_order_of_another(self.opener.storage, sent, verdict.evidence.id)
        return isinstance(sent.action, ClosePosition) and history.closed_by_another(self.opener.storage, sent)

    def _look(self, sent: LedgerAction) -> Verdict:
        account = accounts.account(self.opener.storage, sent.account_id)
        if account is None:
            return Verdict("uncertain", f"account {sent.account_id} is not there any more")
        acting = self.opener.open(account, sent.automation_id, "protect")
        if acting.owner() != sent.exchange_user_id:
            return Verdict("uncertain", "the account's key now belongs to another exchange user, who can't answer")
        request = SignedRequest(
            sent.timestamp_ms or 0,
            window=self.window_seconds,
            margin=self.margin_seconds,
            max_skew=self.max_skew_seconds,
        )
        seen = observe(sent, acting, self._borne_out)
        return judge(sent.action, sent.baseline or {}, seen, request, client_id=sent.client_id)

    def _borne_out(self, shown: datetime) -> datetime:
        """Return the exchange's clock, as an answer that has just come shows it, as far as a second one bears it out.

        A date that is wrong must not prove a request dead: where it is ahead of our clock and of the database's, those
        are gone by, less what they may be ahead. One that is behind only proves too little.
        """
        max_skew = timedelta(seconds=self.max_skew_seconds)
        ours = datetime.now(UTC)
        if shown - ours <= max_skew:
            return shown
        database = self.opener.storage.now() - (datetime.now(UTC) - ours)  # as it was when the answer came
        if shown - database <= max_skew:
            return shown
        ahead = (shown - max(ours, database)).total_seconds()
        say.warning(f"The exchange's clock is {ahead:.0f} s ahead: by itself it proves no request dead")
        return min(ours, database) - max_skew


class _Answers:
    """The answers of one look, which show the exchange as it was at :attr:`server_time` at least."""

    def __init__(self, borne_out: Callable[[datetime], datetime]) -> None:
        self._borne_out = borne_out
        self._instants: list[datetime] = []

    @property
    def server_time(self) -> datetime:
        """The exchange's clock at the oldest of the answers: a cache may have kept any of them."""
        return min(self._instants)

    def ask(self, read: Callable[..., Answer[T]], **asked: Any) -> Answer[T]:
        """Return the answer to a call of the client."""
        answer = read(**asked)
        self._instants.append(self._borne_out(answer.server_time))
        return answer


def _commit(storage: Storage, run: Execution, sent: LedgerAction, verdict: Verdict) -> bool:
    """Write a verdict into the ledger; return whether it is final (``uncertain`` is, and stays ``unknown`` there)."""
    status = 503 if verdict.outcome == "not_executed" else 504
    note: dict[str, Any] = {"status": status, "code": verdict.outcome, "message": verdict.reason}
    answer = shown(verdict.evidence) if verdict.evidence else None
    match verdict.outcome:
        case "executed":
            opened = verdict.evidence.id if verdict.evidence and isinstance(sent.action, OpenPosition) else None
            actions.settle(storage, sent, "confirmed", answer=answer, new_trade_id=opened)
        case "not_executed":
            _reject(storage, run, sent, answer, note)
        case "superseded":
            actions.settle(storage, sent, "superseded", answer=answer, error=note)
        case "uncertain":
            actions.settle(storage, sent, "unknown", error=note)
        case _:
            actions.note(storage, sent, note)
    return verdict.outcome != "unknown"


def _reject(
    storage: Storage, run: Execution, sent: LedgerAction, answer: dict[str, Any] | None, note: dict[str, Any]
) -> None:
    """Settle what was not executed. A first step is decided again; a later one is owed, and planned anew as it was.

    Both in one commit: in between, nobody would see that it is owed.
    """
    if sent.step_index == 0:
        actions.settle(storage, sent, "rejected", answer=answer, error=note)
        return
    with storage.write():
        executions.hold(storage, run)
        if actions.settle(storage, sent, "rejected", answer=answer, error=note):
            actions.plan_again(storage, run, sent)


def observe(
    sent: LedgerAction, acting: Acting, borne_out: Callable[[datetime], datetime] = lambda shown: shown
) -> Observation:
    """Read what is needed to recognise the action's effect, in lifecycle order.

    A trade moves from open to running to closed or canceled; looking in that order can't miss one that moves
    meanwhile. The clock is that of the oldest answer: everything else is at least as new.

    Args:
        sent: the action.
        acting: the account that it was sent for.
        borne_out: returns the instant that an answer's own proves.
    """
    client, answers = acting.client, _Answers(borne_out)
    if isinstance(sent.action, CrossAction):
        return _observe_cross(sent, client, answers)
    if isinstance(sent.action, OpenPosition):
        found, complete = _find(
            sent, client, answers, lambda trade: trade.client_id in (None, "", sent.client_id), all_of=True
        )
        return Observation(
            answers.server_time,
            matches=tuple(trade for trade in found if trade.client_id),
            nameless=tuple(trade for trade in found if not trade.client_id),
            complete=complete,
        )
    target = sent.action.target
    found, complete = _find(sent, client, answers, lambda trade: trade.id == target, all_of=False)
    return Observation(answers.server_time, trade=found[0] if found else None, complete=complete)


def _observe_cross(sent: LedgerAction, client: ExchangeClient, answers: _Answers) -> Observation:
    """Read the cross position and its orders since the request, so that the one explains the other.

    Raises:
        Unavailable: the position changed meanwhile; look again.
    """
    before = answers.ask(client.cross_position).value
    orders = {order.id: order for order in answers.ask(client.cross_open_orders).value}
    read = partial(answers.ask, client.cross_filled_orders)
    filled, complete = search(read, lambda _: True, since=_since(sent), stop_early=False)
    orders.update({order.id: order for order in reversed(filled)})  # oldest first
    position = answers.ask(client.cross_position).value
    if position.quantity != before.quantity:
        raise Unavailable("the cross position changed while its orders were read")
    return Observation(answers.server_time, position=position, orders=tuple(orders.values()), complete=complete)


def _find(
    sent: LedgerAction, client: ExchangeClient, answers: _Answers, wanted: Callable[[Trade], bool], *, all_of: bool
) -> tuple[list[Trade], bool]:
    found = {trade.id: trade for trade in answers.ask(client.open_trades).value if wanted(trade)}
    if not found or all_of:
        found.update({trade.id: trade for trade in answers.ask(client.running_trades).value if wanted(trade)})
    complete = True
    # A new trade can't be older than its request. An old one may be anywhere in the history, which shows the newest
    # first, and it is not documented whether its limits mean when a trade began or when it ended.
    since = None
    if all_of:
        since = _since(sent)
    for read in (client.closed_trades, client.canceled_trades):
        if found and not all_of:
            break
        trades, whole = search(partial(answers.ask, read), wanted, since=since, stop_early=not all_of)
        found.update({trade.id: trade for trade in trades})
        complete = complete and whole
    return list(found.values()), complete


def _since(sent: LedgerAction) -> datetime:
    """Return from when on a history can show what was sent."""
    return datetime.fromtimestamp((sent.timestamp_ms or 0) / 1000, UTC) - _LOOK_BACK


def _until_asked_again(error: Unavailable) -> float:
    if isinstance(error, (Throttled, CircuitOpen)):
        return held_back(error).seconds
    return max(FIRST_LOOK_SECONDS, asked_for(error))


def _unknown(pending: list[LedgerAction]) -> OutcomeUnknown:
    kinds = ", ".join(sent.action.kind for sent in pending)
    return OutcomeUnknown(f"the outcome of {kinds} is not known yet", account_id=pending[0].account_id)
