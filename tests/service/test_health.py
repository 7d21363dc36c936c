"""Health: what real workers show, and what is said when jobs are not carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import PluginError, Unavailable
from axisor_executor.limits.breaker import AccountRef, PluginRef
from axisor_executor.service import create_app
from axisor_executor.storage import tokens
from tests.harness.world import World
from tests.integration.conftest import Said
from tests.service.conftest import Client, client_of, served

PATH = "/api/health/workers"


def worker_row(world: World, *, seconds: float = 0, counters: dict[str, Any] | None = None, pid: int = 11) -> None:
    """Put a worker's row into the database, as one that showed itself `seconds` ago has left it."""
    world.storage.run(
        "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at, counters) "
        "VALUES (?, 'host-1', ?, {now}, {later}, ?)",
        f"w{pid}",
        pid,
        -seconds,
        counters,
    )


def test_with_a_real_worker_it_is_healthy(world: World, admin: Client, tmp_path: Path) -> None:
    entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100, "trigger_price": 1})
    with world.worker(tmp_path / "worker.log", threads=3):
        admin("POST", "/api/automation/execute?wait=60", json=world.job(entry))
        found = admin.get(PATH)
    assert (found["status"], found["problems"]) == ("healthy", [])
    assert (found["processes"], found["threads"]) == (1, 3)
    (worker,) = found["workers"]
    assert (worker["alive"], worker["threads"], worker["queues"]) == (True, 3, ["protect", "default"])
    assert found["lanes"]["default"]["workers"] == found["lanes"]["protect"]["workers"] == 1
    assert found["lanes"]["default"]["queued"] == 0
    assert found["redis"]["ok"]
    assert found["database"] == {"ok": True, "kind": "sqlite" if world.storage.is_sqlite else "postgresql"}
    assert found["breakers"] == []


def test_without_a_worker_it_is_unhealthy(world: World, admin: Client) -> None:
    world.enqueue(world.job("auto789"))
    answer = admin("GET", PATH)
    found = answer.json()
    assert (answer.status_code, found["status"], found["problems"]) == (503, "unhealthy", ["no worker is alive"])
    assert found["lanes"]["default"]["queued"] == found["lanes"]["default"]["messages"] == 1


def test_a_lane_that_nobody_takes_is_unhealthy(world: World, admin: Client) -> None:
    worker_row(world, counters={"threads": 2, "queues": ["default"]})
    answer = admin("GET", PATH)
    assert (answer.status_code, answer.json()["problems"]) == (503, ["no worker takes the lane protect"])
    worker_row(world, counters={"threads": 2, "queues": ["protect"]}, pid=22)
    assert admin.get(PATH)["status"] == "healthy"


def test_a_worker_without_a_key_degrades(world: World, admin: Client) -> None:
    worker_row(world, counters={"threads": 2, "queues": ["protect", "default"], "keyIds": []})
    found = admin.get(PATH)
    assert (found["status"], found["workers"][0]["keyIds"]) == ("degraded", [])
    assert found["problems"] == ["the worker host-1 pid 11 has no encryption key: it can't read credentials"]


def test_a_worker_that_died_degrades_for_a_while(world: World, admin: Client) -> None:
    worker_row(world)
    worker_row(world, seconds=60, pid=22)
    found = admin.get(PATH)
    assert found["status"] == "degraded"
    assert found["problems"][0].startswith("the worker host-1 pid 22 is silent for 6")
    assert [one["alive"] for one in found["workers"]] == [True, False]
    assert found["processes"] == 1
    world.storage.run("UPDATE axisor_workers SET heartbeat_at = {later} WHERE pid = 22", -3600)
    found = admin.get(PATH)
    assert (found["status"], len(found["workers"])) == ("healthy", 2)
    world.storage.run("UPDATE axisor_workers SET heartbeat_at = {later} WHERE pid = 22", -90_000)
    assert len(admin.get(PATH)["workers"]) == 1


def test_a_job_that_is_not_begun_degrades(world: World, admin: Client) -> None:
    worker_row(world)
    world.make_older(world.enqueue(world.job("auto789")), seconds=120)
    found = admin.get(PATH)
    assert found["status"] == "degraded"
    assert 120 <= found["lanes"]["default"]["oldestQueuedSeconds"] < 600
    assert found["problems"][0].startswith("1 jobs are queued on the lane default, the oldest for 12")
    assert found["lanes"]["protect"]["oldestQueuedSeconds"] is None


