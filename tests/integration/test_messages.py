"""What other producers put on the queue: jobs in the seed's shape are carried out, garbage ends as one logged error."""

from __future__ import annotations

import random
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from axisor_executor.automation import Lane
from axisor_executor.embedded import ChildProcess
from axisor_executor.lanes import ACTORS
from tests.harness.world import Account, World

ENTRY = {"side": "b", "quantity": 100}
GARBAGE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "a number": ((17,), {}),
    "a list": (([1, [2, {"x": []}]],), {}),
    "an object that is no job": (({"userId": {"nested": [{}]}},), {}),
    "a job of another version": (({"userId": "u", "automationId": "a", "v": 2},), {}),
    "too many arguments": (("a", "b"), {}),
    "nothing": ((), {}),
    "an unknown execution": (("01a20000-0000-7000-8000-000000000000",), {}),
    "a megabyte of text": (("x" * 1_000_000,), {}),
    "a text that no database takes": (("a\x00\ud800b",), {}),
    "keywords that are no job": ((), {"user": "u", "automation": "a"}),
}


def message(lane: Lane, *args: Any, **kwargs: Any) -> Message[Any]:
    return Message(queue_name=lane, actor_name=ACTORS[lane], args=args, kwargs=kwargs, options={})


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


@pytest.fixture
def worker(world: World, tmp_path: Path) -> Iterator[ChildProcess]:
    with world.worker(tmp_path / "worker.log") as worker:
        yield worker


def errors(worker: ChildProcess) -> list[str]:
    return [line for line in worker.text().splitlines() if "❌" in line]


def test_a_worker_takes_jobs_of_any_shape_and_survives_garbage(
    world: World, account: Account, worker: ChildProcess
) -> None:
    entries = {name: world.automation(account, "auto_entry", ENTRY) for name in ("protect", "default", "both")}
    with world.changes() as changes:
        for args, kwargs in GARBAGE.values():
            world.send(message("default", *args, **kwargs))
            world.send(message("protect", *args, **kwargs))
        world.send(message("protect", world.job(entries["protect"])))
        world.send(message("default", **world.job(entries["default"])))
        twice = message("default", world.job(entries["both"]))
        world.send(twice)
        world.send(twice)

        worker.wait_until(lambda: world.storage.one(FINISHED, 3), what="the end of three executions")
        # One message each was acknowledged in the end: nothing is left to be delivered again.
        worker.wait_until(lambda: set(world.parts.queue.sizes().values()) == {0}, what="an empty queue")

    assert changes.effects == [("Main Account", "open")] * 3
    assert sorted(row[0] for row in world.storage.rows("SELECT automation_id FROM axisor_executions")) == sorted(
        entries.values()
    )
    told = errors(worker)
    assert len(told) == 2 * len(GARBAGE), told
    assert max(map(len, told)) < 2_000
    assert "Traceback" not in worker.text()
    assert worker.running


THREADS = 4
IN_AN_HOUR = 3_600_000  # milliseconds


def test_one_whose_id_no_index_can_hold_takes_no_thread_from_others(
    world: World, account: Account, worker: ChildProcess
) -> None:
    letters, entry = random.Random(1), world.automation(account, "auto_entry", ENTRY)
    for _ in range(THREADS):
        endless = "".join(letters.choices(string.printable, k=20_000))
        world.send(message("protect", world.job(entry)).copy(message_id=endless))
    execution_id = world.enqueue(world.job(entry))
    worker.wait_until(lambda: world.execution(execution_id).is_over, what="the end of the one that is none")
    worker.wait_until(lambda: len(dead_letters(world, "protect")) == THREADS, what="dead letters")
    assert world.execution(execution_id).status == "completed"


def test_a_time_to_begin_is_not_waited_for_on_a_lane(world: World, account: Account, worker: ChildProcess) -> None:
    """Dramatiq would keep such a message in the worker until then, and a thread's place with it."""
    options = {"eta": int(time.time() * 1000) + IN_AN_HOUR}
    for _ in range(THREADS):
        job = world.job(world.automation(account, "auto_entry", ENTRY))
        world.send(message("protect", job).copy(options=options))
    execution_id = world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
    worker.wait_until(lambda: world.execution(execution_id).is_over, what="the end of one without a time")
    worker.wait_until(lambda: world.storage.one(FINISHED, THREADS + 1), what="the end of the others")


