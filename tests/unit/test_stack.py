"""The pieces of `axisor-executor up`: the folder and its lock, back-off, a part's thread, the plan."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.embedded import Guard, PrivateRedis, free_port
from axisor_executor.errors import AxisorError, EmbeddedServerError
from axisor_executor.stack import logs, parts, plan
from axisor_executor.stack.backoff import FIRST_SECONDS, LIMIT_SECONDS, STEADY_SECONDS, Backoff
from axisor_executor.stack.folder import StackFolder
from axisor_executor.stack.plan import Wanted, make_plan
from axisor_executor.stack.supervised import Supervised

WAIT = 30.0
_KILLED_RUN = """
import os, subprocess, sys
from pathlib import Path
from axisor_executor.stack.folder import StackFolder
lock = StackFolder(Path(sys.argv[1])).lock(wait=0, told=lambda: None)
subprocess.Popen(["cat"], stdin=int(sys.argv[2]), pass_fds=(lock,))
os.kill(os.getpid(), 9)
"""
"""Locks the folder and is killed; the lock stays with a child that lives as long as its standard input."""


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting."""
    for name in list(os.environ):
        if name.startswith("AXISOR_") or name in ("REDIS_URL", "DATABASE_URL", "ENCRYPTION_KEY", "LN_MARKETS_API_URL"):
            monkeypatch.delenv(name)


class TestBackoff:
    @given(st.lists(st.floats(0, STEADY_SECONDS, exclude_max=True), max_size=20))
    def test_it_doubles_to_the_limit(self, runs: list[float]) -> None:
        backoff = Backoff()
        found = [backoff.after(ran) for ran in runs]
        assert found == [min(FIRST_SECONDS * 2**number, LIMIT_SECONDS) for number in range(len(runs))]

    @given(st.integers(0, 20), st.floats(STEADY_SECONDS, 1e9))
    def test_a_steady_run_begins_anew(self, ends: int, steady: float) -> None:
        backoff = Backoff()
        for _ in range(ends):
            backoff.after(0)
        assert backoff.after(steady) == FIRST_SECONDS


