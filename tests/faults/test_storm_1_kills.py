"""Storm 1: workers die or stall at random moments and at every marked point, also between the steps of a reduce."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.crew import POINTS, Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.storming import burst
from tests.faults.workload import Workload
from tests.harness.world import World


def kills(jobs: int) -> int:
    """Return how many workers are killed over so many jobs, at marked points and at random moments."""
    return len(POINTS) * _at_each_point(jobs) + _at_random(jobs)


def _at_each_point(jobs: int) -> int:
    return max(1, jobs // 50)


def _at_random(jobs: int) -> int:
    return max(2, jobs // 25)


@pytest.mark.timeout(1800)
def test_no_death_doubles_or_loses_an_action(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.02, jitter=0.06, seed=seed)  # requests to die in
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        for point in POINTS:
            crew.order("kill", point, _at_each_point(fault_jobs))
        began = time.monotonic()
        burst(work, intents, crew)
        at_random = _at_random(fault_jobs)
        while at_random and not work.all_over():
            crew.wait(crew.random.uniform(0.2, 1.5))
            crew.kill_one()
            at_random -= 1
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("1", "SIGKILL", world, tally, faults={"kills": crew.ended}, seconds=seconds)
    assert tally.problems == []
    assert crew.open_orders == []


@pytest.mark.timeout(1800)
def test_a_stalled_sender_does_no_harm_when_it_wakes(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    """Stopped for longer than lease and window: another has taken over by then, and the request is dead."""
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.02, jitter=0.06, seed=seed)
    with Crew(world, tmp_path / "crew", seed=seed, size=3, threads=3) as crew:
        began = time.monotonic()
        burst(work, intents, crew)
        # One after the other: a process that stands still may hold SQLite's only lock, and so everybody else up.
        marks = [*POINTS * max(1, fault_jobs // 100), *[""] * max(1, fault_jobs // 100)]
        crew.random.shuffle(marks)
        while marks and not work.all_over():
            mark = marks.pop()
            if mark:
                crew.order("stop", mark)
            else:
                crew.stop_one()
            crew.wait(crew.random.uniform(0.3, 1.2))
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        crew.keep_on(lambda: not crew.stopped, within=30, what="the awakening of all that were stopped")
        crew.wait(0.5)  # what a sleeper does on awakening, it does now
        seconds = time.monotonic() - began
    # Who is stopped behind the last look at the clock sends a request that is dead on arrival: refused, and so failed.
    tally = check(world, intents, by_hand=work.keys_by_hand, may_fail={"exchange_unauthorized"})
    figures.record("1", "SIGSTOP and SIGCONT", world, tally, faults={"stops": crew.stops}, seconds=seconds)
    assert tally.problems == []
    assert crew.stops > 0


@pytest.mark.timeout(1800)
def test_restarts_for_a_deployment_lose_nothing(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.05, jitter=0.3, seed=seed)
    environment = world.environment(AXISOR_SHUTDOWN_SECONDS="2")
    with Crew(world, tmp_path / "crew", seed=seed, environment=environment) as crew:
        began = time.monotonic()
        burst(work, intents, crew)
        restarts = max(3, fault_jobs // 25)
        while restarts and not work.all_over():
            crew.terminate_one()
            crew.wait(crew.random.uniform(0.3, 1.5))
            restarts -= 1
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("1", "SIGTERM", world, tally, faults={"restarts": crew.ended}, seconds=seconds)
    assert tally.problems == []
