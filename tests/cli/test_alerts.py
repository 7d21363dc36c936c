"""`alerts test` and `alerts list`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis

from axisor_executor.cli.alerts import _Asked
from axisor_executor.observe.alerts import Alert
from tests.cli.conftest import Commands
from tests.harness.world import World, plugin

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise tries it


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook, and what it was sent."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


class TestTest:
    def test_it_arrives(self, commands: Commands, received: tuple[str, list[dict[str, Any]]]) -> None:
        address, bodies = received
        shown = commands("alerts", "test", AXISOR_ALERT_URLS=f"json://canary:canary@{address}/canary")
        assert [body["title"] for body in bodies] == ["📊 Info: test"]
        assert "1 (JSON)" in shown.stdout
        assert "told" in shown.stdout
        assert "canary" not in shown.output

    def test_each_target_is_told_apart(self, commands: Commands, received: tuple[str, list[dict[str, Any]]]) -> None:
        urls = f"json://{received[0]}/canary canary://token"
        found = commands.json("alerts", "test", code=1, AXISOR_ALERT_URLS=urls)
        assert [(one["target"], one["ok"], one["problem"]) for one in found] == [
            ("1 (JSON)", True, None),
            ("2 (unusable)", False, "Apprise can't use this URL"),
        ]
        assert found[0]["plugin"].startswith("axisor-alerts-apprise")
        assert "canary" not in json.dumps(found)

    def test_without_a_target_it_fails(self, commands: Commands) -> None:
        shown = commands("alerts", "test", code=1)
        assert "is not set: alerts stand in the log only" in shown.stdout

    def test_without_anyone_who_hears_it_fails(self, commands: Commands) -> None:
        shown = commands("alerts", "test", code=1, AXISOR_DISABLED_PLUGINS="alerts_apprise")
        assert shown.stdout.startswith("No plugin hears alerts")

    def test_its_variable_is_no_misspelt_setting(
        self, commands: Commands, received: tuple[str, list[dict[str, Any]]]
    ) -> None:
        shown = commands(
            "alerts",
            "test",
            AXISOR_ALERT_URLS=f"json://{received[0]}/",
            AXISOR_LOG_LEVEL="WARNING",
            AXISOR_ALERT_URL="x",
        )
        assert "AXISOR_ALERT_URL is not a setting" in shown.stderr
        assert "AXISOR_ALERT_URLS is not a setting" not in shown.stderr


class TestObservers:
    """What becomes of observers of others: they need not tell anything."""

    ALERT = Alert("test", "info", "m")

    @staticmethod
    def rows(call: Any, timeout: float = 10) -> list[tuple[Any, bool, Any]]:
        asked = _Asked("plugin", call, TestObservers.ALERT)
        return [(row["target"], row["ok"], row["problem"]) for row in asked.rows(timeout)]

    def test_one_that_tells_nothing_was_told(self) -> None:
        assert self.rows(lambda alert: None) == [(None, True, None)]

    def test_one_that_raises_failed(self) -> None:
        def fail(alert: Alert) -> None:
            raise SystemExit("no\nway")

        assert self.rows(fail) == [(None, False, "SystemExit: no way")]

    def test_one_that_hangs_failed(self) -> None:
        go_on = threading.Event()
        assert self.rows(lambda alert: go_on.wait(60), timeout=0.05) == [(None, False, "no end after 0.05 s")]
        go_on.set()

    def test_the_hook_may_leave_its_argument_out(self) -> None:
        from axisor_executor.hookspecs import hookimpl
        from axisor_executor.plugins import load

        class Ear:
            @hookimpl
            def axisor_alert(self) -> dict[str, str | None]:
                return {"bell": None}

        ((name, call),) = load([plugin("ear", Ear())]).alert_observers()
        assert name == "axisor-ear 1.0 [ear]"
        assert call(self.ALERT) == {"bell": None}


class TestList:
    def test_nothing_was_told(self, commands: Commands) -> None:
        assert commands("alerts", "list").stdout == "No alert was told.\n"
        assert commands.json("alerts", "list") == []

    def test_what_was_told_last(self, commands: Commands, world: World) -> None:
        account = world.account(name="Main [Account]", is_active=False)
        world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))
        assert world.alerts == ["inactive_account"]
        (found,) = commands.json("alerts", "list")
        assert (found["kind"], found["severity"], found["accountId"]) == ("inactive_account", "warning", account.id)
        shown = commands("alerts", "list").stdout
        assert "inactive_account" in shown
        assert "Main [Account]" in shown

    def test_what_others_wrote_is_no_alert(self, commands: Commands, world: World) -> None:
        with redis.Redis.from_url(world.settings.redis_url) as client:
            client.lpush(f"{world.settings.queue_prefix}:alerts:recent", "garbage", '{"a": 1}')
        assert commands("alerts", "list").stdout == "No alert was told.\n"

    def test_without_redis_it_fails(self, commands: Commands) -> None:
        assert "[redis_unavailable]" in commands.error("alerts", "list", REDIS_URL="redis://127.0.0.1:1")
