"""Storm 5: every message is delivered twice, at the same time, to two worker processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from dramatiq import Message

from axisor_executor.lanes import ACTORS
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.workload import Intent, Workload
from tests.harness.world import World


def as_another_producer(world: World, intent: Intent, copies: int) -> str:
    """Put a job on the queue as somebody who knows nothing of executions, ``copies`` times; return the message's id."""
    job = world.job(intent.automation_id, user_id=intent.account.user_id)
    if intent.trade_id is not None:
        job["tradeId"] = intent.trade_id
    message: Message[None] = Message("default", ACTORS["default"], args=(), kwargs=job, options={})
    for _ in range(copies):
        world.parts.queue.broker.enqueue(message)
    return message.message_id


@pytest.mark.timeout(1800)
def test_a_message_that_comes_twice_acts_once(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.02, jitter=0.06, seed=seed)
    foreign: dict[str, Intent] = {}
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        for number, intent in enumerate(intents):
            if number % 3 == 0:
                foreign[as_another_producer(world, intent, 2)] = intent
            else:
                work.enqueue(intent)
                world.parts.queue.wake(intent.execution_id, world.execution(intent.execution_id).lane)

        def all_taken() -> bool:
            with world.storage.connection():
                rows = world.storage.rows("SELECT message_id, id FROM axisor_executions WHERE message_id IS NOT NULL")
            for message_id, execution_id in rows:
                foreign[message_id].execution_id = execution_id
            return len(rows) == len(foreign)

        crew.keep_on(lambda: all_taken() and work.all_over(), within=60 + fault_jobs, what="the end of all jobs")
        crew.keep_on(lambda: sum(world.parts.queue.sizes().values()) == 0, within=30, what="an empty queue")
        seconds = time.monotonic() - began
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("5", "every message twice", world, tally, faults={"extra messages": fault_jobs}, seconds=seconds)
    assert tally.problems == []