class TestFolder:
    def test_it_is_its_owners_only(self, folder: StackFolder) -> None:
        folder.encryption_key()
        folder.redis_password()
        folder.remember(mode="paper")
        folder.write_environment({"REDIS_URL": "redis://127.0.0.1:1/0", "ENCRYPTION_KEY": folder.encryption_key()})
        for path in (folder.path, *folder.path.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    def test_the_key_stays(self, folder: StackFolder) -> None:
        key = folder.encryption_key()
        assert len(key) > 40
        assert StackFolder(folder.path).encryption_key() == key

    @pytest.mark.parametrize("lost", ["gone", "empty"])
    def test_a_lost_key_is_never_replaced(self, folder: StackFolder, lost: str) -> None:
        folder.database.touch()
        if lost == "empty":
            (folder.path / "encryption-key").touch()
        with pytest.raises(AxisorError, match=lost) as raised:
            folder.encryption_key()
        assert raised.value.code == "key_lost"

    def test_a_shell_gets_the_key_from_its_file(self, folder: StackFolder) -> None:
        key = folder.encryption_key()
        folder.write_environment({"DATABASE_URL": "sqlite:////a b/'c'", "ENCRYPTION_KEY": key})
        assert key not in folder.environment_file.read_text()
        script = '. "$1" && printf "%s|%s" "$DATABASE_URL" "$ENCRYPTION_KEY"'
        shown = subprocess.run(
            ["sh", "-c", script, "sh", str(folder.environment_file)], capture_output=True, text=True, check=True
        )
        assert shown.stdout == f"sqlite:////a b/'c'|{key}"

    def test_one_process_has_it(self, folder: StackFolder) -> None:
        assert folder.holder() is None
        lock = folder.lock(wait=0, told=lambda: None)
        assert folder.holder() == os.getpid()
        with pytest.raises(AxisorError, match=f"process {os.getpid()}"):
            StackFolder(folder.path).lock(wait=WAIT, told=lambda: None)
        os.close(lock)
        assert folder.wait_until_free(0)

    def test_the_last_runs_parts_are_not_the_next_ones(self, folder: StackFolder) -> None:
        lock = folder.lock(wait=0, told=lambda: None)
        folder.write_running({"parts": ["of the first"]})
        assert folder.running() == {"parts": ["of the first"]}
        os.close(lock)
        lock = folder.lock(wait=0, told=lambda: None)
        assert folder.running() == {}
        os.close(lock)

    def test_the_guard_of_a_killed_run_is_waited_for(self, folder: StackFolder) -> None:
        read_end, write_end = os.pipe()
        command = [sys.executable, "-c", _KILLED_RUN, str(folder.path), str(read_end)]
        subprocess.run(command, pass_fds=(read_end,), check=False)
        os.close(read_end)
        told: list[int] = []

        def let_the_guard_end() -> None:
            told.append(1)
            os.close(write_end)

        os.close(folder.lock(wait=WAIT, told=let_the_guard_end))
        assert told == [1]

    @pytest.mark.parametrize(
        "use",
        [
            StackFolder.make,
            StackFolder.encryption_key,
            StackFolder.remembered,
            StackFolder.variables,
            StackFolder.holder,
            lambda folder: folder.is_stack,
            lambda folder: folder.lock(wait=0, told=lambda: None),
            lambda folder: folder.remember(mode="paper"),
            lambda folder: folder.write_environment({}),
            lambda folder: folder.write_running({}),
            lambda folder: logs.components(folder.logs),
        ],
        ids=[
            *("make", "encryption_key", "remembered", "variables", "holder", "is_stack", "lock", "remember"),
            *("write_environment", "write_running", "logs"),
        ],
    )
    def test_one_that_can_not_be_used_is_one_error(self, tmp_path: Path, use: Callable[[StackFolder], object]) -> None:
        with pytest.raises(AxisorError, match="File name too long") as raised:
            use(StackFolder(tmp_path / ("x" * 300)))
        assert raised.value.code == "folder_unusable"

    def test_what_a_newer_version_noted_is_not_guessed_at(self, folder: StackFolder) -> None:
        (folder.path / "stack.json").write_text('{"v": 2, "mode": "paper"}')
        with pytest.raises(AxisorError, match="another version"):
            folder.remembered()


class Puppet:
    """A part whose life the test decides."""

    name = "puppet"
    pid = 4711

    def __init__(self, *starts: Exception | None) -> None:
        self.starts = list(starts)
        self.ending: str | None = None
        self.stops = 0

    def start(self, stopping: threading.Event) -> None:
        self.ending = None
        if self.starts and (problem := self.starts.pop(0)):
            self.ending = str(problem)
            raise problem

    def stop(self) -> None:
        self.stops += 1


class Told:
    """What was said, and a wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    def wait_for(self, text: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: any(text in line for line in self.lines), WAIT), self.lines


class TestSupervised:
    def _begin(self, part: Puppet, told: Told) -> Supervised:
        made = Supervised(part, told, lambda: None)
        made.begin()
        return made

    @pytest.mark.parametrize(
        ("problem", "shown"),
        [
            (EmbeddedServerError("no port"), "did not come back: no port"),
            (OSError("no space"), "did not come back: puppet can't be started: OSError: no space"),
            (KeyError("of ours"), "did not come back: puppet can't be started: KeyError: 'of ours'"),
        ],
        ids=["as parts say it", "of the system", "a mistake"],
    )
    def test_a_part_that_ends_is_told_and_started_again(self, problem: Exception, shown: str) -> None:
        told, part = Told(), Puppet(None, problem, None)
        one = self._begin(part, told)
        one.wait_until_up(threading.Event())
        part.ending = "was ended by SIGKILL"
        told.wait_for("puppet was ended by SIGKILL; starting it again in 0.5 s")
        told.wait_for(shown)
        told.wait_for("puppet is back")
        assert (one.state, one.restarts) == ("running", 2)
        one.end()
        one.join()
        assert one.state == "stopped"

    @pytest.mark.parametrize("problem", [EmbeddedServerError("no such program"), OSError("no such program")])
    def test_one_that_never_comes_up_is_not_tried_again(self, problem: Exception) -> None:
        part = Puppet(problem)
        one = self._begin(part, Told())
        with pytest.raises(EmbeddedServerError, match="no such program"):
            one.wait_until_up(threading.Event())
        one.join()
        assert (one.state, one.restarts, part.stops) == ("failed", 0, 1)

    def test_it_can_be_stopped_while_it_waits_to_start_again(self) -> None:
        told, part = Told(), Puppet()
        one = self._begin(part, told)
        one.wait_until_up(threading.Event())
        part.ending = "has ended with status 1"
        told.wait_for("starting it again")
        one.end()
        one.join()
        assert one.restarts == 0


class TestRedis:
    def test_it_comes_back_when_the_disk_has_room_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told, server = Told(), PrivateRedis()
        one = Supervised(parts.Redis(server), told, lambda: None)
        one.begin()
        one.wait_until_up(threading.Event())
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "tempdir", "/where/nothing/can/be/made")
            server.kill()
            told.wait_for("redis did not come back: redis can't be started: FileNotFoundError")
        told.wait_for("redis is back")
        one.end()
        one.join()
        assert one.state == "stopped"


class TestProgram:
    @pytest.fixture
    def home(self, folder: StackFolder) -> Iterator[parts.Home]:
        guard = Guard()
        yield parts.Home(folder.logs, os.environ, 5.0, guard.lifeline)
        guard.fire()

    def test_one_that_can_not_be_watched_does_not_go_on_unwatched(self, home: parts.Home) -> None:
        """It would pass for one that runs."""

        def ready(*_: object) -> bool:
            raise OSError(24, "Too many open files")

        program = parts.Program("server", home, "http.server", "0", "--bind", "127.0.0.1", ready=ready)
        with pytest.raises(OSError, match="Too many open files"):
            program.start(threading.Event())
        assert program.ending == "was ended by SIGTERM"

    @pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="of Linux")
    def test_it_says_how_one_ended_whatever_the_signal(self, home: parts.Home) -> None:
        program = parts.Program("server", home, "http.server", "0", "--bind", "127.0.0.1")
        program.start(threading.Event())
        assert program.pid is not None
        os.kill(program.pid, signal.SIGRTMIN + 1)
        program.stop()
        assert program.ending == f"was ended by signal {signal.SIGRTMIN + 1}"


@pytest.mark.usefixtures("bare")
class TestPlan:
    def test_everything_is_the_folders_own(self, folder: StackFolder) -> None:
        made = make_plan(folder, "paper", Wanted(port=0))
        assert set(made.variables) == {"REDIS_URL", "DATABASE_URL", "LN_MARKETS_API_URL", "ENCRYPTION_KEY"}
        assert made.settings.database_url == f"sqlite:///{folder.database}"
        assert folder.variables() == {}
        folder.write_environment(made.effective)
        assert folder.variables() == made.variables

    def test_its_own_redis_has_a_password_that_stays(self, folder: StackFolder) -> None:
        """Every user of the machine can reach it; what a shell has read of it holds for the next run, too."""
        first = make_plan(folder, "live", Wanted(port=0)).settings.redis_url
        password = urlsplit(first).password
        assert password is not None
        assert len(password) > 40
        second = make_plan(StackFolder(folder.path), "live", Wanted(port=0)).settings.redis_url
        assert urlsplit(second).password == password

    def test_what_is_no_part_of_the_executor_gets_none_of_its_settings(
        self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AXISOR_ENCRYPTION_KEYS", "older")
        monkeypatch.setenv("AXISOR_OF_A_PLUGIN", "token")
        made = make_plan(folder, "paper", Wanted(port=0))
        left_out = made.environment.keys() - made.bare_environment.keys()
        assert left_out == {*made.variables, "AXISOR_ENCRYPTION_KEYS", "AXISOR_OF_A_PLUGIN"}

    def test_a_live_one_trades_where_the_settings_say(self, folder: StackFolder) -> None:
        made = make_plan(folder, "live", Wanted(port=0))
        assert made.settings.exchange_url == "https://api.lnmarkets.com/v3"
        assert made.ports.paper is None

    def test_what_is_set_is_used(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {"REDIS_URL": "redis://r:1/0", "DATABASE_URL": "postgresql://u:p@d/x", "ENCRYPTION_KEY": "theirs"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        made = make_plan(folder, "paper", Wanted(port=0))
        assert set(made.variables) == {"LN_MARKETS_API_URL", "AXISOR_QUEUE_PREFIX"}
        assert made.settings.queue_prefix.startswith("axisor-paper-")
        assert made.environment["DATABASE_URL"] == given["DATABASE_URL"]

    @pytest.mark.parametrize(("prefix", "own"), [("", True), ("theirs", False)])
    def test_paper_never_takes_the_live_queue(
        self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch, prefix: str, own: bool
    ) -> None:
        """An empty variable counts as not set, as for every setting."""
        monkeypatch.setenv("REDIS_URL", "redis://r:1/0")
        monkeypatch.setenv("AXISOR_QUEUE_PREFIX", prefix)
        made = make_plan(folder, "paper", Wanted(port=0))
        assert made.settings.queue_prefix.startswith("axisor-paper-" if own else "theirs")
        assert made.environment["AXISOR_QUEUE_PREFIX"] == made.settings.queue_prefix

    def test_a_shell_and_the_next_command_get_what_was_set(
        self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {
            "REDIS_URL": "redis://r:1/0",
            "DATABASE_URL": "postgresql://u:p$p'@d/x",
            "ENCRYPTION_KEY": "theirs\nof two lines",
            "AXISOR_QUEUE_PREFIX": "ours",
            "AXISOR_OF_A_PLUGIN": "its",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        made = make_plan(folder, "live", Wanted(port=0))
        folder.write_environment(made.effective)
        for name in given:
            monkeypatch.delenv(name)
        assert folder.variables() == given
        script = f'. "$1" && {sys.executable} -c "import json, os; print(json.dumps(dict(os.environ)))"'
        shown = subprocess.run(
            ["sh", "-c", script, "sh", str(folder.environment_file)], capture_output=True, text=True, check=True
        )
        assert json.loads(shown.stdout).items() >= given.items()
        assert stat.S_IMODE(folder.environment_file.stat().st_mode) == 0o600

    def test_another_key_than_the_folders(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        key = folder.encryption_key()
        monkeypatch.setenv("ENCRYPTION_KEY", "another")
        with pytest.raises(AxisorError) as raised:
            make_plan(folder, "live", Wanted(port=0))
        assert raised.value.code == "key_differs"
        assert key not in raised.value.message

    def test_without_the_extra_there_is_no_api(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("axisor_executor.stack.parts.HTTP_EXTRA", ("fastapi", "module_of_nowhere"))
        made = make_plan(folder, "live", Wanted(port=0))
        assert (made.http_missing, made.ports.http) == ("module_of_nowhere", None)

    def test_ports_stay_where_they_can(self, folder: StackFolder) -> None:
        last = {"redis": free_port(), "paper": free_port(), "http": free_port()}
        folder.remember(mode="paper", ports=last)
        assert vars(make_plan(folder, "paper", Wanted()).ports) == last

    def test_the_environment_of_this_process_is_as_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", "redis://before:1/0")
        with plan.in_force({"REDIS_URL": "redis://now:1/0", "DATABASE_URL": "sqlite:///x"}):
            assert os.environ["REDIS_URL"] == "redis://now:1/0"
        assert os.environ["REDIS_URL"] == "redis://before:1/0"
        assert "DATABASE_URL" not in os.environ
