"""A Redis that takes connections and does not answer counts as one that is away, and soon."""

from __future__ import annotations

import signal
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import broker
from axisor_executor.embedded import PrivateRedis
from tests.harness.world import World
from tests.integration.conftest import Said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SOON = 0.05
"""Seconds for a Redis that is to say nothing; one that is to answer has the usual time."""
MOST_CONNECTIONS = 3
"""The one that was there, its health's check once more, and the command once more."""


class Hanging(socketserver.ThreadingTCPServer):
    """A server that says yes to each command, or nothing at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers = False
        self.connections = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server_address[1]}/0"


class _Answers(socketserver.StreamRequestHandler):
    server: Hanging

    def handle(self) -> None:
        self.server.connections += 1
        while count := self.rfile.readline():
            for _ in range(int(count[1:])):
                self.rfile.read(int(self.rfile.readline()[1:]) + 2)
            if self.server.answers:
                self.wfile.write(b"+OK\r\n")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with Hanging() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("well", ["never", "once"])
def test_what_is_enqueued_waits_in_the_database(
    world: World, hanging: Hanging, said: Said, monkeypatch: pytest.MonkeyPatch, well: str
) -> None:
    """To raise would make its sender send it again: two jobs, where it has no key."""
    if well == "never":
        monkeypatch.setattr(broker, "SOCKET_TIMEOUT_SECONDS", SOON)
    world.restart(redis_url=hanging.url)
    if well == "once":
        hanging.answers = True
        world.enqueue(world.job("auto789"))
        assert said.problems == []
        hanging.answers = False
        client: Any = world.parts.queue.broker.client
        for connection in client._idle:
            connection.next_health_check = 0.0  # as when it was not used for 15 s
            connection.socket_timeout = SOON  # when it connects anew
            connection._sock.settimeout(SOON)
    execution_id = world.enqueue(world.job("auto789"))
    assert world.execution(execution_id).status == "queued"
    (line,) = said.problems
    assert f"execution {execution_id} waits in the database: TimeoutError" in line
    assert hanging.connections <= MOST_CONNECTIONS


@pytest.mark.slow
@pytest.mark.parametrize("well", ["never", "once"])
def test_a_worker_stops_in_time(world: World, own_redis: PrivateRedis, tmp_path: Path, well: str) -> None:
    world.restart(redis_url=f"{own_redis.url}?health_check_interval=1")
    if well == "never":
        own_redis.pause()
    with world.worker(tmp_path / "worker.log", threads=2) as worker:
        if well == "once":
            worker.wait_until(world.parts.queue.is_intact, what="recovery's first look")
            own_redis.pause()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        assert "Worker stopped" in worker.text()
        assert "Traceback" not in worker.text()
    own_redis.resume()
