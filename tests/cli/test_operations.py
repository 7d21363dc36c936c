"""`status` and `recover`."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from axisor_executor.embedded import PrivateRedis
from tests.cli.conftest import Commands
from tests.harness.world import World

NOWHERE = "redis://127.0.0.1:1/0"


REFUSALS: dict[str, Callable[[Any], Any]] = {
    "full": lambda admin: admin.config_set("maxmemory", 1),
    "short of replicas": lambda admin: admin.config_set("min-replicas-to-write", 1),
    "a replica": lambda admin: admin.replicaof("127.0.0.1", 1),
    "for reading": lambda admin: admin.acl_setuser(
        "default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@write"]
    ),
}


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


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"w1": (["default"], 0), "w2": (["protect"], -3600)}, ["protect"]),
        ({"w1": ([], 0)}, ["protect", "default"]),
        ({"w1": (["default"], 0), "w2": (["protect"], 0)}, []),
        ({"w1": (None, 0)}, []),
    ],
    ids=["one is silent", "neither", "both", "an older version tells none"],
)
def test_status_shows_the_lanes_of_each_worker_and_those_that_none_takes(
    commands: Commands, world: World, told: dict[str, tuple[list[str] | None, float]], missing: list[str]
) -> None:
    for name, (queues, seconds) in told.items():
        world.storage.run(
            "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at, counters) "
            "VALUES (?, 'host-1', 1, {now}, {later}, ?)",
            name,
            seconds,
            {} if queues is None else {"queues": queues},
        )
    shown = commands("status").stdout
    assert re.findall(r"no worker takes the lane (\w+)", shown) == missing
    assert re.findall(r"lanes: ([\w, ]+?)(?:, silent.*)?$", shown, re.MULTILINE) == [
        ", ".join(queues) or "none" for queues, _ in told.values() if queues is not None
    ]


def test_what_others_wrote_moves_no_cursor_and_forges_no_line(commands: Commands, world: World) -> None:
    forged = "\x1b[2Jfine\n   Switch     all: reduce_only\x9b1A\u202e"
    account = world.account(name=forged)
    automation = world.automation(account, "auto_entry", {"quantity": 1, "leverage": 2, "side": "b"})
    execution = world.run(automation)["executionId"]
    commands("pause", "--all", "--reason", forged)
    for *words, what in (
        ("status",),
        ("stats",),
        ("accounts", "list"),
        ("accounts", "show", account.id),
        ("automations", "list"),
        ("automations", "show", automation),
        ("automations", "preview", automation),
        ("executions", "show", execution),
        ("accounts", "disable", account.id),
    ):
        for form in ((), ("--json",)):
            text = commands(*words, what, *form).stdout
            assert text
            assert not {"\x1b", "\x9b", "\u202e"} & set(text)
            assert "\n   Switch     all: reduce_only" not in text
    assert commands.json("accounts", "show", account.id)["name"] == forged


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


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
def test_status_of_a_redis_that_takes_no_writes(
    commands: Commands, own_redis: PrivateRedis, refuse: Callable[[Any], Any]
) -> None:
    """It answers what is read as ever, and no job is carried out."""
    assert commands.json("status", REDIS_URL=own_redis.url)["redis"]["ok"]
    with redis.Redis.from_url(own_redis.url) as admin:
        refuse(admin)
    found = commands.json("status", code=1, REDIS_URL=own_redis.url)["redis"]
    assert not found["ok"]
    assert found["problem"].startswith("refuses writes: ")
    assert "❌ Redis" in commands("status", code=1, REDIS_URL=own_redis.url).stdout


def test_status_leaves_nothing_in_redis(commands: Commands, own_redis: PrivateRedis) -> None:
    commands("status", REDIS_URL=own_redis.url)
    with redis.Redis.from_url(own_redis.url) as admin:
        assert all(0 < admin.pttl(key) <= 1000 for key in admin.scan_iter())


@contextmanager
def _full_disk(database: Path) -> Iterator[None]:
    """Let no file grow beyond what the database's log has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database.with_name(f"{database.name}-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_status_of_a_full_disk(commands: Commands, world: World) -> None:
    world.run(_guard(world))
    with world.storage.connection(), _full_disk(Path(world.settings.require_database().removeprefix("sqlite:///"))):
        found = commands.json("status", code=1)
        shown = commands("status", code=1).stdout
    assert found["database"]["problem"].startswith("refuses writes: ")
    assert found["executions"] == {"failed": 1}, "what can be read is shown"
    assert "❌ Database" in shown
    assert commands.json("status")["database"]["ok"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_status_of_a_database_that_may_only_be_read(commands: Commands, world: World) -> None:
    url = f"{world.settings.require_database()}?options=-c%20default_transaction_read_only%3Don"
    found = commands.json("status", code=1, DATABASE_URL=url)
    assert not found["database"]["ok"]
    assert found["database"]["problem"] == "refuses writes: its transactions are read-only"
    assert found["executions"] == {}, "what can be read is shown"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_status_changes_nothing_in_the_database(commands: Commands, world: World) -> None:
    world.storage.run("PRAGMA user_version = 7")
    commands("status")
    assert world.storage.one("PRAGMA user_version") == (7,)


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


def test_recover_with_a_redis_that_takes_no_message(commands: Commands, world: World, own_redis: PrivateRedis) -> None:
    commands("enqueue", "--user", "user123", "--automation", _guard(world), REDIS_URL=NOWHERE)
    (execution,) = commands.json("executions", "list")
    world.make_older(execution["id"], seconds=10)
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.config_set("maxmemory", 1)
        refused = commands("recover", code=1, REDIS_URL=own_redis.url)
        admin.config_set("maxmemory", 0)
    assert refused.stdout == ""
    assert "maxmemory" in refused.stderr
    assert refused.stderr.endswith("[redis_unavailable]\n")
    assert commands("recover", REDIS_URL=own_redis.url).stdout == "1 execution put back on the queue\n"
