"""Real workers: how they stop, what they keep free for guards, and when they refuse to start."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from axisor_executor import api, standing
from axisor_executor.embedded import ChildProcess
from axisor_executor.errors import EmbeddedServerError
from axisor_executor.storage import schema
from tests.harness.postgres import writer
from tests.harness.waiting import until
from tests.harness.world import Account, World

pytestmark = pytest.mark.slow  # real workers that start and stop: the operating system's part, not Python's

ENTRY = {"side": "b", "quantity": 100}
OPENING = "POST /v3/futures/isolated/trade"
LATE = "3"  # the exit code of a worker whose runs did not end in time

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgres_only = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def account(world: World) -> Account:
    """An account in a world where what a dead worker leaves behind is taken up soon."""
    world.paper.settings(windowSeconds=2)
    quick: dict[str, Any] = {"lease_seconds": 1.5, "recovery_seconds": 0.5}
    world.restart(signature_window_seconds=2, signature_margin_seconds=0.5, **quick)
    return world.account()


def opened(world: World) -> list[dict[str, Any]]:
    """The requests for new trades that the exchange has got so far."""
    return [row for row in world.paper.requests(mutating=True) if f"{row['method']} {row['path']}" == OPENING]


def ended(world: World, execution_id: str) -> Callable[[], bool]:
    return lambda: world.execution(execution_id).is_over


class TestStopping:
    def start(self, world: World, account: Account, worker: ChildProcess) -> str:
        """Let the worker send an entry to which the exchange has not answered yet."""
        execution_id = world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
        worker.wait_until(lambda: opened(world), what="a request")
        return execution_id

    def carried_out_once(self, world: World, account: Account, execution_id: str, output: Path) -> None:
        """Start another worker, and see that it leaves exactly one trade."""
        with world.worker(output) as worker:
            worker.wait_until(ended(world, execution_id), timeout=30, what="the execution's end")
            result = api.get_result(execution_id)
            assert result["status"] == "completed", result
            worker.wait_until(lambda: set(world.parts.queue.sizes().values()) == {0}, what="an empty queue")
        (trade,) = world.paper.trades(account.paper)
        assert result["tradeId"] == trade["id"]
        assert len(opened(world)) == 1, "nor was it sent twice"
        assert len(world.trade_log()) == 1

    @pytest.mark.parametrize("fault", ["latency", "act_late"])
    def test_a_run_that_waits_for_an_answer_is_finished(
        self, world: World, account: Account, tmp_path: Path, fault: str
    ) -> None:
        world.paper.add_fault(fault, route=OPENING, seconds=1.5, count=1)
        with world.worker(tmp_path / "first.log") as worker:
            execution_id = self.start(world, account, worker)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
            assert "Worker stopped" in worker.text()
            assert "Traceback" not in worker.text()
        assert world.execution(execution_id).status == "completed"
        assert world.storage.rows("SELECT * FROM axisor_leases WHERE account_id = ?", account.id) == []
        self.carried_out_once(world, account, execution_id, tmp_path / "second.log")

    def test_what_waits_behind_it_is_left_to_the_next_worker(
        self, world: World, account: Account, tmp_path: Path
    ) -> None:
        world.paper.add_fault("latency", route=OPENING, seconds=1.5, count=1)
        with world.worker(tmp_path / "first.log", threads=1) as worker, world.changes() as changes:
            first = self.start(world, account, worker)
            others = [world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY))) for _ in range(3)]
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
            assert not all(world.execution(one).is_over for one in others)
            with world.worker(tmp_path / "second.log") as second:
                for one in (first, *others):
                    second.wait_until(ended(world, one), timeout=30, what="all ends")
        assert [api.get_result(one)["status"] for one in (first, *others)] == ["completed"] * 4
        assert changes.kinds == ["open"] * 4

    def test_from_the_moment_on_that_it_is_told_to_it_keeps_no_more(
        self, world: World, account: Account, tmp_path: Path
    ) -> None:
        """A guard would lie in it as long as the slowest run goes on."""
        world.paper.add_fault("latency", route=OPENING, seconds=1.5, count=1)
        broker: Any = world.parts.queue.broker
        with world.worker(tmp_path / "first.log", threads=4) as worker:
            self.start(world, account, worker)
            worker.send_signal(signal.SIGTERM)
            worker.wait_for_line("Shutting down")
            world.enqueue(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
            line = broker.keys("default").line
            until(lambda: broker.client.llen(line) == 1)  # what came with the bell that it was waiting for is put back
            in_line = []
            while worker.running:
                in_line.append(broker.client.llen(line))
        assert set(in_line) == {1}

    @pytest.mark.parametrize("fault", ["latency", "act_late"])
    def test_one_that_takes_too_long_is_left_to_the_next_worker(
        self, world: World, account: Account, tmp_path: Path, fault: str
    ) -> None:
        # The exchange may act as late as its window allows: only later than that would it be a request declared dead.
        world.paper.settings(windowSeconds=5)
        world.restart(signature_window_seconds=5)
        world.paper.add_fault(fault, route=OPENING, seconds=3, count=1)
        with world.worker(tmp_path / "first.log", AXISOR_SHUTDOWN_SECONDS="0.5") as worker:
            execution_id = self.start(world, account, worker)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == int(LATE)
            (request,) = opened(world)
            assert request["status"] is None, "it ended before the answer came"
        assert world.execution(execution_id).status == "running"
        self.carried_out_once(world, account, execution_id, tmp_path / "second.log")

    def test_a_second_signal_ends_it_at_once(self, world: World, account: Account, tmp_path: Path) -> None:
        world.paper.add_fault("latency", route=OPENING, seconds=8, count=1)
        with world.worker(tmp_path / "first.log") as worker:
            execution_id = self.start(world, account, worker)
            worker.send_signal(signal.SIGTERM)
            worker.wait_for_line("Stopping worker process|Shutting down")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) != 0
            (request,) = opened(world)
            assert request["status"] is None, "it ended before the answer came"
        self.carried_out_once(world, account, execution_id, tmp_path / "second.log")


FULL = """
import os, sys
number = sys.stderr.fileno()  # of the pipe to the master, which reads whole frames
os.set_blocking(number, False)
try:
    while True:
        os.write(number, b"\\0\\0\\0\\1.")
