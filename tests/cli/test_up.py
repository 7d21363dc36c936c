"""`up`, `down`, `status` and `logs` for real: what runs, what survives, what is refused, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from axisor_executor.stack.folder import StackFolder
from tests.cli.conftest import Commands
from tests.harness.marked import processes_with
from tests.harness.world import World

COMMAND = [sys.executable, "-m", "axisor_executor.cli"]
OWN = ("REDIS_URL", "DATABASE_URL", "LN_MARKETS_API_URL", "ENCRYPTION_KEY", "AXISOR_")
TOKEN = re.compile(r"axisor_[0-9a-f]{16}_\S{43}")
SECONDS = 90.0

pytestmark = pytest.mark.timeout(400)


@dataclass
class Up:
    """Stacks on one folder, whose processes can be told from others'."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid4().hex)
    process: subprocess.Popen[str] | None = None
    shown: str = ""

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        return {**inherited, "UP_MARK": self.mark, **more}

    def run(self, command: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the folder to its end."""
        return subprocess.run(
            [*COMMAND, command, "--dir", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment(**more),
            timeout=SECONDS,
            check=False,
        )

    def start(self, *arguments: str, **more: str) -> str:
        """Start `up` in the foreground and return what it shows until everything runs."""
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--dir", str(self.folder), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment(**more),
            start_new_session=True,
        )
        self.shown = ""
        return self.read_until(r"axisor-executor down")

    def read_until(self, pattern: str) -> str:
        """Read on until a line, and return all that was shown."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.shown += line
            if re.search(pattern, line):
                return self.shown
        raise AssertionError(f"it ended before {pattern!r}:\n{self.shown}")

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        self.shown += self.process.communicate(timeout=SECONDS)[0]
        return self.process.returncode

    def status(self) -> Any:
        return json.loads(self.run("status", "--json").stdout)

    def left_behind(self) -> list[str]:
        return list(processes_with(self.mark))

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.folder / "logs").iterdir())


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Up]:
    """A folder for a stack, with a space in its name; whatever runs on it is killed at the test's end."""
    made = Up(tmp_path / "my data")
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()
        made.process.communicate()
    made.run("down", "--now")
    assert eventually(lambda: not made.left_behind())


