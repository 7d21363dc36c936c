"""Child processes and the private Redis: they start, they can be broken, and nothing outlives its parent."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from axisor_executor.embedded import ChildProcess, PrivateRedis, find_redis_server, free_port, redis_url
from axisor_executor.errors import AxisorError, EmbeddedServerError

_PARENT = """
import sys, time
from pathlib import Path
from axisor_executor.embedded import ChildProcess, PrivateRedis
command = ["sh", "-c", "sleep 600 & echo $!; wait"]
with PrivateRedis() as server, ChildProcess(command, output=Path(sys.argv[1])) as child:
    grandchild = child.wait_for_line("^[0-9]+$")[0]
    print(server.pid, child.pid, grandchild, Path("/proc", str(server.pid), "cwd").resolve())
    sys.stdout.flush()
    time.sleep(600)
"""


def _alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() not in ("", "Z", "Zs")


def _eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (reached := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return reached


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


@pytest.fixture
def parent(output: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python with a private Redis and a child of its own, ready to be ended in some bad way."""
    command = [sys.executable, "-c", _PARENT, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        yield process
        process.kill()


class TestNothingIsLeftBehind:
    @pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks up the server's folder in /proc")
    @pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_parent_ended_by_a_signal(self, parent: subprocess.Popen[str], ending: signal.Signals) -> None:
        assert parent.stdout
        *numbers, folder = parent.stdout.readline().split()
        children = [int(number) for number in numbers]
        assert all(map(_alive, children))
        assert Path(folder).is_dir()

        os.killpg(parent.pid, ending)

        assert _eventually(lambda: not any(map(_alive, children)))
        assert _eventually(lambda: not Path(folder).exists())

    def test_stop_ends_grandchildren_too(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "sleep 600 & echo $!; wait"], output=output) as child:
            grandchild = int(child.wait_for_line("^[0-9]+$")[0])

        assert not child.running
        assert _eventually(lambda: not _alive(grandchild))

    def test_what_a_leader_leaves_is_ended_once_its_end_is_seen(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "sleep 600 & echo $!"], output=output) as child:
            grandchild = int(child.wait_for_line("^[0-9]+$")[0])

            assert child.wait(5) == 0
            assert _eventually(lambda: not _alive(grandchild))

    def test_a_child_outlives_the_thread_that_started_it(self, output: Path) -> None:
        child = ChildProcess(["sleep", "600"], output=output)
        starter = threading.Thread(target=child.start)
        starter.start()
        starter.join()

        with pytest.raises(EmbeddedServerError, match="still runs"):
            child.wait(0.3)
        child.stop()

    def test_a_failed_start_leaves_nothing(self, tmp_path: Path, output: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()

        with pytest.raises(EmbeddedServerError, match="no program 'no-such-program'"):
            ChildProcess(["no-such-program"], output=output, remove=folder).start()
        with pytest.raises(FileNotFoundError):
            ChildProcess(["sleep", "600"], output=output, cwd=tmp_path / "nowhere", remove=folder).start()

        assert not folder.exists()


class TestChildProcess:
    def test_output_of_both_streams_is_captured(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "echo out; echo problem >&2; sleep 600"], output=output) as child:
            assert child.wait_for_line(r"^pro(b)lem$")[1] == "b"
            assert child.text() == "out\nproblem\n"
            assert child.text(since=child.mark()) == ""

    def test_half_a_line_is_not_a_line(self, output: Path) -> None:
        with (
            ChildProcess(["sh", "-c", "printf ready; sleep 600"], output=output) as child,
            pytest.raises(EmbeddedServerError, match=r"did not reach the line 'ready' within 0\.2 s"),
        ):
            child.wait_for_line("ready", timeout=0.2)

    def test_an_early_end_is_told_with_the_last_output(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "echo no luck; exit 3"], output=output, name="helper") as child:
            with pytest.raises(EmbeddedServerError, match=r"(?s)^helper ended with status 3 before.*no luck$"):
                child.wait_for_line("ready")
            assert child.returncode == 3

    def test_a_child_that_will_not_stop_is_killed(self, output: Path) -> None:
        command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
        with ChildProcess(command, output=output, grace=0.3) as child:
            child.wait_for_line("ready")
            assert child.stop() == -signal.SIGKILL

    def test_a_paused_child_can_be_stopped(self, output: Path) -> None:
        with ChildProcess(["sleep", "600"], output=output) as child:
            child.pause()
            assert child.running
            assert child.stop() == -signal.SIGTERM

    def test_kill_is_at_once(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "trap 'echo goodbye' TERM; echo ready; sleep 600"], output=output) as child:
            child.wait_for_line("ready")
            child.kill()
            assert child.returncode == -signal.SIGKILL
            assert "goodbye" not in child.text()

    def test_environment_and_folder(self, output: Path, tmp_path: Path) -> None:
        env = {"PATH": os.environ["PATH"], "COLOUR": "green"}
        with ChildProcess(["sh", "-c", "pwd; echo $COLOUR $HOME"], output=output, env=env, cwd=tmp_path) as child:
            assert child.wait(5) == 0
            assert child.text().split() == [str(tmp_path.resolve()), "green"]

    def test_it_is_no_leader_of_our_terminal_and_reads_nothing(self, output: Path) -> None:
        with ChildProcess(["sh", "-c", "cat; echo end of input"], output=output) as child:
            child.wait_for_line("end of input")
            assert child.pid != os.getpgrp()

    def test_an_unstarted_child(self, output: Path) -> None:
        child = ChildProcess(["sleep", "1"], output=output)
        assert not child.running
        assert child.returncode is None
        assert child.stop() is None
        with pytest.raises(EmbeddedServerError, match="not started"):
            _ = child.pid
        with pytest.raises(EmbeddedServerError, match="not started"):
            child.wait()

    def test_it_starts_once(self, output: Path) -> None:
        with (
            ChildProcess(["sleep", "600"], output=output) as child,
            pytest.raises(EmbeddedServerError, match="already"),
        ):
            child.start()


