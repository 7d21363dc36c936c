"""`axisor-executor serve` as a process: it starts, stops cleanly, and says what is missing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from axisor_executor.embedded import ChildProcess
from axisor_executor.service.serving import _listening
from axisor_executor.storage import switches, tokens
from tests.harness.world import World
from tests.integration.test_interventions import ONCE
from tests.service.conftest import Client
from tests.service.test_execute import EXECUTE, count, until
from tests.service.test_switches import out_for_long

SERVE = [sys.executable, "-m", "axisor_executor.cli", "serve"]


@contextmanager
def serving(world: World, output: Path) -> Iterator[tuple[ChildProcess, Client]]:
    """Run `axisor-executor serve` while the block runs."""
    text, _ = tokens.create(world.storage, "one", tokens.SCOPES)
    with ChildProcess([*SERVE, "--port", "0"], output=output, env=world.environment()) as child:
        address = child.wait_for_line(r"HTTP API ready on (http://\S+)", timeout=30)[1]
        client = Client(address, text)
        yield child, client
        client.close()


def test_it_stops_when_told_and_lets_no_client_hang(world: World, tmp_path: Path) -> None:
    """A client that waits for a minute is answered at once, its job taken; then the process ends with 0."""
    with serving(world, tmp_path / "serve.log") as (child, client), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client, "POST", f"{EXECUTE}?wait=60", json=world.job("auto789"))
        until(lambda: count(world) == 1)
        os.kill(child.pid, signal.SIGTERM)
        answer = waiting.result(30)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        until(lambda: child.returncode is not None)
        assert child.returncode == 0
        log = child.text()
    assert "HTTP API stopped" in log
    assert "Traceback" not in log
    assert client.token is not None
    assert client.token.split("_", 2)[2] not in log


def test_a_pause_that_waits_is_answered_when_it_stops(world: World, tmp_path: Path) -> None:
    """At once, with what is so: the switch is set, and what is out is not known yet."""
    world.restart(retries={"auto_entry": ONCE}, signature_window_seconds=30.0)
    account = world.account()
    with serving(world, tmp_path / "serve.log") as (child, client), ThreadPoolExecutor(1) as pool:
        out_for_long(world, account)
        paused = pool.submit(client.error, "POST", "/api/switches", json={"scope": "account", "id": account.id})
        until(lambda: switches.listed(world.storage))
        os.kill(child.pid, signal.SIGTERM)
        assert paused.result(10) == (503, "pause_unconfirmed")
        until(lambda: child.returncode is not None, timeout=10)
        assert child.returncode == 0
        log = child.text()
    assert "Traceback" not in log
    assert [one.mode for one in switches.listed(world.storage)] == ["paused"]


def test_two_processes_share_the_work(world: World, tmp_path: Path) -> None:
    """What one has taken the other finds; a token that was revoked ends in both."""
    with serving(world, tmp_path / "1.log") as (_, one), serving(world, tmp_path / "2.log") as (_, other):
        taken = one("POST", EXECUTE, json=world.job("auto789"), headers={"Idempotency-Key": "k"}).json()
        again = other("POST", EXECUTE, json=world.job("auto789"), headers={"Idempotency-Key": "k"}).json()
        assert taken["executionId"] == again["executionId"]
        for token in tokens.listed(world.storage):
            tokens.revoke(world.storage, token.id)
        for client in (one, other):
            assert client.error("GET", "/api/switches") == (401, "unauthenticated")


def test_an_address_that_is_taken(world: World, tmp_path: Path) -> None:
    with serving(world, tmp_path / "serve.log") as (_, client):
        port = client.base.rpartition(":")[2]
        second = subprocess.run(
            [*SERVE, "--port", port], env=world.environment(), capture_output=True, text=True, timeout=60, check=False
        )
    assert second.returncode == 1
    assert "[address_unavailable]" in second.stderr
    assert "Traceback" not in second.stderr


def test_without_the_extra_the_core_works_and_serve_says_what_to_install(tmp_path: Path) -> None:
    """As in an environment in which none of the extra's packages is installed."""
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'limits'): sys.modules[name] = None\n"
        "from axisor_executor.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'axisor.db'}", "ENCRYPTION_KEY": "of the tests"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert run("db", "init").returncode == 0
    assert run("tokens", "create", "--name", "one").returncode == 0
    assert run("executions", "list").returncode == 0
    refused = run("serve")
    assert refused.returncode == 1
    assert "pip install 'axisor-executor[http]' [extra_missing]" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_is_wrong_with_the_database_shows_before_anything_listens(world: World) -> None:
    env = world.environment(DATABASE_URL="postgresql://axisor:canary-word@127.0.0.1:1/axisor")
    refused = subprocess.run(SERVE, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "[database_unavailable]" in refused.stderr
    assert "canary-word" not in refused.stderr + refused.stdout


def test_answers_are_sent_at_once() -> None:
    """A connection that was accepted does not wait for the client's acknowledgement before it sends on."""
    with _listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