def eventually(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_everything_runs_is_kept_running_and_stops(stack: Up) -> None:
    shown = stack.start("--paper", "--port", "0", "--every", "1")
    token = TOKEN.search(shown)
    assert token, shown
    url = re.search(r"^HTTP +(\S+)$", shown, re.MULTILINE)
    assert url
    with requests.Session() as http:
        http.headers["Authorization"] = f"Bearer {token[0]}"

        def completed() -> list[Any]:
            answer = http.get(f"{url[1]}api/automation/executions", timeout=10).json()
            return [one for one in json.dumps(answer).split('"status"') if '"completed"' in one]

        assert eventually(completed), "nothing happens on the paper exchange"

    parts = {part["name"]: part for part in stack.status()["stack"]["parts"]}
    assert set(parts) == {"redis", "paper-exchange", "worker-protect", "worker-default", "http-api", "paper-jobs"}
    environment = Path(f"/proc/{parts['paper-exchange']['pid']}/environ").read_bytes()
    assert b"PATH=" in environment
    assert not re.search(rb"ENCRYPTION_KEY|REDIS_URL|DATABASE_URL", environment)
    second = stack.run("up", "--paper")
    assert second.returncode == 1
    assert stack.process is not None
    assert f"process {stack.process.pid}" in second.stderr
    assert "already_running" in second.stderr

    for name in ("worker-default", "redis", "paper-exchange"):
        os.killpg(parts[name]["pid"], signal.SIGKILL)
        stack.read_until(f"^{name} is back")
    (again,) = (part for part in stack.status()["stack"]["parts"] if part["name"] == "worker-default")
    assert (again["state"], again["restarts"]) == ("running", 1)

    assert stack.end(signal.SIGINT) == 0, stack.shown
    assert stack.left_behind() == []
    assert stack.run("status").returncode == 1
    key = (stack.folder / "encryption-key").read_text().strip()
    password = (stack.folder / "redis-password").read_text().strip()
    for text in (stack.shown, stack.logs(), (stack.folder / "environment").read_text()):
        assert key not in text
    assert password not in stack.shown + stack.logs()
    assert token[0] not in stack.logs()
    loose = [path for path in (stack.folder, *stack.folder.rglob("*")) if path.stat().st_mode & 0o077]
    assert loose == []


@pytest.mark.slow
def test_its_state_survives_and_it_goes_on_in_the_background(stack: Up) -> None:
    first = stack.run("up", "--paper", "--port", "0", "--detach")
    assert first.returncode == 0, first.stdout + first.stderr
    token, port = TOKEN.search(first.stdout), re.search(r"http://127\.0\.0\.1:(\d+)/$", first.stdout, re.MULTILINE)
    assert token
    assert port
    before = eventually(lambda: stack.status()["executions"].get("completed"))
    assert before
    assert stack.run("down").returncode == 0
    assert stack.left_behind() == []

    again = stack.run("up", "--detach")
    assert again.returncode == 0, again.stdout + again.stderr
    assert TOKEN.search(again.stdout) is None
    assert f":{port[1]}/" in again.stdout
    health = requests.get(
        f"http://127.0.0.1:{port[1]}/api/health/workers",
        headers={"Authorization": f"Bearer {token[0]}"},
        timeout=10,
    )
    assert health.status_code == 200, health.text
    assert stack.status()["executions"]["completed"] >= before

    lines = stack.run("logs", "--component", "worker-protect", "--lines", "1000").stdout.splitlines()
    assert lines
    assert all(line.startswith("worker-protect ") for line in lines)
    following = subprocess.Popen(
        [*COMMAND, "logs", "--dir", str(stack.folder), "-f", "--lines", "1", "--component", "up"],
        stdout=subprocess.PIPE,
        text=True,
        env=stack.environment(),
    )
    assert following.stdout is not None
    assert "is up" in following.stdout.readline()
    stack.run("down")
    assert any("Stopped" in line for line in iter(following.stdout.readline, ""))
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=SECONDS)
    assert following.returncode == 0


@pytest.mark.slow
def test_after_kill_9_nothing_is_left_and_it_starts_again(stack: Up) -> None:
    stack.start("--paper", "--port", "0")
    assert stack.process is not None
    assert len(stack.left_behind()) > 5
    stack.process.kill()
    stack.process.communicate()
    again = stack.run("up", "--detach")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "The last run was killed" in again.stdout
    assert stack.run("down", "--now").returncode == 0
    assert eventually(lambda: not stack.left_behind())


