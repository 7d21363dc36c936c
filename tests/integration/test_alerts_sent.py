"""Alerts of real workers reach a real webhook: once over all of them, without a secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import api
from tests.harness.world import ENCRYPTION_KEY, World

ENTRY = {"side": "b", "quantity": 100}


class Webhook:
    """Keeps what it is sent; ``heard`` is set with the first."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.heard = threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                webhook.heard.set()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"json://canary-user:canary-password@127.0.0.1:{self.server.server_port}/canary-path"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_one_alert_of_two_workers(world: World, webhook: Webhook, tmp_path: Path) -> None:
    account = world.account(
        is_active=False, keys={"key": "canary-key", "secret": "canary-sec", "passphrase": "canary-pp"}
    )
    entry = world.automation(account, "auto_entry", ENTRY)
    environment = {"AXISOR_ALERT_URLS": webhook.url, "AXISOR_LOG_LEVEL": "DEBUG", "AXISOR_LOG_FORMAT": "json"}
    with world.worker(tmp_path / "log", processes=2, threads=2, **environment) as child:
        ids = [world.enqueue(world.job(entry, trade_id=f"t{number}")) for number in range(8)]
        results = [api.get_result(one, 60) for one in ids]
        assert webhook.heard.wait(60)
        child.stop()
        log = child.text()
    assert {result["error"]["code"] for result in results} == {"account_inactive"}
    (body,) = webhook.bodies
    assert body["title"] == "⚠️ Warning: inactive account (Main Account)"
    assert account.id in body["message"]
    assert log.count("Alert inactive_account for account Main Account") == 1
    assert not [word for word in ("canary", ENCRYPTION_KEY) if word in log + json.dumps(body)]


class TestOneOfEach:
    """Which alerts of runs stand for others, and which never do."""

    def test_guards_that_fail_for_several_trades_are_told_for_each(self, world: World) -> None:
        account = world.account()
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        for trade_id in ("t1", "t2", "t1"):
            assert world.run(guard, trade_id=trade_id)["status"] == "failed"
        assert world.alerts == ["unguarded_trade", "unguarded_trade"]
        assert [alert.details for alert in world.watcher.alerts] == [{"tradeId": "t1"}, {"tradeId": "t2"}]

    def test_so_are_those_of_several_guards(self, world: World) -> None:
        account = world.account()
        for _ in range(2):
            world.run(world.automation(account, "margin_guard", {"action": "close_position"}), trade_id="t1")
        assert world.alerts == ["unguarded_trade", "unguarded_trade"]

    def test_an_entry_that_fails_again_is_not(self, world: World) -> None:
        account = world.account()
        world.paper.add_fault("status_before", mutating=True, status=400, count=2)
        for _ in range(2):
            world.run(world.automation(account, "auto_entry", ENTRY))
        assert world.alerts == ["api_error"]
