"""An automation in a backtest: asked and carried out by the code that the executor runs on.

Resolving, deciding, the spend guards, the checks of a plan and the one call for each action are the executor's own.
What is not here is what a simulation has no need for: leases, the ledger, retries, rate limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from axisor_executor.automation import AccountContext, Act, Action, ClosePosition, Group, JobInfo, OpenPosition, Wait
from axisor_executor.automation.actions import CrossAction
from axisor_executor.backtest.account import NAME, USER, Deed, Past, SimulatedAccount, SimulatedReads
from axisor_executor.backtest.scenario import EACH, PlannedAutomation, with_ids
from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.exchange.base import CrossOrder, Trade
from axisor_executor.jobs import Job
from axisor_executor.plugins import Found, Registry
from axisor_executor.run import spend
from axisor_executor.run.cross import position_for
from axisor_executor.run.decide import check_reopens, context_of, decide
from axisor_executor.run.deciding import Deciders, told
from axisor_executor.run.resolve import is_dry_run_config, resolve
from axisor_executor.run.send import call, prepare_reopen
from axisor_executor.storage.accounts import Account, Automation
from axisor_executor.storage.actions import client_id

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UNTIL_SENT = _MILLISECOND
"""How long after its job an action counts as sent: never at the very instant, in a worker, so what was done a whole
cooldown (or a budget's week) before a job still holds it back."""


@dataclass
class Tally:
    """What became of an automation's jobs, as the executor would have it, and of the actions that they planned.

    ``waited`` and ``failed`` count by reason and code, ``sent`` and ``rejected`` actions by kind and by code;
    ``rehearsed`` are those of a dry run. ``first_error`` is the message of the first job or action that failed.
    """

    jobs: int = 0
    acted: int = 0
    nothing: int = 0
    waited: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    rehearsed: Counter[str] = field(default_factory=Counter)
    superseded: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    first_error: str | None = None

    def note(self, error: AxisorError) -> None:
        """Keep the first error's words."""
        self.first_error = self.first_error or error.message


class _Here(Deciders):
    """Asks in this thread: a backtest serves nobody else that a plugin could hold up."""

    def ask(
        self,
        found: Found,
        what: str,
        call: Callable[[], T],
        seconds: float,  # noqa: ARG002  it has all the time
        *,
        is_ours: Callable[[BaseException], bool] = lambda _: False,
        is_reading: Callable[[], bool] = lambda: False,  # noqa: ARG002  which makes no difference then
        meanwhile: Callable[[], object] = lambda: None,  # noqa: ARG002  there is no exchange to ask
    ) -> T:
        """Return what the call returns; what it raises is told as in a run."""
        return told(found.display_name, what, call, is_ours)


class RunningAutomation:
    """One automation, and what became of its jobs so far.

    Attributes:
        every: how often it gets jobs.
        tally: what became of them.
    """

    def __init__(
        self,
        planned: PlannedAutomation,
        registry: Registry,
        account: SimulatedAccount,
        *,
        number: int,
        every: timedelta,
        ids: dict[str, str],
    ) -> None:
        """Resolve it as the executor would.

        Raises:
            UnknownAutomationType, InvalidConfig, InvalidJob: as in the executor.
        """
        self.id = automation_id = planned.id or f"{planned.type}-{number}"
        self._number = number
        self._sent = 0
        self.type = planned.type
        self.every = every
        self.tally = Tally()
        self._account = account
        self._past = Past(account)
        self._deciders = _Here()
        self._each = planned.trade == EACH
        trade_id = None if planned.trade in (None, EACH) else ids[planned.trade]
        self._job = Job(user_id=USER, automation_id=automation_id, action=planned.action, trade_id=trade_id)
        config = with_ids(planned.config, ids)
        self._dry_run = is_dry_run_config(config)
        row = _row(automation_id, planned.type, config)
        assert row.account is not None
        self._resolved = resolve(registry, row, row.account, self._job, self._deciders, 0.0)
        self._template: AccountContext[Any] = context_of(self._resolved, self._job, self._reads())

    @property
    def action(self) -> str:
        """The action that its jobs mean."""
        return self._resolved.action

    def run(self) -> int:
        """Run the jobs that are due now; return how many actions were sent."""
        self._sent = 0
        for trade_id in self._trades():
            self._run(trade_id)
        return self._sent

    def _trades(self) -> Iterator[str | None]:
        if not self._each:
            yield self._job.trade_id
            return
        for trade in sorted(self._reads().running(), key=lambda one: (one.created_at, one.id)):
            yield trade.id

    def _reads(self) -> SimulatedReads:
        return SimulatedReads(self._account, self._past)

    def _run(self, trade_id: str | None) -> None:
        tally, reads = self.tally, self._reads()
        tally.jobs += 1
        current = None if trade_id is None else self._account.lineage.current(trade_id)
        like = self._template
        now = self._account.simulation.now
        job = JobInfo(self._resolved.action, current)
        context = AccountContext(like.account, like.automation, like.config, job, now, reads)
        try:
            decision = decide(self._resolved.registered, context, self._deciders, 0.0)
            if isinstance(decision, Act):
                decision = spend.hold_back(self._past, decision, self._resolved)
            if isinstance(decision, Act):
                check_reopens(decision, reads, self._resolved.registered.found.display_name)
        except AxisorError as error:
            tally.failed[error.code] += 1
            tally.note(error)
            return
        if isinstance(decision, Wait):
            tally.waited[decision.reason] += 1
            return
        self._act(decision)

    def _act(self, decision: Act) -> None:
        planned = [group for group in decision.groups if group.actions]
        failed = [group for group in decision.groups if not group.actions and group.status == "failed"]
        for group in failed:
            error = group.facts.get("error")
            self.tally.failed[str(error["code"]) if isinstance(error, dict) else "failed"] += 1
        if planned:
            self.tally.acted += 1
        elif not failed:
            self.tally.nothing += 1
        for group in planned:
            self._carry_out(group)

    def _carry_out(self, group: Group) -> None:
        """Carry the steps out in order, and none behind one that was refused or superseded."""
        for step, action in enumerate(group.actions):
            try:
                if not self._send(action, group, step):
                    self.tally.superseded[action.kind] += 1
                    return
            except AxisorError as error:
                self.tally.rejected[error.code] += 1
                self.tally.note(error)
                return

    def _send(self, action: Action, group: Group, step: int) -> bool:
        """Send one action; return False where it was for a trade that is closed already."""
        if self._dry_run:
            self.tally.rehearsed[action.kind] += 1
            return True
        if self._is_over(action):
            return False
        if isinstance(action, OpenPosition) and action.replaces is not None:
            action = prepare_reopen(action, self._account.simulation.price)
        now = self._account.simulation.now
        own_id = None
        if action.has_client_id:
            own_id = client_id(f"{self._number}-{self.tally.jobs}", group.trade_id, step)
        self._account.forget()
        answer: Trade | CrossOrder = call(self._account.client, action, own_id, (now - _EPOCH) // _MILLISECOND).value
        self.tally.sent[action.kind] += 1
        self._sent += 1
        opened = answer if isinstance(action, OpenPosition) and isinstance(answer, Trade) else None
        self._past.add(Deed(now + _UNTIL_SENT, action, opened))
        if isinstance(action, OpenPosition) and action.replaces is not None and opened is not None:
            self._account.lineage.replaced(action.replaces, opened.id)
        return True

    def _is_over(self, action: Action) -> bool:
        """Whether what is to be closed is closed already.

        Raises:
            NotFound: the account has no such trade, or none that can be changed any more.
            StaleData: the cross position is not the one that was decided on any more.
        """
        if isinstance(action, CrossAction):
            return position_for(action, self._account).side is None
        if action.target is None:
            return False
        trade = self._account.simulation.trade(NAME, action.target)
        if trade is not None and trade.state in ("open", "running"):
            return False
        if trade is None or trade.state != "closed" or not isinstance(action, ClosePosition):
            raise NotFound(f"Trade {action.target} is not running on account {NAME}", code="trade_not_found")
        return True


def _row(automation_id: str, automation_type: str, config: Any) -> Automation:
    """Return the rows that the executor would find in its database."""
    account = Account(
        id=NAME,
        user_id=USER,
        name=NAME,
        is_active=True,
        credentials=None,
        exchange_name="Simulation",
        exchange_slug="simulation",
        exchange_active=True,
    )
    return Automation(
        id=automation_id,
        user_id=USER,
        type=automation_type,
        config=config,
        is_active=True,
        risk_level=None,
        account_id=account.id,
        account=account,
    )
