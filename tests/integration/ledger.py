"""A ledger to test on: a migrated database and short ways to put executions into it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from axisor_executor.automation import Act, Action, Group, Lane, OpenPosition
from axisor_executor.storage import accounts, actions, claiming, executions, sending, taking
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution, Next
from axisor_executor.storage.models import AccountRow, AutomationRow, ExchangeRow
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.sending import Sending
from axisor_executor.storage.taking import NewExecution

LEASE_SECONDS = 60.0
ENTRY = OpenPosition("buy", 100, Decimal(10))
SENDING = Sending(1_700_000_000_000, {"state": "running"}, "exchange-user", "fingerprint")
_numbers = count(1)


@dataclass
class Ledger:
    """Short ways to the storage's functions."""

    storage: Storage

    def __post_init__(self) -> None:
        ExchangeRow.create(id="exchange-1", name="LN Markets", slug="lnmarkets")

    def _automation(self, automation_id: str, account_id: str | None) -> None:
        """Make the rows of an automation and its account, where they are not there yet."""
        now = datetime.now(UTC)
        times = {"created_at": now, "updated_at": now}
        owner = {"user_id": "user123", "exchange_id": "exchange-1", "account_name": account_id, "credentials": {}}
        bound = {"user_id": "user123", "user_exchange_account_id": account_id, "type": "puppet", "config": {}}
        if account_id is not None:
            AccountRow.insert(id=account_id, **owner, **times).on_conflict_ignore().execute()
        AutomationRow.insert(id=automation_id, **bound, **times).on_conflict_ignore().execute()

    def queued(self, account_id: str | None = "account-1", *, lane: Lane = "default", **more: Any) -> str:
        """Take a job and return its execution's id."""
        given: dict[str, Any] = {"user_id": "user123", "automation_id": f"automation-{next(_numbers)}", **more}
        self._automation(given["automation_id"], account_id)
        job = {"v": 1, "userId": given["user_id"], "automationId": given["automation_id"]}
        new = NewExecution(
            lane=lane, job=job, max_age_seconds=600, account_id=account_id, exchange="lnmarkets", **given
        )
        execution, _ = taking.record(self.storage, new)
        return execution.id

    def claim(
        self, execution_id: str, *, worker_id: str = "worker-1", seconds: float = LEASE_SECONDS
    ) -> Execution | None:
        """Start a run of an execution."""
        claimed = claiming.claim(self.storage, execution_id, worker_id=worker_id, lease_seconds=seconds)
        return None if claimed is None else claimed.run

    def running(self, account_id: str | None = "account-1", **more: Any) -> Execution:
        """Take a job and start its run."""
        run = self.claim(self.queued(account_id, **more))
        assert run is not None
        return run

    def get(self, execution_id: str) -> Execution:
        """Return an execution as it stands."""
        found = executions.get(self.storage, execution_id)
        assert found is not None
        return found

    def finish(self, run: Execution, status: Any = "completed") -> Next | None:
        """End a run and its execution."""
        return executions.finish(self.storage, run, status, result={"status": status}, lease_seconds=LEASE_SECONDS)

    def wait(self, run: Execution, wait_for: Any = "retry", *, seconds: float = 0.0) -> Next | None:
        """End a run; the execution goes on in ``seconds``."""
        return executions.wait(self.storage, run, wait_for, seconds=seconds, lease_seconds=LEASE_SECONDS)

    def plan(self, run: Execution, *steps: Action) -> list[LedgerAction]:
        """Commit a plan of one group, as this version of the run."""
        decision = Act(groups=(Group("act", steps or (ENTRY,), trade_id=(steps or (ENTRY,))[0].target),), action="act")
        plan = Plan(self.storage, self.get(run.id), decision, {"seen": {}}, self.actions(run))
        plan.keep()
        return self.actions(run)

    def send(self, run: Execution, planned: LedgerAction) -> LedgerAction:
        """Commit that an action's request is about to leave."""
        account = accounts.account(self.storage, planned.account_id)
        assert account is not None
        sending.begin(self.storage, run, planned, SENDING, account=account)
        return next(action for action in self.actions(run) if action.seq == planned.seq)

    def actions(self, run: Execution) -> list[LedgerAction]:
        """Return the execution's actions."""
        return actions.of(self.storage, run.id)

    def let_lease_end(self) -> None:
        """Let every lease be over, as if its time had passed."""
        self.storage.run("UPDATE axisor_leases SET until = {later}", -1)
