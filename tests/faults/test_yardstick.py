"""The yardstick: storms 1 and 2 over a plain Dramatiq actor, its doubles and losses counted the same way.

Nothing is demanded of it but that the comparison finds what it is there to find: a check that sees no double here
would see none anywhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from tests.faults.conftest import MakeWorld
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import Tally
from tests.faults.storming import struck
from tests.faults.test_storm_1_kills import kills
from tests.faults.test_storm_2_answers import BUSY, UNANSWERED
from tests.faults.workload import Intent, Workload
from tests.harness.world import World

KINDS = ("close", "reduce", "enter", "add_margin", "set_stoploss", "enter_limit", "set_takeprofit", "cash_in", "cancel")
REACHED = ("claimed", "planned", "answered", "settled", "finished")
QUEUES = ("trades", "trades.DQ")

Call = list[Any]


def calls_of(number: int, intent: Intent) -> list[Call]:
    """Return what the exchange has to be asked for, one request an action."""
    trade, order = {"id": intent.trade_id}, {"side": "buy", "leverage": 10, "clientId": f"job-{number}"}
    return {
        "close": [["POST", "/trade/close", trade]],
        "reduce": [
            ["POST", "/trade/close", trade],
            ["POST", "/trade", {**order, "type": "market", "quantity": 60}],
        ],
        "enter": [["POST", "/trade", {**order, "type": "market", "quantity": 10}]],
        "enter_limit": [["POST", "/trade", {**order, "type": "limit", "quantity": 10, "price": 49_500}]],
        "add_margin": [["POST", "/trade/add-margin", {**trade, "amount": 1_234}]],
        "cash_in": [["POST", "/trade/cash-in", {**trade, "amount": 321}]],
        "set_stoploss": [["PUT", "/trade/stoploss", {**trade, "value": 46_000}]],
        "set_takeprofit": [["PUT", "/trade/takeprofit", {**trade, "value": 61_000.5}]],
        "cancel": [["POST", "/trade/cancel", trade]],
    }[intent.kind]


def compare(world: World, intents: list[Intent], by_hand: Collection[str]) -> tuple[Tally, int]:
    """Count doubles and losses by the exchange's effects, and how many of the doubles the TradeLog shows."""
    hand = {row["seq"] for row in world.paper.requests(mutating=True) if row["key"] in by_hand}
    effects = [row for row in world.paper.effects() if row["requestSeq"] not in hand]
    tally = Tally(
        jobs=len(intents), requests=len(world.paper.requests(mutating=True)) - len(hand), effects=len(effects)
    )
    logged = Counter(str(row.trade_id) for row in world.trade_log())
    shown = 0
    for number, intent in enumerate(intents):
        had = Counter(
            (row["kind"], None if row["kind"] == "open" else row["tradeId"])
            for row in effects
            if (row["clientId"] == f"job-{number}" if row["kind"] == "open" else row["tradeId"] == intent.trade_id)
        )
        wanted = Counter(intent.effects)
        doubled = (had - wanted).total()
        tally.doubled += doubled
        shown += bool(doubled and logged[f"job-{number}"] > 1)
        tally.lost += bool(wanted - had)
    return tally, shown


def run(world: World, intents: list[Intent], crew: Crew) -> float:
    """Send all jobs and wait until the queue is empty; return the seconds that it took."""
    broker = RedisBroker(url=world.settings.redis_url, namespace=world.settings.queue_prefix)  # type: ignore[no-untyped-call]
    began = time.monotonic()
    for number, intent in enumerate(intents):
        paper = intent.account.paper
        keys = {"key": paper.key, "secret": paper.secret, "passphrase": paper.passphrase}
        job = (number, intent.account.user_id, keys, calls_of(number, intent))
        broker.enqueue(Message("trades", "trade", args=job, kwargs={}, options={}))
    prefix = world.settings.queue_prefix
    with redis.Redis.from_url(world.settings.redis_url) as client:

        def is_empty() -> bool:
            return not any(client.hlen(f"{prefix}:{queue}.msgs") for queue in QUEUES)

        # Dramatiq gives up after 20 retries; what is refused for good keeps it busy until then.
        crew.keep_on(is_empty, within=300, what="an empty queue")
    broker.client.close()
    return time.monotonic() - began


@pytest.mark.timeout(1800)
class TestPlainDramatiq:
    def test_killed(
        self, make_world: MakeWorld, postgres_url: str, redis_url: str, tmp_path: Path, seed: int, fault_jobs: int,
        figures: Figures,
    ) -> None:  # fmt: skip
        world = make_world(postgres_url, redis_url)
        work = Workload(world)
        intents = work.prepare(fault_jobs, KINDS)
        world.paper.add_fault("latency", mutating=True, seconds=0.02, jitter=0.06, seed=seed)
        with Crew(world, tmp_path / "crew", seed=seed, module="tests.faults.yardstick_main") as crew:
            for point in REACHED:
                crew.order("kill", point, -(-kills(fault_jobs) // len(REACHED)))
            seconds = run(world, intents, crew)
        tally, shown = compare(world, intents, work.keys_by_hand)
        figures.record(
            "yardstick", "1: SIGKILL", world, tally, faults={"kills": crew.ended}, seconds=seconds,
            doubles_that_the_TradeLog_shows=shown,
        )  # fmt: skip
        assert tally.doubled + tally.lost > 0

    def test_unanswered(
        self, make_world: MakeWorld, postgres_url: str, redis_url: str, tmp_path: Path, seed: int, fault_jobs: int,
        figures: Figures,
    ) -> None:  # fmt: skip
        world = make_world(postgres_url, redis_url)
        work = Workload(world)
        intents = work.prepare(fault_jobs, KINDS)
        for number, (kind, options) in enumerate(UNANSWERED):
            world.paper.add_fault(kind, mutating=True, seed=seed + number, **options)
        for number, (kind, options) in enumerate(BUSY):
            world.paper.add_fault(kind, rate=0.05, seed=seed - number, **options)
        with Crew(world, tmp_path / "crew", seed=seed, module="tests.faults.yardstick_main") as crew:
            seconds = run(world, intents, crew)
        tally, shown = compare(world, intents, work.keys_by_hand)
        figures.record(
            "yardstick", "2: answers lost, late, wrong", world, tally, faults=struck(world.paper), seconds=seconds,
            doubles_that_the_TradeLog_shows=shown,
        )  # fmt: skip
        assert tally.doubled > 0
