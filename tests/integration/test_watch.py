"""The watch: a worker that fell silent and a queue that backs up are alerts, each once over all processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from axisor_executor.hookspecs import hookimpl
from axisor_executor.ids import uuid7
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.watch import CALM, EVERY_SECONDS, Watch
from axisor_executor.shared import Shared
from axisor_executor.workers import SILENT_SECONDS
from tests.harness.world import World, plugin

ENTRY = {"side": "b", "quantity": 100}


class Watching:
    """A process that is elected: its watch, on a clock that the test moves, and what its observers were told."""

    def __init__(self, world: World, *, redis_url: str | None = None) -> None:
        self.world = world
        self.told: list[Alert] = []
        self.now = 0.0
        self.shared = Shared(redis_url or world.settings.redis_url, world.settings.queue_prefix)
        self.desk = AlertDesk(self.shared, self.told.append, cooldown_seconds=300)
        self.watch = Watch(world.settings, world.storage, self.desk, clock=lambda: self.now)

    def look(self, times: int = 1) -> list[str]:
        """Look so often; return the kinds of all alerts told by this process."""
        for _ in range(times):
            self.now += EVERY_SECONDS
            with self.world.storage.connection():
                self.watch.look()
        assert self.desk.flush(10)
        return [alert.kind for alert in self.told]


@pytest.fixture
def here(world: World) -> Iterator[Watching]:
    made = Watching(world)
    yield made
    made.shared.close()


@pytest.fixture
def there(world: World) -> Iterator[Watching]:
    made = Watching(world)
    yield made
    made.shared.close()


def worker(world: World, *, silent: float) -> str:
    """Write the row of a worker that showed itself ``silent`` seconds ago; return its id."""
    worker_id = uuid7()
    world.storage.run(
        "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at) VALUES (?,'host1',4711,{later},{later})",
        worker_id,
        -silent,
        -silent,
    )
    return worker_id


class TestWorkers:
    def test_one_that_fell_silent_is_told_once(self, world: World, here: Watching, there: Watching) -> None:
        silent = worker(world, silent=SILENT_SECONDS + 5)
        worker(world, silent=SILENT_SECONDS - 5)
        assert here.look(3) == ["worker_down"]
        assert there.look(3) == []
        (alert,) = here.told
        assert (alert.severity, alert.details["worker"], alert.account_id) == ("error", silent, None)
        assert "Worker host1 pid 4711 has been silent since" in alert.message

    def test_several_do_not_hide_one_another(self, world: World, here: Watching) -> None:
        lost = {worker(world, silent=40), worker(world, silent=50)}
        assert here.look() == ["worker_down", "worker_down"]
        assert {alert.details["worker"] for alert in here.told} == lost

    def test_one_that_comes_back_and_falls_silent_again_is_told_again(self, world: World, here: Watching) -> None:
        back = worker(world, silent=60)
        assert len(here.look()) == 1
        world.storage.run("UPDATE axisor_workers SET heartbeat_at = {later} WHERE id = ?", -40, back)
        assert len(here.look()) == 2

    def test_one_that_stopped_as_it_should_is_none(self, world: World, here: Watching) -> None:
        world.parts.presence.announce()
        world.parts.presence.retire()
        assert here.look(2) == []

    def test_what_is_long_past_is_no_news(self, world: World, here: Watching) -> None:
        worker(world, silent=90_000)
        assert here.look() == []

    def test_once_by_process_while_redis_is_away(self, world: World) -> None:
        worker(world, silent=40)
        alone = Watching(world, redis_url="redis://127.0.0.1:1")
        assert alone.look(3) == ["worker_down"]

    def test_a_real_one_that_was_killed(self, world: World, here: Watching, tmp_path: Path) -> None:
        with world.worker(tmp_path / "log") as child:
            (row,) = world.storage.rows("SELECT id, pid FROM axisor_workers")
            assert here.look() == []
            child.kill()
        world.storage.run("UPDATE axisor_workers SET heartbeat_at = {later}", -SILENT_SECONDS - 1)
        assert here.look(2) == ["worker_down"]
        assert (here.told[0].details["worker"], here.told[0].details["pid"]) == (row[0], row[1])


class TestBacklog:
    @pytest.fixture
    def jobs(self, world: World) -> list[str]:
        """Five executions that nobody carries out, above a limit of four."""
        world.restart(alert_queue_depth=4)
        automations = [world.automation(world.account(), "auto_entry", ENTRY) for _ in range(5)]
        return [world.enqueue(world.job(one)) for one in automations]

    @pytest.mark.usefixtures("jobs")
    def test_it_is_told_once_and_by_its_second_look(self, world: World) -> None:
        here, there = Watching(world), Watching(world)
        assert here.look() == [], "one look proves nothing"
        assert here.look(5) == ["queue_backlog"]
        assert there.look(5) == []
        (alert,) = here.told
        assert (alert.severity, alert.details["lane"], alert.details["queued"]) == ("error", "default", 5)

    def test_the_next_one_is_told_again(self, world: World, jobs: list[str]) -> None:
        here, there = Watching(world), Watching(world)
        assert here.look(2) == ["queue_backlog"]
        world.storage.run("UPDATE axisor_executions SET status = 'cancelled'")
        assert there.look() == [], "whoever looks sees that it is over"
        world.storage.run("UPDATE axisor_executions SET status = 'queued'")
        assert here.look(2) == ["queue_backlog"] * 2

    def test_one_that_hovers_around_the_limit_is_one(self, world: World, jobs: list[str]) -> None:
        here = Watching(world)
        here.look(2)
        assert len(jobs) - 1 > CALM * 4
        for _ in range(3):
            world.storage.run("UPDATE axisor_executions SET status = 'cancelled' WHERE id = ?", jobs[0])
            here.look(2)
            world.storage.run("UPDATE axisor_executions SET status = 'queued' WHERE id = ?", jobs[0])
            here.look(2)
        assert here.look() == ["queue_backlog"]

    def test_the_oldest_one_counts_by_itself_and_on_the_guards_lane_critically(self, world: World) -> None:
        trade = world.automation(world.account(), "margin_guard", {"action": "close_position"})
        queued = world.enqueue(world.job(trade, trade_id="t"))
        here = Watching(world)
        assert here.look(3) == []
        world.storage.run(
            "UPDATE axisor_executions SET created_at = {later}, sent_at = {later} WHERE id = ?", -70, -70, queued
        )
        assert here.look(3) == ["queue_backlog"]
        assert (here.told[0].severity, here.told[0].details["lane"]) == ("critical", "protect")

    def test_what_waited_for_its_account_is_not_old_when_it_is_queued(self, world: World) -> None:
        queued = world.enqueue(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
        world.storage.run("UPDATE axisor_executions SET created_at = {later} WHERE id = ?", -300, queued)
        world.parts.intake.wake(world.execution(queued))
        assert Watching(world).look(3) == []


def test_the_elected_recovery_looks(world: World) -> None:
    heard = threading.Event()

    class Ear:
        @hookimpl
        def axisor_alert(self, alert: Alert) -> None:
            heard.set()

    world.restart(plugin("ear", Ear()))
    worker(world, silent=40)
    world.parts.recovery.start()
    assert heard.wait(30)
    world.parts.recovery.stop()
    assert world.alerts == ["worker_down"]