class TestPrivateRedis:
    def test_it_is_a_real_server_that_keeps_nothing(self) -> None:
        with PrivateRedis() as server, redis.Redis.from_url(server.url) as client:
            assert client.info("server")["process_id"] == server.pid
            assert client.config_get("save")["save"] == ""
            assert client.config_get("appendonly")["appendonly"] == "no"
            assert client.eval("return redis.call('TIME')", 0)
        assert not server.running

    def test_a_killed_server_comes_back_empty_on_its_port(self) -> None:
        with PrivateRedis() as server, redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
            url = server.url
            server.kill()
            assert not server.running
            with pytest.raises(redis.ConnectionError):
                client.ping()

            server.start()

            assert server.url == url
            assert client.get("key") is None

    def test_a_paused_server_answers_nothing_until_it_goes_on(self) -> None:
        with PrivateRedis() as server, redis.Redis.from_url(server.url, socket_timeout=2, retry=None) as client:
            client.set("key", "value")
            server.pause()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            server.resume()
            assert client.get("key") == b"value"

    def test_start_and_stop_may_be_repeated(self) -> None:
        with PrivateRedis() as server:
            pid = server.pid
            assert server.start().pid == pid
        server.stop()
        with pytest.raises(EmbeddedServerError, match="not running"):
            server.kill()

    def test_a_fixed_port_in_use_is_an_error(self) -> None:
        with PrivateRedis() as server, pytest.raises(EmbeddedServerError, match="already in use"):
            PrivateRedis(port=server.port).start()

    def test_a_password_is_asked_for_and_shown_to_nobody(self, tmp_path: Path) -> None:
        password = secrets.token_urlsafe(32)
        output = tmp_path / "redis.log"
        with PrivateRedis(password=password, output=output) as server:
            assert password in server.url
            with redis.Redis.from_url(server.url) as client:
                assert client.set("price", "1")
                config = Path(client.info("server")["config_file"])
            for url in (redis_url(server.port), redis_url(server.port, "another")):
                with redis.Redis.from_url(url) as other, pytest.raises(redis.AuthenticationError):
                    other.set("price", "2")
            assert stat.S_IMODE(config.stat().st_mode) == 0o600
            arguments = subprocess.run(
                ["ps", "-o", "args=", "-p", str(server.pid)], capture_output=True, text=True, check=True
            ).stdout
            assert "redis" in arguments or "valkey" in arguments
            assert password not in arguments + output.read_text()
            server.kill()
            server.start()
            with redis.Redis.from_url(server.url) as client:
                assert client.ping()
        assert not config.exists()

    def test_further_options(self) -> None:
        with PrivateRedis(options=["--maxmemory", "3mb"]) as server, redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory")["maxmemory"] == str(3 * 1024 * 1024)


class TestFindingAServer:
    def test_none_at_all_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr("axisor_executor.embedded.redis._packaged_server", lambda: None)
        with pytest.raises(EmbeddedServerError, match=r"axisor-executor\[embedded\]") as caught:
            find_redis_server()
        assert isinstance(caught.value, AxisorError)

    @pytest.mark.parametrize("shim", ["exit 127", "echo 'Redis server v=2.8.24 sha=0'", "kill -KILL $$"])
    def test_one_on_path_that_does_not_serve_is_passed_over(
        self, shim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "redis-server"
        program.write_text(f"#!/bin/sh\n{shim}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

        assert find_redis_server() != program

    def test_a_working_one_on_path_is_preferred(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = tmp_path / "redis-server"
        program.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64'\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

        assert find_redis_server() == program


class TestFreePort:
    def test_nothing_listens_there(self) -> None:
        with socket.create_server(("127.0.0.1", free_port())):
            pass

    def test_it_is_outside_the_range_of_outgoing_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("axisor_executor.embedded.redis._first_outgoing_port", lambda: 20_000)
        assert all(10_240 <= free_port() < 20_000 for _ in range(50))

    def test_any_port_where_that_range_is_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("axisor_executor.embedded.redis._first_outgoing_port", lambda: 1_024)
        assert free_port() > 0