except BlockingIOError:
    os.set_blocking(number, True)
"""


@sqlite_only
def test_one_stops_although_nobody_reads_what_it_says(world: World, tmp_path: Path) -> None:
    """Dramatiq logs from its signal handler, before it does what it was told to."""
    (tmp_path / "full.py").write_text(FULL)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b".")
    os.set_blocking(writing, True)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "dramatiq", "axisor_executor.actors", "full", "--processes", "1", "--threads", "4"]
    env = world.environment(AXISOR_SHUTDOWN_SECONDS="5", PYTHONPATH=path)
    with subprocess.Popen(command, stdout=writing, stderr=writing, env=env, start_new_session=True) as master:
        os.close(writing)
        try:
            until(lambda: standing.workers(world.storage), timeout=30)
            master.send_signal(signal.SIGTERM)
            until(lambda: not standing.workers(world.storage), timeout=30)
            assert master.poll() is None, "it has lines that nobody has read"
            with os.fdopen(reading, "rb") as stream:
                assert b"Sending signal 'SIGTERM' to subprocesses" in stream.read()
            assert master.wait(30) == 0, "its worker's runs ended in time"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(master.pid, signal.SIGKILL)


class TestLanes:
    def test_a_flood_of_slow_entries_does_not_keep_a_guard_from_starting(
        self, world: World, account: Account, tmp_path: Path
    ) -> None:
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        busy = [world.account(user_id="user456", name=f"Busy {number}") for number in range(6)]
        entries = [world.automation(one, "auto_entry", ENTRY) for one in busy]
        before = len(opened(world))
        world.paper.add_fault("latency", route=OPENING, seconds=6, count=3)
        with world.worker(tmp_path / "worker.log", threads=4) as worker:
            flood = [world.enqueue(world.job(one, user_id="user456")) for one in entries]
            worker.wait_until(lambda: len(opened(world)) - before == 3, what="three slow entries")
            guarded = world.enqueue(world.job(guard, trade_id=trade_id))
            worker.wait_until(ended(world, guarded), timeout=20, what="the guard's end")
            slow = opened(world)[before:]
            assert [row["status"] for row in slow] == [None] * 3, "the guard was done while they were still waiting"
            for one in flood:
                worker.wait_until(ended(world, one), timeout=30, what="the entries' end")
        assert api.get_result(guarded)["status"] == "completed"
        assert [api.get_result(one)["status"] for one in flood] == ["completed"] * 6
        closing = next(row for row in world.paper.requests(mutating=True) if row["path"].endswith("/close"))
        order = sorted(row["seq"] for row in [closing, *opened(world)[before:]])
        assert order.index(closing["seq"]) == 3, "no fourth thread took an entry meanwhile"


@sqlite_only
def test_one_that_watches_starts_again_with_what_was_changed(world: World, tmp_path: Path) -> None:
    recipe = re.search(r"dramatiq (.+ --watch .+) \$\(ARGS\)", Path("Makefile").read_text())
    assert recipe
    source = tmp_path / "source"
    source.mkdir()
    options = [str(source) if one == "axisor_executor" else one for one in shlex.split(recipe[1])]
    command = [Path(sys.executable).with_name("dramatiq"), *options, "--processes", "1", "--threads", "4"]
    with ChildProcess(command, output=tmp_path / "worker.log", env=world.environment()) as worker:
        worker.wait_for_line("Worker ready", timeout=30)
        before = worker.mark()
        (source / "changed.py").write_text("CHANGED = True")
        worker.wait_for_line("Worker ready", timeout=30, since=before)


@sqlite_only
def test_one_without_a_key_says_so(world: World, tmp_path: Path) -> None:
    with world.worker(tmp_path / "worker.log", ENCRYPTION_KEY="") as worker:
        worker.wait_for_line("❌ .* Alert credential_failure: ENCRYPTION_KEY is not set")
        assert [one["keyIds"] for one in standing.workers(world.storage)] == [[]]


PLUGIN = """
from axisor_executor import AutomationConfig, AutomationHandler, hookimpl, wait

