"""`status` and `recover`."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from axisor_executor.embedded import PrivateRedis
from tests.cli.conftest import Commands
from tests.harness.world import World

NOWHERE = "redis://127.0.0.1:1/0"


def _guard(world: World) -> str:
    return world.automation(world.account(), "margin_guard", {"action": "close_position"})


def test_status_of_a_quiet_system(commands: Commands) -> None:
    found = commands.json("status")
    assert found["database"]["ok"]
    assert found["redis"]["ok"]
    assert found["redis"]["queues"] == {"protect": 0, "default": 0}
    assert found["executions"] == {}
    shown = commands("status").stdout
    assert "✅ Database" in shown
    assert "✅ Redis" in shown
    assert "dramatiq axisor_executor.actors" in shown, "there is no worker"


def test_status_counts_executions_and_messages(commands: Commands, world: World) -> None:
    guard = _guard(world)
    world.run(guard)
    world.enqueue(world.job(guard, trade_id="t"))
    found = commands.json("status")
    assert found["executions"] == {"failed": 1, "queued": 1}
    assert found["redis"]["queues"] == {"protect": 1, "default": 0}
    assert "1 failed, 1 queued" in commands("status").stdout


def test_status_shows_workers_and_switches(commands: Commands, world: World) -> None:
    for pid, seconds in ((11, 0), (22, -3600)):
        world.storage.run(
            "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at) "
            "VALUES (?, 'host-1', ?, {now}, {later})",
            f"w{pid}",
            pid,
            seconds,
        )
    world.storage.run(
        "INSERT INTO axisor_switches (scope, scope_id, mode, reason, created_at) "
        "VALUES ('account', 'acc456', 'paused', '[maintenance]', {now})"
    )
    found = commands.json("status")
    assert {worker["pid"]: worker["alive"] for worker in found["workers"]} == {11: True, 22: False}
    assert found["switches"] == [{"scope": "account", "id": "acc456", "mode": "paused", "reason": "[maintenance]"}]
    shown = commands("status").stdout
    assert "pid 22" in shown
    assert "silent" in shown
    assert "account acc456: paused ([maintenance])" in shown


def test_status_shows_a_running_worker(commands: Commands, world: World, tmp_path: Path) -> None:
    with world.worker(tmp_path / "worker.log"):
        (worker,) = commands.json("status")["workers"]
        assert worker["alive"]
    assert commands.json("status")["workers"] == []


def test_status_while_something_is_away(commands: Commands) -> None:
    found = commands.json("status", code=1, REDIS_URL=NOWHERE)
    assert (found["database"]["ok"], found["redis"]["ok"]) == (True, False)
    assert "❌ Redis" in commands("status", code=1, REDIS_URL=NOWHERE).stdout
    away = "postgresql://axisor:canary-word@127.0.0.1:1/axisor"
    found = commands.json("status", code=1, DATABASE_URL=away)
    assert (found["database"]["ok"], found["redis"]["ok"]) == (False, True)
    assert "canary-word" not in commands("status", code=1, DATABASE_URL=away).output


def test_status_of_a_redis_that_does_not_tell_its_version(commands: Commands, own_redis: PrivateRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@dangerous"])
    found = commands.json("status", REDIS_URL=own_redis.url)["redis"]
    assert (found["ok"], found["version"], found["queues"]) == (True, None, {"protect": 0, "default": 0})
    told = commands("status", REDIS_URL=own_redis.url).stdout
    assert "✅ Redis" in told
    assert "None" not in told


def test_status_before_init(empty: Commands) -> None:
    assert "axisor-executor db init" in empty("status", code=1).stdout


def test_recover_puts_back_what_the_queue_was_never_told_of(commands: Commands, world: World) -> None:
    guard = _guard(world)
    commands("enqueue", "--user", "user123", "--automation", guard, REDIS_URL=NOWHERE)
    (execution,) = commands.json("executions", "list")
    world.make_older(execution["id"], seconds=10)
    assert commands("recover").stdout == "1 execution put back on the queue\n"
    assert commands("recover").stdout == "0 executions put back on the queue\n"
    assert world.parts.queue.sizes() == {"protect": 1, "default": 0}


@pytest.mark.parametrize(("server", "why"), [(NOWHERE, "refused"), ("{}/99", "DB index is out of range")])
def test_recover_without_a_redis_that_can_be_used(commands: Commands, redis_url: str, server: str, why: str) -> None:
    message = commands.error("recover", REDIS_URL=server.format(redis_url.rpartition("/")[0]))
    assert why in message
    assert message.endswith("[redis_unavailable]\n")
