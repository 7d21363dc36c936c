"""The run of one job, top to bottom: claim, settle, resolve, decide, carry out, record."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from axisor_executor.automation import Act, Decision, Lane, Wait
from axisor_executor.errors import (
    AxisorError,
    CircuitOpen,
    Held,
    LeaseLost,
    NotFound,
    OutcomeUnknown,
    StaleData,
    StorageError,
    Throttled,
    Unavailable,
)
from axisor_executor.jobs import Job
from axisor_executor.limits.breaker import PluginRef
from axisor_executor.limits.plugin_turn import turn_of
from axisor_executor.limits.slots import Slots
from axisor_executor.observe import metrics, tracing
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.logs import about_run, say
from axisor_executor.plugins import Registry
from axisor_executor.run import ending, points, report, spend
from axisor_executor.run import result as results
from axisor_executor.run.acting import Accounts, Acting
from axisor_executor.run.decide import check_account, check_plan, check_reopens, context_of, decide, record_of
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.flow import Stop, Suspend, crashed, held_back, waits_for
from axisor_executor.run.follow import HELD_RETRY_SECONDS, Follower, is_overdue
from axisor_executor.run.outcome import GroupOutcome, ledger_of, merge, outcomes_of, without
from axisor_executor.run.patience import Patience
from axisor_executor.run.reading import KeptConfigs
from axisor_executor.run.resolve import Resolved, check_switched_on, find, is_dry_run, resolve
from axisor_executor.run.result import Ended, Subject
from axisor_executor.run.send import Sender
from axisor_executor.run.settle import Settler
from axisor_executor.run.standing import Standing
from axisor_executor.settings import Settings
from axisor_executor.storage import accounts, actions, claiming, executions, switches
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.claiming import Claimed
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Next
from axisor_executor.storage.plans import Plan
from axisor_executor.workers import Presence

MOST_IN_A_ROW = 8
"""How many executions of one account a thread carries out before it takes its turn at the queue again."""

FIRST_RUN = 1
"""The fence of an execution's first run."""

MOST_CRASHES = 10
"""How many workers may die one after the other while an execution is being decided: something in it kills them."""


