"""Send the jobs, wait for their ends, and gather everything that can be seen afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from axisor_executor import runtime
from axisor_executor.api import enqueue, get_result
from axisor_executor.demo.garbage import Producer
from axisor_executor.demo.stack import Stack
from axisor_executor.demo.stage import Cast, Stage, trades
from axisor_executor.embedded.paper import Row
from axisor_executor.errors import AxisorError
from axisor_executor.storage import actions, executions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.models import TradeLogRow

JOBS_SECONDS = 45.0
DRAIN_SECONDS = 15.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Sent:
    """A job that was sent; ``message_id`` of another producer's message, else the ids that ``enqueue`` returned."""

    cast: Cast
    execution_ids: tuple[str, ...] = ()
    message_id: str | None = None


@dataclass(frozen=True)
class Played:
    """A job and what became of it."""

    cast: Cast
    execution_ids: tuple[str, ...]
    execution: Execution
    result: dict[str, Any]
    ledger: tuple[LedgerAction, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything that is known afterwards, from every side."""

    stage: Stage
    played: tuple[Played, ...]
    after: dict[str, Row]
    effects: tuple[Row, ...]
    requests: tuple[Row, ...]
    trade_log: tuple[Row, ...]
    execution_ids: frozenset[str]
    audit: tuple[str, ...]
    queue_left: int
    worker_log: str


def send_jobs(stack: Stack, stage: Stage) -> list[Sent]:
    """Litter the queue, then enqueue every job: through the library, but for those of other producers."""
    runtime.use(stack.runtime)
    producer = Producer(stack.redis.url, stack.runtime.settings.queue_prefix)
    try:
        producer.litter()
        return [_send(cast, producer) for cast in stage.casts]
    finally:
        producer.close()


def _send(cast: Cast, producer: Producer) -> Sent:
    if cast.case.foreign:
        return Sent(cast, message_id=producer.send(cast.job))
    key = f"demo {cast.automation_id}" if cast.case.times > 1 else None
    return Sent(cast, tuple(enqueue(cast.job, idempotency_key=key) for _ in range(cast.case.times)))


def wait_for_ends(stack: Stack, sent: list[Sent], over: Callable[[int], None]) -> list[Played]:
    """Wait until every job is over, telling how many are.

    Raises:
        AxisorError: some are not over in time, or the worker has ended.
    """
    deadline = time.monotonic() + JOBS_SECONDS
    while True:
        played = [found for one in sent if (found := _look(stack, one))]
        over(len(played))
        if len(played) == len(sent):
            return played
        if time.monotonic() > deadline or not stack.worker.running:
            raise AxisorError(_what_is_missing(stack, sent, played), code="demo_incomplete")
        time.sleep(_POLL_SECONDS)


def gather(stack: Stack, stage: Stage, played: list[Played]) -> Evidence:
    """Look at the exchange, the database, the queue and the worker's log."""
    storage = stack.runtime.storage
    queue_left = _drain(stack)
    with storage.connection():
        trade_log = tuple(dict(row.__data__) for row in TradeLogRow.select())
        execution_ids = frozenset(row[0] for row in storage.rows("SELECT id FROM axisor_executions"))
    return Evidence(
        stage=stage,
        played=tuple(played),
        after=trades(stack, stage),
        effects=tuple(stack.paper.effects()[stage.effects :]),
        requests=tuple(stack.paper.requests()[stage.requests :]),
        trade_log=trade_log,
        execution_ids=execution_ids,
        audit=tuple(stack.paper.audit()),
        queue_left=queue_left,
        worker_log=stack.worker.text(),
    )


def _look(stack: Stack, one: Sent) -> Played | None:
    storage = stack.runtime.storage
    with storage.connection():
        execution_id = one.execution_ids[0] if one.execution_ids else _execution_of(storage, one.message_id)
        found = executions.get(storage, execution_id) if execution_id else None
        if found is None or not found.is_over:
            return None
        ids = one.execution_ids or (found.id,)
        return Played(one.cast, ids, found, get_result(found.id), tuple(actions.of(storage, found.id)))


def _execution_of(storage: Storage, message_id: str | None) -> str | None:
    row = storage.one("SELECT id FROM axisor_executions WHERE message_id = ?", message_id)
    return str(row[0]) if row else None


def _drain(stack: Stack) -> int:
    """Return how many messages are still on the queue, after a while for the last to be acknowledged."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := sum(stack.runtime.queue.sizes().values())) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return left


def _what_is_missing(stack: Stack, sent: list[Sent], played: list[Played]) -> str:
    done = {one.cast.automation_id for one in played}
    missing = [one.cast.case.title for one in sent if one.cast.automation_id not in done]
    tail = "\n".join(stack.worker.text().splitlines()[-15:])
    state = "still runs" if stack.worker.running else "has ended"
    return f"{len(missing)} jobs are not over: {', '.join(missing)}. The worker {state}; its last lines:\n{tail}"
