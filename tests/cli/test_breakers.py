"""`breakers`, and what `status` says of them."""

from __future__ import annotations

import json
import math

import pytest
import redis

from axisor_executor.errors import PluginError, Rejected, Unavailable
from axisor_executor.limits.breaker import AccountRef, Breakers, PluginRef
from axisor_executor.shared import Shared
from tests.cli.conftest import Commands
from tests.harness.world import World

EXCHANGE = "lnmarkets@api.test"
MAIN = AccountRef("acc456", "Main [Account]", "f1", "d1", "user123")


@pytest.fixture
def is_open(world: World) -> None:
    """An exchange is away, and an account's key may not trade."""
    shared = Shared(world.settings.redis_url, world.settings.queue_prefix)
    breakers = Breakers(shared, world.settings, lambda _: None)
    forbidden = Rejected("rejected (HTTP 403)", code="exchange_forbidden", status=403)
    for _ in range(2):
        breakers.report(EXCHANGE, MAIN, mutating=True, failure=forbidden)
    for number in range(5):
        breakers.report(EXCHANGE, (MAIN, None)[number % 2], mutating=False, failure=Unavailable("no connection"))
    shared.close()


def test_nothing_is_open(commands: Commands) -> None:
    assert commands("breakers").stdout == "No breaker is open.\n"
    assert commands.json("breakers", "list") == []
    assert commands.json("status")["breakers"] == []


def test_the_list(commands: Commands, is_open: None) -> None:
    keys, exchange = commands.json("breakers", "list")
    assert (keys["name"], keys["accountId"], keys["exchange"], keys["changesOnly"]) == ("acc456", "acc456", None, True)
    assert (exchange["name"], exchange["exchange"], exchange["state"]) == (EXCHANGE, EXCHANGE, "open")
    assert exchange["reason"] == "no connection"
    shown = commands("breakers").stdout
    assert "Main [Account]" in shown
    assert EXCHANGE in shown


def test_status_shows_them(commands: Commands, is_open: None) -> None:
    assert [one["name"] for one in commands.json("status")["breakers"]] == ["acc456", EXCHANGE]
    shown = commands("status").stdout
    assert f"Breaker    {EXCHANGE}: " in shown
    assert "Breaker    Main [Account], changes only: " in shown


def test_reset(commands: Commands, is_open: None) -> None:
    assert commands("breakers", "reset", EXCHANGE).stdout == f"{EXCHANGE}: let through again.\n"
    assert [one["name"] for one in commands.json("breakers")] == ["acc456"]
    told = commands.error("breakers", "reset", EXCHANGE)
    assert f"{EXCHANGE} has no breaker that is open; open are those of: acc456 [breaker_not_open]" in told
    commands("breakers", "reset", "acc456")
    assert commands.json("breakers") == []


def test_a_plugin(commands: Commands, world: World) -> None:
    shared = Shared(world.settings.redis_url, world.settings.queue_prefix)
    breakers = Breakers(shared, world.settings, lambda _: None)
    for number in range(world.settings.plugin_breaker_failures):
        plugin = PluginRef("axisor-moon", "3.1", f"auto-{number}")
        breakers.report_plugin(plugin, good=False, failure=PluginError("axisor-moon 3.1 [moon]: KeyError"))
    shared.close()
    (found,) = commands.json("breakers")
    assert (found["name"], found["plugin"], found["exchange"], found["accountId"]) == (*["axisor-moon"] * 2, None, None)
    assert "decisions" in commands("breakers").stdout
    assert "Breaker    axisor-moon: " in commands("status").stdout
    assert commands("breakers", "reset", "axisor-moon").stdout == "axisor-moon: let through again.\n"
    assert commands.json("breakers") == []


def test_what_somebody_else_wrote_is_no_breaker(commands: Commands, world: World, is_open: None) -> None:
    key = f"{world.settings.queue_prefix}:breakers"
    with redis.Redis.from_url(world.settings.redis_url) as client:
        row = json.loads(client.hget(key, f"exchange:{EXCHANGE}"))
        for number, since in enumerate((math.nan, math.inf, 1e300, 1e12, -1e12)):
            subject = f"other{number}"
            client.hset(key, f"exchange:{subject}", json.dumps({**row, "subject": subject, "since": since}))
        client.hset(key, "ghost", json.dumps(row))
        client.set(f"{key}:version", b"\xff")
    assert [one["name"] for one in commands.json("breakers", "list")] == ["acc456", EXCHANGE]
    assert "other" not in commands("breakers", "list").stdout


def test_while_redis_is_away(commands: Commands) -> None:
    for arguments in (("breakers",), ("breakers", "reset", "acc456")):
        assert "[redis_unavailable]" in commands.error(*arguments, REDIS_URL="redis://127.0.0.1:1/0")
    assert "breakers" not in commands.json("status", code=1, REDIS_URL="redis://127.0.0.1:1/0")