class Executor:
    """Carries executions out. One instance serves all threads of a process."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        registry: Registry,
        opener: Accounts,
        presence: Presence,
        wake: Callable[[Next], None],
        alerts: AlertDesk,
    ) -> None:
        self.settings = settings
        self.storage = storage
        self.registry = registry
        self.opener = opener
        self.presence = presence
        self.wake = wake
        self.alerts = alerts
        if settings.mode == "dry_run":
            say.warning("AXISOR_MODE=dry_run: this process sends nothing that changes anything")
        self.slots = Slots(self._several_exchanges)
        self.deciders = Deciders()
        self.configs = KeptConfigs()
        self.stopping = threading.Event()
        self.sender = Sender(storage, max_skew_seconds=settings.max_clock_skew_seconds, live=settings.mode == "live")
        self.settler = Settler(
            opener,
            window_seconds=settings.signature_window_seconds,
            margin_seconds=settings.signature_margin_seconds,
            max_skew_seconds=settings.max_clock_skew_seconds,
        )

    def _several_exchanges(self) -> bool:
        with self.storage.connection():
            return accounts.exchanges_in_use(self.storage) > 1

    def run(self, execution_id: str, *, most: int = MOST_IN_A_ROW) -> None:
        """Carry an execution as far as it goes now: to its end, or until it has to wait.

        Those next in line on the account follow at once where the lane allows it, ``most`` of them all: what was read
        of the account for one serves the next, which would otherwise come back through the queue.

        Raises nothing that a job, a plugin or an exchange can cause. What the database raises passes through:
        nothing can be recorded then, and recovery takes the execution up again.
        """
        for turn in itertools.count(1):
            lane, next_in_line = self._run_one(execution_id)
            if next_in_line is None:
                return
            if turn == most or self.stopping.is_set() or next_in_line.lane not in (lane, "protect"):
                self.wake(next_in_line)
                return
            execution_id = next_in_line.id

    def _run_one(self, execution_id: str) -> tuple[Lane | None, Next | None]:
        with self.storage.connection(), self.presence.running(execution_id):
            claimed = claiming.claim(
                self.storage,
                execution_id,
                worker_id=self.presence.worker_id,
                lease_seconds=self.settings.lease_seconds,
            )
            if claimed is None:
                self._say_why_not(execution_id)
                return None, None
            run = claimed.run
            points.reached("claimed")
            if run.fence == FIRST_RUN and run.started_at is not None:
                metrics.start_delay.observe((run.started_at - run.created_at).total_seconds(), run.lane)
            names = {"automationId": run.automation_id, "userId": run.user_id, "accountId": run.account_id}
            with tracing.run(run), about_run(run.id, **names, **tracing.ids(run.id)):
                next_in_line = Run(self, claimed).go()
            points.reached("finished")
        return run.lane, next_in_line

    def _say_why_not(self, execution_id: str) -> None:
        if executions.get(self.storage, execution_id) is None:
            say.error(f"No execution {execution_id[:64]!r} in the ledger: its message was dropped")
        else:
            say.debug(f"Nothing to do for execution {execution_id} now")


class Run:
    """One run of one execution. What it finds out on the way, it keeps for the result."""

    def __init__(self, executor: Executor, claimed: Claimed) -> None:
        run = claimed.run
        self.executor = executor
        # What an execution does that has begun may take long; what was read at its claim is then read again.
        self.automation = None if run.plan_version else claimed.automation
        self.storage = executor.storage
        self.settings = executor.settings
        self.run = run
        self.subject = Subject(run, automation_type=run.automation_type)
        self.title = run.automation_type or "automation"
        self.action: str | None = None
        self.acting: Acting | None = None
        self.plan: Plan | None = None
        self.unsettled: Suspend | None = None
        self.patience = Patience(run, self.settings.policy_for(run.automation_type or ""), self.storage.now)
        self.dry_run = executor.settings.mode == "dry_run"
        self.started = time.monotonic()

    @cached_property
    def job(self) -> Job:
        """The job as it was taken."""
        return Job.model_validate(self.run.job)

    def go(self) -> Next | None:
        """Run, commit how it ended, tell everyone, and return who is next on the account."""
        try:
            ended = self._end()
            if self.dry_run:
                ended = results.rehearsed(self.subject, ended)
            next_in_line = ending.finish(
                self.storage, self.run, self.subject, ended, self.plan, lease_seconds=self.settings.lease_seconds
            )
        except Suspend as pause:
            report.tell_held(self.executor.alerts, self.subject, pause)
            return ending.suspend(
                self.storage, self.run, self.subject, pause, lease_seconds=self.settings.lease_seconds
            )
        except LeaseLost as error:
            say.warning(f"Run given up: {error}")
            return None
        if next_in_line is not None and self.acting is not None:
            self.executor.opener.hand_on(self.acting, next_in_line)
        seconds = time.monotonic() - self.started
        report.tell(self.executor.registry, self.executor.alerts, self.subject, ended, self.title, seconds)
        per_account = self.settings.metrics_per_account
        report.count(self.executor.registry, self.subject, ended, seconds, per_account=per_account)
        return next_in_line

    def _end(self) -> Ended:
        """Carry the execution out, and where even how that ended can't be told, have it end all the same."""
        try:
            return self._try()
        except (Suspend, LeaseLost, StorageError, *BROKEN):
            raise
        except Exception as error:  # noqa: BLE001  what is stored, or was answered, would break every further run, too
            return self._untellable(error if isinstance(error, AxisorError) else self._crashed(error))

    def _try(self) -> Ended:
        """Carry the execution out, and turn what goes wrong into its end or its next try."""
        try:
            with self.executor.slots.take(self.run.exchange or "", self.run.lane):
                return self._carry_out()
        except Stop as stop:
            return self._stop(stop)
        except (Throttled, CircuitOpen) as error:
            if self._has_lapsed():
                return self._fail(error)
            raise held_back(error, half_done=self._is_owed()) from None
        except (Unavailable, StaleData) as error:
            return self._retry_or_fail(error)
        except Held as error:
            raise Suspend(waits_for(error), HELD_RETRY_SECONDS, error=error, half_done=self._is_owed()) from None
        except (Suspend, LeaseLost, StorageError, *BROKEN):
            raise
        except AxisorError as error:
            return self._fail(error)
        except Exception as error:  # noqa: BLE001  a mistake of ours must not run again and again
            return self._fail(self._crashed(error))

    def _carry_out(self) -> Ended:
        """Settle what is not known, go on with what has begun, and decide what has not."""
        standing = self._settled()
        if standing.owed:
            standing = self._carry_on(standing)
        if self.unsettled is not None:
            # Nothing is decided meanwhile: what an open may have made would be taken for somebody else's trade.
            raise self.unsettled
        if standing.is_decided:
            return results.acted(self.subject, standing.plan, standing.whole)
        if standing.may_have_opened:
            raise OutcomeUnknown("What an entry of this execution made is not known: nothing more is decided beside it")
        return self._begin(standing.kept, standing.ledger)

    def _settled(self) -> Standing:
        """Settle what can be settled now: what other groups are owed does not wait for the rest."""
        standing = self._standing()
        if not standing.unsettled:
            return standing
        try:
            self.executor.settler.settle(self.run, standing.unsettled)
        except Suspend as pause:
            self.unsettled = pause
        return self._standing()

    def _carry_on(self, standing: Standing) -> Standing:
        """Go on with groups of which something was sent: they bind, whatever has been changed since."""
        assert self.run.account_id is not None
        account = accounts.account(self.storage, self.run.account_id)
        if account is None:
            raise NotFound(f"Account {self.run.account_id} is not there any more", code="account_not_found")
        self._about(account)
        self.action = standing.plan.action
        self._follower().follow(self.run, standing.owed, self._open(account))
        return self._standing()

    def _begin(self, kept: list[GroupOutcome], ledger: list[LedgerAction]) -> Ended:
        """Decide and carry the decision out. ``kept`` groups of earlier plans are not decided again."""
        self.patience.check_age()
        if self.run.crashes >= MOST_CRASHES:
            # Only here: what has begun is settled and gone on with first, whatever its neighbours did to the worker.
            raise AxisorError(f"given up after {self.run.crashes} workers died of it", code="crashed")
        found = self._find()
        with turn_of(self.executor.opener.breakers, self._plugin_of(found), self.run.lane):
            resolved = self._resolve(found)
            acting = self._open(resolved.account, any_switch=found.any_switch)
            decision = self._decide(resolved, acting)
        if isinstance(decision, Act):
            decision = without(self.storage, resolved.account.id, decision, kept)
        if isinstance(decision, Act) and decision.groups:
            decision = spend.guard(self.storage, decision, resolved)
        record = record_of(resolved, acting)
        if kept and (isinstance(decision, Wait) or not decision.groups):
            return results.acted(self.subject, Act(groups=(), action=resolved.action, lists_trades=True), kept)
        if isinstance(decision, Wait):
            plan = {**decision.as_dict(), "version": self.run.plan_version + 1, **record}
            return results.waited(self.subject, decision, resolved.action, plan)
        check_plan(decision, resolved, self.settings.inactive_accounts)
        self.plan = Plan(
            self.storage, self.run, decision, record, ledger, config_text=found.config_text, dry_run=self.dry_run
        )
        points.reached("planned")
        self.run = dataclasses.replace(self.run, plan=self.plan.document, plan_version=self.plan.version)
        return results.acted(self.subject, decision, merge(kept, self._followed(decision, self.plan, acting)))

    def _followed(self, decision: Act, plan: Plan, acting: Acting) -> list[GroupOutcome]:
        """Carry a new plan out. It is in the ledger when this returns or raises."""
        try:
            self._follower(plan).follow(self.run, self._outcomes(decision, plan.actions), acting)
        finally:
            plan.keep()
        return self._outcomes(decision, plan.actions if plan.is_carried_out else ledger_of(self.storage, self.run))

    def _follower(self, plan: Plan | None = None) -> Follower:
        return Follower(
            self.executor.sender,
            next_try=self.patience.next_try,
            check_age=self.patience.check_age,
            is_stopping=self.executor.stopping.is_set,
            plan=plan,
        )

    def _outcomes(self, plan: Act, ledger: list[LedgerAction]) -> list[GroupOutcome]:
        return outcomes_of(plan, ledger, self.run.plan_version)

    def _standing(self) -> Standing:
        return Standing(self.storage, self.run, self.patience)

    # Steps that keep what they find out

    def _find(self) -> accounts.Automation:
        """Find the automation, switched on and bound to the account whose lease this run holds."""
        try:
            found = find(self.storage, self.job, auto_migrate=self.settings.auto_migrate, known=self.automation)
        except NotFound as error:
            if self.run.account_id is None or error.code != "automation_not_found":
                raise
            # It was there when the job was taken.
            raise Stop("cancelled", "disabled", f"Automation {self.run.automation_id} was deleted meanwhile") from None
        account = found.account
        assert account is not None
        self._about(account)
        say.success(f"Found account: {account.name} ({account.exchange_name})")
        if self.run.account_id is None:
            # It was bound after the job was taken. The next run takes the account's lease with it.
            executions.adopt_account(self.storage, self.run.id, account.id, account.name, account.exchange_slug)
            raise Suspend("lease", 0.0)
        if account.id != self.run.account_id:
            raise Stop("cancelled", "rebound", f"Automation {found.id} was bound to another account meanwhile")
        if found.id != self.run.automation_id:
            # Taken by a process that did not know of the monolith's change to UUIDs; switches go by the row's id.
            self.run = dataclasses.replace(self.run, automation_id=found.id)
        check_switched_on(found)
        self.dry_run = self.dry_run or is_dry_run(found)
        return found

    def _plugin_of(self, found: accounts.Automation) -> PluginRef:
        plugin = self.executor.registry.handler(found.type).found
        return PluginRef(plugin.distribution, plugin.version, found.id)

    def _resolve(self, found: accounts.Automation) -> Resolved:
        account = found.account
        assert account is not None
        deciders, seconds = self.executor.deciders, self.settings.decide_seconds
        resolved = resolve(self.executor.registry, found, account, self.job, deciders, seconds, self.executor.configs)
        self.title, self.action = resolved.registered.handler.title, resolved.action
        alert = check_account(resolved, self.settings.inactive_accounts, self.run.id)
        if alert is not None:
            self.executor.alerts.take(alert)
        return resolved

    def _open(self, account: accounts.Account, *, any_switch: bool = True) -> Acting:
        if any_switch:
            switches.check_pause(
                self.storage,
                exchange=account.exchange_slug,
                account_id=account.id,
                automation_id=self.run.automation_id,
            )
        self.acting = self.executor.opener.open(account, self.run.automation_id, self.run.lane, self.run)
        return self.acting

    def _decide(self, resolved: Resolved, acting: Acting) -> Decision:
        account = resolved.account
        say.execution(f"Executing {self.title} action for user {account.user_id} on account {account.name}")
        say.info(f"Action: {resolved.action}", mark="📋")
        if self.executor.opener.breakers.has_open:
            acting.owner()  # what may be a probe goes alone: nothing else passes until it is back
        context = context_of(resolved, self.job, acting.reads)
        decision = decide(
            resolved.registered,
            context,
            self.executor.deciders,
            self.settings.decide_seconds,
            meanwhile=acting.owner,
        )
        if isinstance(decision, Act):
            check_reopens(decision, acting.reads, resolved.registered.found.display_name)
        return decision

    def _about(self, account: accounts.Account) -> None:
        self.subject = dataclasses.replace(self.subject, account_id=account.id, account_name=account.name)

    # Trouble

    def _retry_or_fail(self, error: AxisorError) -> Ended:
        """Try again later: as often as the policy says, or, for a remainder that is owed, as long as it is due."""
        owed = self._is_owed()
        delay = HELD_RETRY_SECONDS if owed else self.patience.next_try(error)
        if delay is not None:
            raise Suspend("retry", delay, error=error, spends_try=not owed)
        return self._fail(error)

    def _fail(self, error: AxisorError) -> Ended:
        """End as failed; but what took effect before is told as it is, and what is owed or not known is not failed."""
        if self._is_owed():
            raise Suspend("paused", HELD_RETRY_SECONDS, error=error, half_done=True) from None
        return self._so_far(error.as_dict()) or results.failed(self.subject, error.as_dict(), self.action)

    def _stop(self, stop: Stop) -> Ended:
        """End without having acted; but what took effect before is told as it is."""
        error = {"status": 503, "code": stop.reason, "message": stop.message}
        return self._so_far(error) or results.stopped(self.subject, stop.status, stop.reason, stop.message)

    def _so_far(self, error: dict[str, Any]) -> Ended | None:
        """Return the end of an execution that can't go on, ``None`` where nothing came of it that is not told yet."""
        if self.unsettled is not None:
            raise self.unsettled
        if self.plan is not None:
            self.plan.settle()
        standing = self._standing()
        for action in standing.left:
            actions.deny(self.storage, self.run, action, error)
        has_begun, standing = standing.has_begun, self._standing()
        if not has_begun or all(one.is_told for one in standing.whole):
            return None
        return results.acted(self.subject, standing.plan, standing.whole)

    def _untellable(self, error: AxisorError) -> Ended:
        """End what can't be gone on with; where it has acted, after others (of another version, maybe) have tried."""
        if not actions.may_have_acted(self.storage, self.run.id):
            return results.failed(self.subject, error.as_dict(), self.action)
        delay = self.patience.next_try(error)
        if delay is not None:
            raise Suspend("retry", delay, error=error, spends_try=True)
        return results.untold(self.subject, error.as_dict(), self.action)

    def _crashed(self, error: Exception) -> AxisorError:
        name = self.subject.account_name or self.run.account_name or "unknown"
        return crashed(error, account_name=name, account_id=self.run.account_id)

    def _is_owed(self) -> bool:
        """Whether a group has begun and what is left of it is still due (a reduce's reopen, above all)."""
        return any(not is_overdue(self.storage, self.run, one.steps[0].created_at) for one in self._standing().owed)

    def _has_lapsed(self) -> bool:
        """Whether a group has begun and it is too late for what is left of it: to wait longer would never end."""
        return bool(self._standing().owed) and not self._is_owed()
