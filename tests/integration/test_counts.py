"""What processes count, in the database: the sum never falls, and nothing is counted twice, whoever comes and goes."""

from __future__ import annotations

import signal
from collections import Counter as Tally
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.observe import metrics
from axisor_executor.observe.counting import Counter, Counts, Labels
from axisor_executor.storage import counts as stored
from axisor_executor.storage.counts import GONE, Flusher
from tests.harness.world import World

SOME = Counter("axisor_some_total", "Some", ("label",))


def count(of: Counts, label: str, amount: int = 1) -> None:
    """Count as a metric does, but in this ``Counts``."""
    of.add(SOME, (label,), amount)


def total(world: World) -> dict[Labels, float]:
    """Return what all have counted."""
    return series(world, SOME.name)


def series(world: World, name: str) -> dict[Labels, Any]:
    """Return the first number of each series of a metric."""
    return {tuple(labels): cells[0] for labels, cells in stored.total(world.storage).get(name, [])}


def forget(world: World) -> None:
    """Let the last sign of every process be a day old."""
    world.storage.run("UPDATE axisor_counts SET counted_at = {later} WHERE process <> ?", -90_000, GONE)


def rows(world: World) -> int:
    """Return how many rows there are, but for the one of those that are gone."""
    return len(world.storage.rows("SELECT 1 FROM axisor_counts WHERE process <> ?", GONE))


STEPS = st.lists(
    st.tuples(st.sampled_from(["count", "flush", "retire", "die", "day"]), st.integers(0, 2)), min_size=1, max_size=25
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_sum_never_falls_and_is_what_was_written(world: World, steps: list[tuple[str, int]]) -> None:
    world.storage.run("DELETE FROM axisor_counts")
    processes = [Counts() for _ in range(3)]
    flushers = [Flusher(world.storage, one) for one in processes]
    since, written, before = [0, 0, 0], 0, 0.0
    for step, which in steps:
        match step:
            case "count":
                count(processes[which], "a")
                since[which] += 1
            case "flush":
                flushers[which].flush()
            case "retire":
                flushers[which].retire()
            case "die":
                processes[which] = Counts()
                flushers[which] = Flusher(world.storage, processes[which])
                since[which] = 0
            case "day":
                forget(world)
        if step in ("flush", "retire"):
            written, since[which] = written + since[which], 0
        now = total(world).get(("a",), 0)
        assert now >= before
        assert now == written
        before = now


def test_a_process_that_ends_leaves_its_counts_and_no_row(world: World) -> None:
    one, other = Counts(), Counts()
    for process in (one, other):
        count(process, "a", 3)
        flusher = Flusher(world.storage, process)
        flusher.flush()
        assert rows(world) == 1
        flusher.stop()
    assert rows(world) == 0
    assert total(world) == {("a",): 6}


def test_what_a_killed_process_wrote_stays_and_its_row_goes_a_day_later(world: World) -> None:
    killed, next_one = Counts(), Counts()
    count(killed, "a", 2)
    Flusher(world.storage, killed).flush()
    forget(world)
    count(next_one, "a")
    Flusher(world.storage, next_one).flush()
    assert (rows(world), total(world)) == (1, {("a",): 3})


def test_one_that_was_taken_for_gone_is_not_counted_twice(world: World) -> None:
    frozen, other = Counts(), Counts()
    flusher = Flusher(world.storage, frozen)
    count(frozen, "a", 5)
    flusher.flush()
    forget(world)
    count(other, "b")
    Flusher(world.storage, other).flush()
    count(frozen, "a")
    flusher.flush()
    assert total(world) == {("a",): 6, ("b",): 1}
    flusher.stop()
    assert total(world) == {("a",): 6, ("b",): 1}


def test_nothing_is_written_where_nothing_was_counted(world: World) -> None:
    idle = Counts()
    flusher = Flusher(world.storage, idle)
    flusher.flush()
    flusher.stop()
    assert world.storage.rows("SELECT 1 FROM axisor_counts") == []


def test_a_database_that_refuses_stops_nothing(world: World) -> None:
    process = Counts()
    count(process, "a")
    world.storage.run("ALTER TABLE axisor_counts RENAME TO axisor_elsewhere")
    try:
        Flusher(world.storage, process).stop()
    finally:
        world.storage.run("ALTER TABLE axisor_elsewhere RENAME TO axisor_counts")
    Flusher(world.storage, process).stop()
    assert total(world) == {("a",): 1}


def test_a_process_that_runs_jobs_by_itself_counts_too(world: World) -> None:
    world.run(world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100}))
    world.parts.close()
    assert series(world, metrics.executions.name) == {
        ("auto_entry", "auto_entry_executed", "completed", "lnmarkets"): 1
    }
    assert series(world, metrics.start_delay.name).keys() == {("default",)}


@pytest.mark.slow
def test_several_worker_processes_add_up_to_what_the_exchange_has_seen(world: World, tmp_path: Path) -> None:
    accounts = [world.account(user_id=f"user{number}", name=f"Account {number}") for number in range(6)]
    first = max((row["seq"] for row in world.paper.requests()), default=0)
    ids = [
        world.enqueue(
            world.job(world.automation(one, "auto_entry", {"side": "b", "quantity": 100}), user_id=one.user_id)
        )
        for one in accounts
        for _ in range(3)
    ]
    with world.worker(tmp_path / "worker.log", processes=2, threads=2) as worker:
        worker.wait_until(lambda: all(world.execution(one).is_over for one in ids), timeout=60, what="all ends")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert rows(world) == 0
    ended = series(world, metrics.executions.name)
    assert ended == {("auto_entry", "auto_entry_executed", "completed", "lnmarkets"): len(ids)}
    assert sum(stored_cells(world, metrics.execution_seconds.name)) == len(ids)
    assert sum(stored_cells(world, metrics.start_delay.name)) == len(ids)
    sent = Tally(row["method"] for row in world.paper.requests(since=first))
    asked = series(world, metrics.requests.name)
    assert asked["lnmarkets", "open_trade", "ok"] == sent["POST"] == len(ids)
    assert sum(asked.values()) == sent.total()
    looked_up = series(world, metrics.credentials_lookups.name)
    assert looked_up.keys() == {("hit",), ("miss",)}
    assert len(accounts) <= looked_up["miss",] <= 2 * len(accounts), "each of two processes decrypts once"


def stored_cells(world: World, name: str) -> list[float]:
    """Return all buckets of a histogram, of all series."""
    return [number for _, cells in stored.total(world.storage)[name] for number in cells[:-1]]