def test_a_job_waits_for_a_table_that_is_not_there(world: World, account: Account, worker: ChildProcess) -> None:
    job = world.job(world.automation(account, "auto_entry", ENTRY))
    world.storage.run("ALTER TABLE axisor_executions RENAME TO gone_for_a_moment")
    try:
        world.send(message("default", job))
        worker.wait_for_line("A message waits for the database, trying again in .* s: .*axisor_executions")
    finally:
        world.storage.run("ALTER TABLE gone_for_a_moment RENAME TO axisor_executions")
    worker.wait_until(lambda: world.storage.one(FINISHED, 1), what="the execution's end")


def test_one_that_the_database_refuses_is_kept_as_a_dead_letter(
    world: World, account: Account, worker: ChildProcess
) -> None:
    job = world.job(world.automation(account, "auto_entry", ENTRY))
    with refusing_executions(world):
        world.send(message("default", job))
        worker.wait_for_line("❌ .* A job on queue default could not be taken, and its message became a dead letter")
        worker.wait_until(lambda: dead_letters(world, "default"), what="a dead letter")
    (letter,) = dead_letters(world, "default")
    assert Message.decode(letter).args == (job,)


def dead_letters(world: World, lane: Lane) -> list[bytes]:
    client: Any = world.parts.queue.broker.client
    return list(client.hvals(f"{world.settings.queue_prefix}:{lane}.XQ.msgs"))


@contextmanager
def refusing_executions(world: World) -> Iterator[None]:
    """Have the database refuse every new execution for what stands in it."""
    constraint = "BEFORE INSERT ON axisor_executions"
    if world.storage.is_sqlite:
        world.storage.run(f"CREATE TRIGGER refusing {constraint} BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        raising = "BEGIN RAISE 'no' USING ERRCODE = 'check_violation'; END"
        world.storage.run(f"CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$")
        world.storage.run(f"CREATE TRIGGER refusing {constraint} FOR EACH ROW EXECUTE FUNCTION refusing()")
    try:
        yield
    finally:
        where = "" if world.storage.is_sqlite else " ON axisor_executions"
        world.storage.run(f"DROP TRIGGER refusing{where}")
        if not world.storage.is_sqlite:
            world.storage.run("DROP FUNCTION refusing")


HAND_BACK = """
from dramatiq import Message
from dramatiq.middleware import CurrentMessage
from axisor_executor import actors
given = Message.decode(input().encode())
CurrentMessage.get_current_message = staticmethod(lambda: given)
actors._hand_back()
"""


def test_a_message_that_is_handed_back_is_the_same_one(world: World) -> None:
    """Its execution may be in the ledger: under another id, the job would be carried out twice."""
    given = message("default", world.job("auto789"))
    subprocess.run(
        [sys.executable, "-c", HAND_BACK], env=world.environment(), input=given.encode(), timeout=60, check=True
    )
    consumer = world.parts.queue.broker.consume("default", timeout=5000)
    again = next(consumer)
    assert again is not None
    assert (again.message_id, again.message_timestamp) == (given.message_id, given.message_timestamp)
    assert again.args == given.args
    consumer.ack(again)
    consumer.close()


HAND_BACK_LATE = """
import redis
from axisor_executor import actors
enqueue, failed = actors.broker.enqueue, []
def away(message):
    if len(failed) < 2:
        failed.append(redis.ConnectionError("away"))
        raise failed[-1]
    return enqueue(message)
actors.broker.enqueue = away
"""


def test_it_is_handed_back_as_soon_as_redis_is_there(world: World) -> None:
    """To give up before would acknowledge it, and lose another producer's job."""
    given = message("default", world.job("auto789"))
    code = HAND_BACK_LATE + HAND_BACK
    subprocess.run([sys.executable, "-c", code], env=world.environment(), input=given.encode(), timeout=60, check=True)
    (again,) = world.parts.queue.broker.turn("default", 5)
    assert again.message_id == given.message_id


FINISHED = (
    "SELECT 1 FROM (SELECT COUNT(*) AS ended FROM axisor_executions WHERE status = 'completed') x WHERE ended >= ?"
)
