"""Storm 2: the exchange answers late, wrongly or not at all, before or after it has acted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import MakeWorld
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.storming import burst, struck
from tests.faults.workload import ALL_KINDS, PRICE, Workload

UNANSWERED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop_after", {"rate": 0.1}),
    ("drop_before", {"rate": 0.05}),
    ("act_late", {"rate": 0.06, "seconds": 2.4, "jitter": 0.6}),
    ("status_after", {"rate": 0.05, "status": 500}),
    ("status_after", {"rate": 0.02, "status": 504}),
    ("malformed", {"rate": 0.03}),
    ("truncated", {"rate": 0.02}),
    ("wrong_content_type", {"rate": 0.03}),
    ("slow_bytes", {"rate": 0.02, "seconds": 4}),
)
BUSY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status_before", {"status": 429, "retryAfter": 1}),
    ("status_before", {"status": 503}),
)
LIMIT_FILLS_AT = 49_450


@pytest.mark.timeout(1800)
def test_no_lost_answer_doubles_or_loses_an_action(
    make_world: MakeWorld,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    seed: int,
    fault_jobs: int,
    figures: Figures,
) -> None:
    # Requests that are acted on late are looked for in vain before that, and dead only after it: 3 s of margin.
    world = make_world(
        database_url, redis_url, request_timeout_seconds=0.8, signature_margin_seconds=3.1, lease_seconds=2.0
    )
    work = Workload(world)
    intents = work.prepare(fault_jobs, (*ALL_KINDS, "enter_limit"))
    for number, (kind, options) in enumerate(UNANSWERED):
        world.paper.add_fault(kind, mutating=True, seed=seed + number, **options)
    for number, (kind, options) in enumerate(BUSY):
        world.paper.add_fault(kind, rate=0.05, seed=seed - number, **options)
    with Crew(world, tmp_path / "crew", seed=seed, threads=6) as crew:
        began = time.monotonic()
        burst(work, intents, crew)
        for kind, options in BUSY:
            world.paper.add_fault(kind, count=15, **options)  # a burst: nothing at all is let in
        lower = True
        while not work.all_over():
            # Limit orders are filled, while the answer to their placing may still be looked for.
            world.paper.set_price(LIMIT_FILLS_AT if lower else PRICE)
            lower = not lower
            crew.wait(0.5)
            assert time.monotonic() - began < 60 + 2 * fault_jobs, crew.last_words()
        seconds = time.monotonic() - began
    tally = check(world, intents, by_hand=work.keys_by_hand, may_fail={"exchange_unavailable"})
    figures.record("2", "answers lost, late, wrong", world, tally, faults=struck(world.paper), seconds=seconds)
    assert tally.problems == []
