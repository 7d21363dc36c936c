"""Storm 8: one account's exchange hangs, entries flood the queue. Margin guards elsewhere start as fast as before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.storming import struck
from tests.faults.workload import Intent, Workload
from tests.harness.world import World

# Both halves run on the same machine within seconds; what is compared is their ratio. A guard that had to wait for a
# hanging call would be late by two seconds, one behind the flood by many.
TIMES_AS_SLOW, NOISE_SECONDS = 4.0, 0.25


def start_latencies(world: World, intents: Sequence[Intent]) -> list[float]:
    """Return how long each job waited for its start, in seconds, by the database's clock."""
    waited = []
    for intent in intents:
        run = world.execution(intent.execution_id)
        assert run.started_at is not None
        waited.append((run.started_at - run.created_at).total_seconds())
    return sorted(waited)


def trickle(work: Workload, crew: Crew, intents: Sequence[Intent]) -> None:
    """Take the jobs one by one, with some time between them."""
    for intent in intents:
        work.enqueue(intent)
        crew.wait(0.1)


@pytest.mark.timeout(1800)
def test_guards_elsewhere_start_as_fast_as_before(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    quiet_work, flooded, hung = (
        Workload(world, 4),
        Workload(world, 4, prefix="Flooded"),
        Workload(world, 1, prefix="Hung"),
    )
    share = max(16, fault_jobs // 4)
    before = quiet_work.prepare(share, ("add_margin",))
    meanwhile = quiet_work.prepare(share, ("add_margin",))
    flood = flooded.prepare(2 * share, ("enter",))
    hanging = hung.prepare(max(4, share // 2), ("add_margin",))
    world.paper.add_fault("latency", mutating=True, seconds=0.05, seed=seed)
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        trickle(quiet_work, crew, before)
        crew.keep_on(quiet_work.all_over, within=60, what="the end of the guards")
        quiet = start_latencies(world, before)

        stall = world.paper.add_fault("stall", account=hung.accounts[0].paper, seconds=5)
        for account in flooded.accounts:
            world.paper.add_fault("latency", account=account.paper, seconds=0.25)
        for intent in (*hanging, *flood):
            (hung if intent in hanging else flooded).enqueue(intent)
        trickle(quiet_work, crew, meanwhile)
        outlasted = not quiet_work.all_over()
        faults = struck(world.paper)
        world.paper._call("DELETE", f"faults/{stall}")
        crew.keep_on(quiet_work.all_over, within=60 + 3 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    stormy = start_latencies(world, meanwhile)
    by_hand = quiet_work.keys_by_hand | flooded.keys_by_hand | hung.keys_by_hand
    tally = check(world, [*before, *meanwhile, *flood, *hanging], by_hand=by_hand)
    calm, rough = statistics.median(quiet), statistics.median(stormy)
    worst = stormy[int(len(stormy) * 0.9) - 1]
    figures.record(
        "8",
        "a hanging account and a flood of entries",
        world,
        tally,
        faults={**faults, "entries": len(flood)},
        seconds=seconds,
        guards_start_after=f"{calm * 1000:.0f} ms before, {rough * 1000:.0f} ms (90th percentile {worst * 1000:.0f} ms)"
        f" in the storm",
    )
    assert tally.problems == []
    assert outlasted, "the storm was over before the last guard was taken"
    assert rough < TIMES_AS_SLOW * calm + NOISE_SECONDS
    assert worst < TIMES_AS_SLOW * quiet[int(len(quiet) * 0.9) - 1] + 3 * NOISE_SECONDS
