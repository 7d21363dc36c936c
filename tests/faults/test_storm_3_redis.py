"""Storm 3: Redis is wiped, killed and hangs in mid-burst, and is away when jobs are taken."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

from axisor_executor.embedded import PrivateRedis
from tests.faults.conftest import MakeWorld
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.storming import burst, remove_fault
from tests.faults.workload import Workload
from tests.harness.world import World

ACK_TIMED_OUT = re.compile(r"Queue \w+ was not told that \d+ are done with: TimeoutError")

HANGING = 3


def waiting_for_answers(world: World) -> int:
    """Return how many requests are under way."""
    with world.storage.connection():
        row = world.storage.one("SELECT COUNT(*) FROM axisor_actions WHERE status = 'sending'")
    return int(row[0]) if row else 0


@pytest.mark.timeout(1800)
def test_no_job_is_lost_with_the_queue(
    make_world: MakeWorld,
    database_url: str,
    own_redis: PrivateRedis,
    tmp_path: Path,
    seed: int,
    fault_jobs: int,
    figures: Figures,
) -> None:
    world = make_world(database_url, own_redis.url)
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    quick = world.paper.add_fault("latency", mutating=True, seconds=0.05, jitter=0.1, seed=seed)
    faults: Counter[str] = Counter()
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        # One job an account, so that nobody has the next one to wake, and the acknowledgement is what meets the hang.
        hung, others = intents[: len(work.accounts)], intents[len(work.accounts) :]
        part = len(others) // 4
        parts = [others[:part], others[part : 2 * part], others[2 * part : 3 * part], hung, others[3 * part :]]
        began = time.monotonic()

        burst(work, parts[0], crew)
        with redis.Redis.from_url(own_redis.url) as client:
            client.flushall()
        faults["FLUSHALL"] += 1

        burst(work, parts[1], crew)
        own_redis.kill()
        faults["kill -9"] += 1
        burst(work, parts[2], crew)  # taken while Redis is down
        crew.wait(1.5)
        own_redis.start()

        crew.keep_on(work.all_over, within=150 + fault_jobs, what="the end of the jobs before the hang")
        # Runs are waiting for the exchange when Redis stops answering: their acknowledgements time out.
        slow = world.paper.add_fault("latency", mutating=True, seconds=0.7)
        remove_fault(world.paper, quick)
        burst(work, parts[3], crew)
        crew.keep_on(lambda: waiting_for_answers(world) >= HANGING, within=60, what="requests under way")
        own_redis.pause()
        faults["hung until acknowledgements timed out"] += 1
        crew.keep_on(lambda: ACK_TIMED_OUT.search(crew.log()), within=60, what="an acknowledgement that timed out")
        own_redis.resume()
        remove_fault(world.paper, slow)

        for number, intent in enumerate(parts[4]):
            work.enqueue(intent)
            if number == len(parts[4]) // 2:
                with redis.Redis.from_url(own_redis.url) as client:
                    client.flushall()
                faults["FLUSHALL"] += 1
        crew.keep_on(work.all_over, within=150 + fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
        assert crew.ended == 0, "a worker's process ended with its queue"
    faults["acknowledgements timed out"] = len(ACK_TIMED_OUT.findall(crew.log()))
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("3", "Redis wiped, killed, hung", world, tally, faults=faults, seconds=seconds)
    assert tally.problems == []