@pytest.mark.slow
def test_other_peoples_redis_and_database(stack: Up, redis_url: str, postgres_url: str) -> None:
    """Both are used where they are set; a paper stack never touches accounts or queues that are not its own."""
    given = {"REDIS_URL": redis_url, "DATABASE_URL": postgres_url, "ENCRYPTION_KEY": "of the monolith"}
    refused = stack.run("up", "--paper", "--port", "0", **given)
    assert refused.returncode == 1
    assert "db init" in refused.stdout + refused.stderr
    init = subprocess.run([*COMMAND, "db", "init"], env=stack.environment(**given), capture_output=True, check=False)
    assert init.returncode == 0, init.stderr
    shown = stack.start("--paper", "--port", "0", "--processes", "2", **given)
    assert "redis is up" not in shown
    assert not (stack.folder / "axisor.db").exists()
    assert not (stack.folder / "encryption-key").exists()
    assert stack.end(signal.SIGTERM) == 0, stack.shown
    environment = (stack.folder / "environment").read_text()
    assert all(f"export {name}=" in environment for name in (*given, "AXISOR_QUEUE_PREFIX"))
    assert redis_url in stack.run("status").stdout, "also where the shell knows none of it"

    with socket.create_server(("127.0.0.1", 0)) as nobodys:
        port = nobodys.getsockname()[1]
    away = stack.start("--paper", "--port", "0", **{**given, "REDIS_URL": f"redis://:Canary-9@127.0.0.1:{port}"})
    assert re.search(rf"^Redis +can't be reached: .*:{port}", away, re.MULTILINE)
    assert "Canary-9" not in away
    assert stack.end(signal.SIGTERM) == 0, stack.shown

    other = Up(stack.folder.parent / "other")
    refused = other.run("up", "--paper", "--port", "0", **given)
    assert refused.returncode == 1
    assert "database_in_use" in refused.stderr
    assert other.left_behind() == []


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path / "data")

    def test_without_a_mode(self, alone: Commands, folder: str) -> None:
        assert "[mode_missing]" in alone.error("up", "--dir", folder)
        assert not Path(folder).exists()

    @pytest.mark.parametrize("modes", [("--paper", "--live"), ("--live", "--paper")])
    def test_both_modes(self, alone: Commands, folder: str, modes: tuple[str, str]) -> None:
        assert "Choose --paper or --live." in alone("up", *modes, "--yes", "--dir", folder, code=2).stderr

    def test_live_without_consent(self, alone: Commands, folder: str) -> None:
        result = alone("up", "--live", "--dir", folder, code=1)
        assert "https://api.lnmarkets.com" in result.stdout
        assert "[not_confirmed]" in result.stderr
        assert not Path(folder).exists()

    def test_the_other_mode(self, alone: Commands, folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "stack.json").write_text('{"v": 1, "mode": "paper"}')
        assert "[mode_differs]" in alone.error("up", "--live", "--yes", "--dir", folder)

    def test_a_folder_of_something_else(self, stack: Up) -> None:
        stack.folder.mkdir()
        (stack.folder / "thesis.txt").touch()
        refused = stack.run("up", "--paper")
        assert refused.returncode == 1
        assert "[folder_in_use]" in refused.stderr
        assert [path.name for path in stack.folder.iterdir()] == ["thesis.txt"]

    def test_a_port_that_is_taken(self, stack: Up) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            refused = stack.run("up", "--paper", "--port", str(taken.getsockname()[1]))
        assert refused.returncode == 1
        assert "[port_taken]" in refused.stderr
        assert "--port" in refused.stderr

    def test_settings_that_are_wrong(self, stack: Up) -> None:
        refused = stack.run("up", "--paper", "--port", "0", AXISOR_LEASE_SECONDS="soon")
        assert refused.returncode == 1
        assert "AXISOR_LEASE_SECONDS" in refused.stderr
        assert stack.left_behind() == []

    def test_a_part_that_does_not_start_is_told_with_its_last_words(self, stack: Up) -> None:
        refused = stack.run("up", "--paper", "--port", "0", AXISOR_REQUIRED_PLUGINS="grid_bot")
        assert refused.returncode == 1
        assert "grid_bot" in refused.stderr
        assert stack.left_behind() == []

    def test_down_logs_and_status_of_nothing(self, alone: Commands, folder: str) -> None:
        assert "[not_running]" in alone.error("down", "--dir", folder)
        assert "[not_running]" in alone.error("logs", "--dir", folder)
        assert "[no_stack]" in alone.error("status", "--dir", folder)

    @pytest.mark.parametrize("command", [("up", "--paper"), ("down",), ("logs",), ("status",)], ids=" ".join)
    def test_a_folder_that_can_not_be_used(self, alone: Commands, tmp_path: Path, command: tuple[str, ...]) -> None:
        assert "[folder_unusable]" in alone.error(*command, "--dir", str(tmp_path / ("x" * 300)))

    @pytest.mark.parametrize("command", ["up", "down", "logs"])
    @pytest.mark.parametrize("folder", ["", " "])
    def test_no_folder(
        self, alone: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, folder: str
    ) -> None:
        """As of a variable that is not set: it is not the current one."""
        monkeypatch.chdir(tmp_path)
        assert "an empty path is no folder" in alone(command, "--dir", folder, code=2).stderr
        assert list(tmp_path.iterdir()) == []

    def test_down_of_what_is_below_a_file(self, alone: Commands, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "[folder_unusable]" in alone.error("down", "--dir", str(tmp_path / "file" / "x"))

    @pytest.mark.parametrize("command", ["down", "logs", "status"])
    def test_another_users_folder(
        self, alone: Commands, folder: str, request: pytest.FixtureRequest, command: str
    ) -> None:
        inside = Path(folder) / "stack"
        alone.error(command, "--dir", str(inside))  # what it imports may be out of reach for another user
        inside.mkdir(parents=True)
        Path(folder).chmod(0)
        request.addfinalizer(lambda: Path(folder).chmod(0o700))
        if (root := os.geteuid()) == 0:
            os.seteuid(65_534)
            request.addfinalizer(lambda: os.seteuid(root))
        assert "Permission denied [folder_unusable]" in alone.error(command, "--dir", str(inside))

    def test_down_of_another_users_process(self, alone: Commands, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        place = StackFolder(Path(folder))
        place.make()
        lock = place.lock(wait=0, told=lambda: None)
        monkeypatch.setattr(os, "kill", denied)
        assert "Operation not permitted [folder_unusable]" in alone.error("down", "--dir", folder)
        os.close(lock)


def test_status_while_it_starts(alone: Commands, tmp_path: Path) -> None:
    place = StackFolder(tmp_path / "data")
    place.make()
    place.write_environment({"DATABASE_URL": f"sqlite:///{place.database}", "REDIS_URL": "redis://127.0.0.1:1/0"})
    place.remember(mode="paper")
    lock = place.lock(wait=0, told=lambda: None)
    shown = alone("status", "--dir", str(place.path), code=1).stdout
    assert f"{place.path}: starting, process {os.getpid()}\n" in shown
    found = alone.json("status", "--dir", str(place.path), code=1)["stack"]
    assert found == {"folder": str(place.path), "running": True, "pid": os.getpid()}
    os.close(lock)


@pytest.fixture
def run_on(world: World, tmp_path: Path) -> Iterator[StackFolder]:
    """A folder that this process holds, of a stack whose database and Redis are there."""
    place = StackFolder(tmp_path / "data")
    place.make()
    place.write_environment({name: world.environment()[name] for name in ("DATABASE_URL", "REDIS_URL")})
    place.remember(mode="paper")
    lock = place.lock(wait=0, told=lambda: None)
    yield place
    os.close(lock)


def note(place: StackFolder, **parts: int | None) -> None:
    noted = [{"name": name, "state": "running", "pid": pid, "restarts": 0} for name, pid in parts.items()]
    facts = {"mode": "paper", "startedAt": "2026-01-02T12:30:05.198Z", "exchange": "http://e", "http": None}
    place.write_running({**facts, "parts": noted})


def test_status_tells_dead_parts_from_running_ones(commands: Commands, run_on: StackFolder) -> None:
    """Who would have noted it is frozen or dead itself, or its disk is full."""
    with (
        subprocess.Popen(["sleep", "60"], start_new_session=True) as living,
        subprocess.Popen(["true"], start_new_session=True) as gone,
        subprocess.Popen(["true"], start_new_session=True) as unreaped,
        subprocess.Popen(["sleep", "60"]) as another,
    ):
        try:
            note(run_on, living=living.pid)
            assert "living: running" in commands("status", "--dir", str(run_on.path)).stdout
            gone.wait()
            os.waitid(os.P_PID, unreaped.pid, os.WEXITED | os.WNOWAIT)
            note(run_on, living=living.pid, gone=gone.pid, unreaped=unreaped.pid, reused=another.pid)
            found = commands.json("status", "--dir", str(run_on.path), code=1)
            assert found["redis"]["ok"]
            assert found["database"]["ok"]
            states = {part["name"]: part["state"] for part in found["stack"]["parts"]}
            assert states == {"living": "running", "gone": "dead", "unreaped": "dead", "reused": "dead"}
            shown = commands("status", "--dir", str(run_on.path), code=1).stdout
            assert f"gone: dead, process {gone.pid}\n" in shown
        finally:
            living.kill()
            another.kill()


def test_status_of_a_run_that_was_killed(commands: Commands, run_on: StackFolder) -> None:
    """Its guard holds the folder until it has ended what was left."""
    with subprocess.Popen(["true"]) as killed:
        killed.wait()
    note(run_on, worker=os.getpid())
    (run_on.path / "lock").write_text(str(killed.pid))
    assert "not running" in commands("status", "--dir", str(run_on.path), code=1).stdout
    assert not commands.json("status", "--dir", str(run_on.path), code=1)["stack"]["running"]
