"""`enqueue`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Commands
from tests.harness.world import World


@pytest.fixture
def guard(world: World) -> str:
    """A guard of user123's account."""
    return world.automation(world.account(), "margin_guard", {"action": "close_position"})


def test_enqueue_writes_the_executions_id(commands: Commands, world: World, guard: str) -> None:
    taken = commands("enqueue", "--user", "user123", "--automation", guard, "--trade", "t1").stdout.strip()
    found = world.execution(taken)
    assert (found.status, found.trade_id, found.automation_id) == ("queued", "t1", guard)
    assert sum(world.parts.queue.sizes().values()) == 1


def test_one_key_is_one_execution(commands: Commands, guard: str) -> None:
    job = ("enqueue", "--user", "user123", "--automation", guard, "--idempotency-key", "tick-1")
    first = commands(*job, "--trade", "t1").stdout
    assert commands(*job, "--trade", "t1").stdout == first
    assert commands.error(*job, "--trade", "t2").endswith("[idempotency_conflict]\n")


def test_a_malformed_job_is_refused(commands: Commands) -> None:
    assert commands.error("enqueue", "--user", " ", "--automation", "a").endswith("[invalid_job]\n")


def test_wait_that_is_too_short_tells_the_state(commands: Commands, guard: str) -> None:
    result = commands("enqueue", "--user", "user123", "--automation", guard, "--wait", "0", code=1)
    told = json.loads(result.stdout)
    assert told["status"] == "queued"
    assert told["executionId"] in result.stderr, "who stops waiting knows what was taken"


def test_wait_writes_the_result(commands: Commands, world: World, guard: str, tmp_path: Path) -> None:
    trade = world.open_trade(world.accounts[0])
    with world.worker(tmp_path / "worker.log"):
        job = ("enqueue", "--user", "user123", "--automation", guard, "--wait", "20")
        done = json.loads(commands(*job, "--trade", trade).stdout)
        assert (done["status"], done["action"], done["accountName"]) == ("completed", "close_position", "Main Account")
        failed = json.loads(commands(*job, "--trade", "no-such-trade", code=1).stdout)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "trade_not_found")


def test_enqueue_while_redis_is_away(commands: Commands, world: World, guard: str) -> None:
    result = commands("enqueue", "--user", "user123", "--automation", guard, REDIS_URL="redis://127.0.0.1:1/0")
    assert "waits in the database" in result.stderr
    assert world.execution(result.stdout.strip()).status == "queued"
