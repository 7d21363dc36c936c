"""The test servers keep their own promises: clean for each test, breakable, and gone with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import redis

from tests.harness import postgres as harness
from tests.harness.paper import PaperExchange
from tests.harness.postgres import Databases, PostgresServer
from tests.harness.run import TestRun

_INNER_TEST = """
import time
from pathlib import Path

def test_hangs(postgres_url, redis_url, paper, test_run, redis_server, paper_server):
    pids = [redis_server.pid, paper_server.process.pid]
    pids.append(int((test_run.directory / "postgres/data/postmaster.pid").read_text().split()[0]))
    Path({report!r}).write_text(f"{{test_run.directory}} {{pids[0]}} {{pids[1]}} {{pids[2]}}\\n")
    time.sleep(600)
"""


def _count(url: str, statement: str) -> int:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.fetchall()[0][0])
    finally:
        connection.close()


def _eventually(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (reached := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return reached


def _dead(pid: str) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False)
    return shown.stdout.strip() in {"", "Z", "Zs"}


class TestDatabases:
    @pytest.mark.parametrize("turn", [1, 2])
    def test_each_test_has_an_empty_one(self, postgres_url: str, turn: int) -> None:
        assert _count(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert _count(postgres_url, "CREATE TABLE t (); SELECT 1") == 1

    def test_it_writes_to_disk_and_has_a_zone_of_its_own(self, postgres_url: str) -> None:
        query = (
            "SELECT count(*) FROM pg_settings WHERE (name, setting) IN (('fsync', 'on'), ('TimeZone', 'Asia/Tokyo'))"
        )
        assert _count(postgres_url, query) == 2

    def test_a_template_is_made_once(self, postgres: Databases, test_run: TestRun) -> None:
        made = []

        def prepare(url: str) -> None:
            made.append(url)
            assert _count(url, "CREATE TABLE t (n int); INSERT INTO t VALUES (7); SELECT n FROM t") == 7

        name = f"template_{os.getpid()}"
        for _ in range(2):
            with test_run.lock("templates"):
                database = postgres.create(template=postgres.template(name, prepare))
            assert _count(postgres.url(database), "SELECT n FROM t") == 7
            postgres.drop(database)
        assert len(made) == 1
        postgres.drop(name)

    def test_the_fixture_gives_one_of_each_kind(self, database_url: str, request: pytest.FixtureRequest) -> None:
        scheme = {"sqlite": "sqlite:////", "postgres": "postgresql://"}
        assert database_url.startswith(scheme[request.node.callspec.params["database_url"]])


class TestOwnServer:
    def test_what_was_committed_survives_a_kill(self, own_postgres: PostgresServer) -> None:
        url = own_postgres.databases.url()
        assert _count(url, "CREATE TABLE t (n int); INSERT INTO t VALUES (1); SELECT 1") == 1

        open_connection = psycopg2.connect(url)
        own_postgres.kill()
        assert not own_postgres.running
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(url)
        own_postgres.start()
        open_connection.close()

        assert _count(url, "SELECT count(*) FROM t") == 1
        own_postgres.restart()
        assert _count(url, "SELECT count(*) FROM t") == 1

    def test_the_package_is_used_where_nothing_is_installed(
        self, test_run: TestRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        *_, packaged = harness._candidates()
        monkeypatch.setattr(harness, "_candidates", lambda: iter([Path("/nowhere/bin"), packaged]))

        with test_run.folder("packaged") as folder, PostgresServer(folder) as server:
            assert _count(server.databases.url(), "SELECT 42") == 42

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be shut out from what another user can't reach")
    def test_programs_in_a_private_folder_are_copied(
        self, test_run: TestRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        *_, packaged = harness._candidates()
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        package = packaged.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            (private / part.name).symlink_to(part)
        shut_out = private / package.name / "pginstall" / "bin"
        monkeypatch.setattr(harness, "_candidates", lambda: iter([shut_out]))

        with test_run.folder("copied") as folder, PostgresServer(folder) as server:
            assert _count(server.databases.url(), "SELECT 42") == 42
            assert (folder / "programs" / package.name).is_dir()


class TestRedisAndPaper:
    @pytest.mark.parametrize("turn", [1, 2])
    def test_each_test_has_an_empty_redis(self, redis_url: str, turn: int) -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            client.set("key", turn)

    @pytest.mark.parametrize("turn", [1, 2])
    def test_each_test_has_an_empty_exchange(self, paper: PaperExchange, turn: int) -> None:
        assert paper.faults() == paper.effects() == paper.requests() == []
        account = paper.create_account(f"alice-{turn}", balance=5_000)
        assert account.secret not in repr(account)
        assert paper.balance(account) == 5_000
        assert paper.trades(account) == []
        paper.add_fault("stall", account=account, mutating=True, seconds=2)
        assert paper.faults()[0]["account"] == account.id
        assert paper.settings(windowSeconds=5)["windowSeconds"] == 5
        assert paper.set_price(51_000.5) == []


class TestTheEndOfARun:
    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
    def test_nothing_is_left(
        self, ending: signal.Signals, workers: int, tmp_path: Path, pytestconfig: pytest.Config
    ) -> None:
        """An inner run of pytest, ended while its test hangs, takes its servers and its folder with it."""
        report = tmp_path / "report"
        inner = tmp_path / "test_inner.py"  # not among the real ones, where another run would collect it
        inner.write_text(_INNER_TEST.format(report=str(report)))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AXISOR"))}
        options = ["-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", str(workers), "-c", "pyproject.toml"]
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, str(inner)],
            cwd=pytestconfig.rootpath,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as run:
            try:
                assert _eventually(lambda: report.exists() and report.read_text().endswith("\n"))
                folder, *pids = report.read_text().split()
                assert not any(map(_dead, pids))
                # Ctrl-C reaches the terminal's whole foreground group; the kernel kills one process.
                os.killpg(run.pid, ending) if ending is signal.SIGINT else run.send_signal(ending)
                run.wait(30)
            finally:
                run.kill()

        assert _eventually(lambda: all(map(_dead, pids)))
        assert _eventually(lambda: not Path(folder).exists())
