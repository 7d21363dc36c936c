"""What other producers put on the queue: jobs in the seed's shape are carried out, garbage ends as one logged error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

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


def message(lane: str, *args: Any, **kwargs: Any) -> Message[Any]:
    return Message(queue_name=lane, actor_name=ACTORS[lane], args=args, kwargs=kwargs, options={})  # type: ignore[index]


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
    entries = {lane: world.automation(account, "auto_entry", ENTRY) for lane in ("protect", "default", "both")}
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
