"""Take a job: write its execution into the ledger, then wake a worker. The row is the job; the queue only hurries."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from axisor_executor.automation import Lane
from axisor_executor.broker import Queue
from axisor_executor.errors import AxisorError, InvalidJob, StorageError
from axisor_executor.jobs import Job, parse_job
from axisor_executor.observe import tracing
from axisor_executor.observe.logs import say
from axisor_executor.plugins import Registry
from axisor_executor.redis_client import AWAY_ERRORS, QUEUE_ERRORS
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.kept import Kept
from axisor_executor.run.resolve import collapses, find, lane_of
from axisor_executor.settings import Settings
from axisor_executor.storage import executions, horizon, taking
from axisor_executor.storage.accounts import Automation, automation, config_of, job_as_stored
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution, Next
from axisor_executor.storage.taking import NewExecution
from axisor_executor.storage.values import storable_text

MAX_KEY = 200
AWAY_SECONDS = 1.0
"""How long nobody waits for a Redis that was away; recovery tells it of what is taken meanwhile."""
AWAY_SHARE = 5.0
"""How many times as long as somebody has waited for it in vain, if that is longer: one that hangs costs most."""
MOST_SEEN = 10_000
"""Automations that a process remembers as it last read them."""
LONGEST_SEEN = 4096
"""Characters of a config that is remembered: an automation with a longer one is read for each of its jobs."""


class Intake:
    """Takes jobs of a process."""

    def __init__(self, settings: Settings, storage: Storage, registry: Registry, queue: Queue) -> None:
        self.settings = settings
        self.storage = storage
        self.registry = registry
        self.queue = queue
        self._deciders = Deciders()
        self._seen: Kept[str, Automation] = Kept(MOST_SEEN)
        self._away_until = 0.0

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
            job = job_as_stored(self.storage, job)
            describe = partial(self._describe, job, idempotency_key, message_id)
            if sent_at is not None and horizon.may_be_forgotten(self.storage, sent_at):
                new = describe(self._find(job))
                left = (sent_at - datetime.now(UTC)).total_seconds()
                return taking.record(self.storage, replace(new, max_age_seconds=left, collapses=False))
            seen, guess = self._last_seen(job), None
            if seen is not None:
                guess = describe(seen)
                execution = taking.record_as_seen(self.storage, guess, seen)
                if execution is not None:
                    return execution, True
            found = self._find(job)
            lane = guess.lane if guess is not None and _mean_the_same(seen, found) else None
            new = describe(found, lane)
            return taking.record(self.storage, new, was_tried=new == guess)

    def announce(self, taken: Execution) -> None:
        """Tell the queue of an execution that was just taken; where it can't be told now, recovery tells it later.

        The ledger is not told that the queue was: recovery asks the queue, for the few that it finds still queued.
        """
        self._tell(self.queue.announce, taken)

    def wake(self, one: Execution | Next) -> None:
        """Tell the queue of an execution that goes on; where it can't be told now, recovery tells it later."""
        if not self._tell(self.queue.wake, one):
            return
        try:
            with self.storage.connection():
                executions.mark_sent(self.storage, one.id)
        except (StorageError, *BROKEN) as error:
            # The job was taken, and the queue knows: to raise now would make its sender send it again.
            say.warning(f"Execution {one.id} may be sent twice: {self.storage.reason(error)}")

    def _tell(self, tell: Callable[[str, Lane], None], one: Execution | Next) -> bool:
        """Return whether the queue was told of an execution. One that was away is not waited for by everybody."""
        why = "it was away a moment ago"
        began = time.monotonic()
        if began >= self._away_until:
            if self._away_until:
                self._away_until = began + AWAY_SECONDS  # one of those who come now finds out, not all of them
            try:
                tell(one.id, one.lane)
                self._away_until = 0.0
                return True
            except QUEUE_ERRORS as error:
                why, now = type(error).__name__, time.monotonic()
                is_away = isinstance(error, AWAY_ERRORS)
                self._away_until = now + max(AWAY_SECONDS, AWAY_SHARE * (now - began)) if is_away else 0.0
        say.warning(f"Redis is away, execution {one.id} waits in the database: {why}")
        return False

    def _last_seen(self, job: Job) -> Automation | None:
        """Return the job's automation as it was when this process last read it, if it has."""
        seen = self._seen.get(job.automation_id)
        if seen is None or seen.user_id != job.user_id:
            return None
        return replace(seen, config=config_of(seen.config_text))  # of its own: plugins may do with it what they like

    def _find(self, job: Job) -> Automation | None:
        try:
            found = find(self.storage, job, auto_migrate=self.settings.auto_migrate)
        except AxisorError:
            return None
        assert found.account is not None
        if len(found.config_text or "") > LONGEST_SEEN:
            self._seen.drop(found.id)
        else:
            self._seen.keep(found.id, replace(found, config=None, account=replace(found.account, credentials=None)))
        return found

    def _describe(
        self,
        job: Job,
        idempotency_key: str | None,
        message_id: str | None,
        found: Automation | None,
        lane: Lane | None = None,
    ) -> NewExecution:
        # What is not this user's is not even described: the execution fails, and tells nothing.
        known = found or automation(self.storage, job.automation_id)
        automation_type = known.type if known is not None and known.user_id == job.user_id else None
        account = found.account if found else None
        return NewExecution(
            user_id=job.user_id,
            automation_id=job.automation_id,
            lane=lane or (lane_of(self.registry, found, job, self._deciders) if found else "default"),
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


def _mean_the_same(one: Automation | None, other: Automation | None) -> bool:
    """Whether both have a job on the same lane."""
    return one is not None and other is not None and (one.type, one.config_text) == (other.type, other.config_text)


def _check_key(key: str | None) -> None:
    if key is not None and not (isinstance(key, str) and key.strip() and len(key) <= MAX_KEY):
        raise InvalidJob(f"the idempotency key must be a text of 1 to {MAX_KEY} characters", code="invalid_key")
    if key is not None and key != storable_text(key):  # as another text it would be another job's key
        raise InvalidJob("the idempotency key must hold no NUL, and no half of a surrogate pair", code="invalid_key")
