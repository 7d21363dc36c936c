"""Take a job: write its execution into the ledger, then wake a worker. The row is the job; the queue only hurries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from axisor_executor.broker import QUEUE_ERRORS, Queue
from axisor_executor.errors import AxisorError, InvalidJob, StorageError
from axisor_executor.jobs import Job, parse_job
from axisor_executor.observe import tracing
from axisor_executor.observe.logs import say
from axisor_executor.plugins import Registry
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.resolve import collapses, find, lane_of
from axisor_executor.settings import Settings
from axisor_executor.storage import executions, horizon, taking
from axisor_executor.storage.accounts import automation
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution, Next
from axisor_executor.storage.taking import NewExecution

MAX_KEY = 200


class Intake:
    """Takes jobs of a process."""

    def __init__(self, settings: Settings, storage: Storage, registry: Registry, queue: Queue) -> None:
        self.settings = settings
        self.storage = storage
        self.registry = registry
        self.queue = queue
        self._deciders = Deciders()

    @tracing.enqueueing
    def take(
        self,
        raw: Job | Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        message_id: str | None = None,
        sent_at: datetime | None = None,
    ) -> tuple[Execution, bool]:
        """Write a job's execution, and return it with ``True``; or the first one of the same key, ``False``.

        An automation or account that can't be found does not stop the job here: its execution ends as failed. A
        message that was sent (``sent_at``) so long ago that its execution may have been pruned is taken as expired:
        nobody knows any more whether it was carried out.

        Raises:
            InvalidJob: nothing was written.
            IdempotencyConflict: the key belongs to another job of this user.
        """
        job = parse_job(raw)
        _check_key(idempotency_key)
        with self.storage.connection():
            new = self._describe(job, idempotency_key, message_id)
            if sent_at is not None and horizon.may_be_forgotten(self.storage, sent_at):
                new = replace(new, max_age_seconds=(sent_at - datetime.now(UTC)).total_seconds(), collapses=False)
            return taking.record(self.storage, new)

    def wake(self, one: Execution | Next) -> None:
        """Tell the queue; where it can't be told now, recovery tells it later."""
        try:
            self.queue.wake(one.id, one.lane)
        except QUEUE_ERRORS as error:
            say.warning(f"Redis is away, execution {one.id} waits in the database: {type(error).__name__}")
            return
        try:
            with self.storage.connection():
                executions.mark_sent(self.storage, one.id)
        except (StorageError, *BROKEN) as error:
            # The job was taken, and the queue knows: to raise now would make its sender send it again.
            say.warning(f"Execution {one.id} may be sent twice: {type(error).__name__}: {error}")

    def _describe(self, job: Job, idempotency_key: str | None, message_id: str | None) -> NewExecution:
        try:
            found = find(self.storage, job, auto_migrate=self.settings.auto_migrate)
        except AxisorError:
            found = None
        # What is not this user's is not even described: the execution fails, and tells nothing.
        known = found or automation(self.storage, job.automation_id)
        automation_type = known.type if known is not None and known.user_id == job.user_id else None
        account = found.account if found else None
        return NewExecution(
            user_id=job.user_id,
            automation_id=job.automation_id,
            lane=lane_of(self.registry, found, job, self._deciders) if found else "default",
            job=job.as_wire(),
            max_age_seconds=job.max_age or self.settings.policy_for(automation_type or "").max_age_seconds,
            automation_type=automation_type,
            account_id=account.id if account else None,
            account_name=account.name if account else None,
            exchange=account.exchange_slug if account else None,
            trade_id=job.trade_id,
            idempotency_key=idempotency_key,
            message_id=message_id,
            collapses=found is not None and collapses(self.registry, found),
        )


def _check_key(key: str | None) -> None:
    if key is not None and not (isinstance(key, str) and 0 < len(key.strip()) <= MAX_KEY):
        raise InvalidJob(f"the idempotency key must be a text of 1 to {MAX_KEY} characters", code="invalid_key")