def test_an_open_breaker_degrades(world: World, admin: Client) -> None:
    worker_row(world)
    for number in range(world.settings.breaker_failures):
        account = AccountRef(id=f"a{number}", name="Main Account", user_id="user123", fingerprint="f", digest="d")
        failure = Unavailable("the exchange does not answer")
        world.parts.breakers.report("lnmarkets@host", account, mutating=False, failure=failure)
    found = admin.get(PATH)
    assert found["status"] == "degraded"
    assert [(one["exchange"], one["state"]) for one in found["breakers"]] == [("lnmarkets@host", "open")]
    assert found["problems"] == ["calls to the exchange lnmarkets@host are held back"]


def test_so_does_a_plugin_that_fails_again_and_again(world: World, admin: Client) -> None:
    worker_row(world)
    for number in range(world.settings.plugin_breaker_failures):
        plugin = PluginRef("axisor-moon", "3.1", f"auto-{number}")
        world.parts.breakers.report_plugin(plugin, good=False, failure=PluginError("axisor-moon 3.1 [moon]: oh no"))
    found = admin.get(PATH)
    assert (found["status"], [one["plugin"] for one in found["breakers"]]) == ("degraded", ["axisor-moon"])
    assert found["problems"] == ["the plugin axisor-moon fails again and again, its automations wait"]


def test_without_redis_it_is_unhealthy_and_jobs_are_taken_all_the_same(world: World, own_redis: PrivateRedis) -> None:
    world.restart(redis_url=own_redis.url)
    worker_row(world)
    with client_of(world) as admin:
        assert admin.get(PATH)["redis"]["ok"]
        own_redis.stop()
        answer = admin("GET", PATH)
        assert answer.status_code == 503
        assert answer.json()["problems"] == ["Redis can't be used: jobs are taken, and carried out when it is back"]
        assert answer.json()["lanes"]["default"]["messages"] is None
        assert admin("POST", "/api/automation/execute", json=world.job("auto789")).status_code == 202


def test_with_a_full_redis_it_is_unhealthy(world: World, own_redis: PrivateRedis) -> None:
    """It answers what is read as ever, and no job is carried out."""
    world.restart(redis_url=own_redis.url)
    worker_row(world)
    with client_of(world) as admin, redis.Redis.from_url(own_redis.url) as own:
        assert admin.get(PATH)["status"] == "healthy"
        own.config_set("maxmemory", 1)
        answer = admin("GET", PATH)
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert not answer.json()["redis"]["ok"]


def test_a_redis_that_does_not_tell_its_version_is_healthy(world: World, own_redis: PrivateRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as own:
        own.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@dangerous"])
    world.restart(redis_url=own_redis.url)
    worker_row(world)
    with client_of(world) as admin:
        found = admin.get(PATH)
    assert (found["status"], found["problems"]) == ("healthy", [])
    assert found["redis"] == {"ok": True, "version": None}
    assert found["lanes"]["default"]["messages"] == 0


def test_without_the_database_every_answer_is_an_error(world: World) -> None:
    text, _ = tokens.create(world.storage, "one", tokens.SCOPES)
    away = "postgresql://axisor:canary-word@127.0.0.1:1/axisor"
    from axisor_executor.runtime import Runtime

    lost = Runtime(world.settings.model_copy(update={"database_url": away}), registry=world.parts.registry)
    with served(create_app(lost)) as base:
        client = Client(base, text)
        for method, path in (("GET", PATH), ("POST", "/api/automation/execute"), ("GET", "/nothing")):
            assert client.error(method, path, json={}) == (503, "database_unavailable")
        assert "Retry-After" in client("GET", PATH).headers
        assert Client(base, None)("GET", "/healthz").status_code == 204
        client.close()
    assert "canary-word" not in "".join(client.heard)
    lost.close()


def test_who_has_shown_no_token_is_not_told_what_is_wrong_with_the_settings(world: World, said: Said) -> None:
    """Messages name hosts, ports and files; whoever runs it finds them in the log."""
    from axisor_executor.runtime import Runtime

    away = "postgresql://axisor:pw@127.0.0.1:1/axisor"
    for wrong, code in (({"database_url": away}, "database_unavailable"), ({"database_url": None}, "invalid_settings")):
        lost = Runtime(world.settings.model_copy(update=wrong), registry=world.parts.registry)
        with served(create_app(lost)) as base:
            nobody = Client(base, None)
            for method, path in (("GET", PATH), ("GET", "/metrics"), ("POST", "/login")):
                error = nobody(method, path, data={"token": "x"}).json()["error"]
                assert error == {
                    "status": 503 if code == "database_unavailable" else 500,
                    "code": code,
                    "message": "the request failed; the log has the reason",
                }
            assert "127.0.0.1" not in nobody("GET", "/", headers={"Accept": "text/html"}).text
            nobody.close()
        lost.close()
    assert "port 1 failed" in said.text()
    assert "DATABASE_URL is not set" in said.text()