class Handler(AutomationHandler[AutomationConfig]):
    type, title, actions, config_model = "same_type", "Same", {"go": "default"}, AutomationConfig

    def decide(self, context):
        return wait("nothing")

@hookimpl
def axisor_register_automations(register):
    register(Handler())
"""


def install(site: Path, name: str, version: str) -> None:
    """Put a distribution with one plugin into a folder, as pip would."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(PLUGIN)
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[axisor_executor]\n{module} = {module}\n")


def refusal(world: World, output: Path, **env: Any) -> str:
    """Return the one line with which a worker refuses to start."""
    with (
        pytest.raises(EmbeddedServerError, match="ended with status"),
        world.worker(output, **env),
    ):
        pytest.fail("it must not start")
    text = output.read_text()
    assert "Traceback" not in text, text
    (line,) = [line for line in text.splitlines() if "The worker can't start" in line]
    return line


@postgres_only
def test_one_asks_for_no_right_and_no_lock_that_it_does_not_need(
    world: World, account: Account, tmp_path: Path
) -> None:
    execution_id = world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
    url = world.settings.require_database()
    with writer(url) as its_url, closing(psycopg2.connect(url)) as migrating:
        migrating.cursor().execute(f"SELECT pg_advisory_xact_lock({schema._LOCK})")
        with world.worker(tmp_path / "worker.log", DATABASE_URL=its_url) as worker:
            worker.wait_until(ended(world, execution_id), timeout=30, what="the execution's end")
    assert world.execution(execution_id).status == "completed"


@postgres_only
def test_one_that_can_only_read_does_not_start(world: World, tmp_path: Path) -> None:
    url = f"{world.settings.require_database()}?options=-c%20default_transaction_read_only%3Don"
    line = refusal(world, tmp_path / "worker.log", DATABASE_URL=url)
    assert line.endswith("the database failed: cannot execute INSERT in a read-only transaction")


def test_nor_does_one_that_is_refused_its_row(world: World, tmp_path: Path) -> None:
    world.storage.run("ALTER TABLE axisor_workers RENAME TO elsewhere")
    try:
        line = refusal(world, tmp_path / "worker.log")
    finally:
        world.storage.run("ALTER TABLE elsewhere RENAME TO axisor_workers")
    assert re.search("can't start: the database (failed|refused): .*axisor_workers", line)


@sqlite_only
class TestRefusingToStart:
    def test_too_few_database_connections(self, world: World, tmp_path: Path) -> None:
        line = refusal(world, tmp_path / "worker.log", AXISOR_DB_POOL="7")
        assert "AXISOR_DB_POOL is 7, 4 threads need at least 8" in line
        assert standing.workers(world.storage) == [], "nobody is told of a worker that is none"

    def test_just_enough_of_them(self, world: World, tmp_path: Path) -> None:
        with world.worker(tmp_path / "worker.log", AXISOR_DB_POOL="8") as worker:
            assert worker.running

    @pytest.mark.parametrize(
        ("options", "why"),
        [({"queues": ["guard", "default"]}, "--queues names 'guard'"), ({"threads": 0}, "--threads is 0")],
        ids=["no such lane", "no thread"],
    )
    def test_one_that_would_serve_nothing(
        self, world: World, tmp_path: Path, options: dict[str, Any], why: str
    ) -> None:
        assert why in refusal(world, tmp_path / "worker.log", **options)
        assert standing.workers(world.storage) == []

    def test_one_for_a_single_lane_tells_which(self, world: World, tmp_path: Path) -> None:
        with world.worker(tmp_path / "worker.log", queues=["protect"]) as worker:
            worker.wait_for_line("Worker ready: 4 threads, lanes: protect, automation types: ")
            assert [one["queues"] for one in standing.workers(world.storage)] == [["protect"]]

    def test_two_plugins_for_one_type(self, world: World, tmp_path: Path) -> None:
        site = tmp_path / "site"
        site.mkdir()
        install(site, "first-one", "1.5")
        install(site, "second-one", "2.5")
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        line = refusal(world, tmp_path / "worker.log", PYTHONPATH=path)
        assert "'same_type' is registered by two plugins: first-one 1.5" in line
        assert "second-one 2.5" in line
        output = tmp_path / "again.log"
        with world.worker(output, PYTHONPATH=path, AXISOR_DISABLED_PLUGINS="second-one") as worker:
            assert "same_type" in worker.wait_for_line("Worker ready").string
