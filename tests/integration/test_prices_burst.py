"""A burst of 10 000 reads in two processes: about one public request a second, no price too old, each move seen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import redis

from axisor_executor.exchange.price_board import TURN_SECONDS
from tests.harness.paper import PaperExchange

READER = Path(__file__).with_name("price_reader.py")
REUSE = 1.0
READS = 10_000
FIRST, *MOVES = "50000", "50000.5", "50001", "50001.5", "50002"


class Reader:
    """One process of readers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_until_seen(self, price: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == price

    def stop(self) -> dict[str, Any]:
        return dict(json.loads(self.process.communicate("stop\n", timeout=60)[0]))


@contextmanager
def reader(redis_url: str, paper: PaperExchange, least: int = READS // 2) -> Iterator[Reader]:
    command = [sys.executable, str(READER), redis_url, paper.url, str(least)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield Reader(process)
        finally:
            process.kill()


def test_burst_makes_one_request_a_second_and_acts_on_no_old_price(redis_url: str, paper: PaperExchange) -> None:
    paper.settings(publicRequestsPerSecond=1)
    moved_at: list[float] = []
    with ExitStack() as running:
        readers = [running.enter_context(reader(redis_url, paper)) for _ in range(2)]
        for one in readers:
            one.wait_until_seen(FIRST)
        for price in MOVES:
            paper.set_price(Decimal(price))
            moved_at.append(time.monotonic())
            for one in readers:
                one.wait_until_seen(price)
        reports = [one.stop() for one in readers]

    assert [report["errors"] for report in reports] == [[], []]
    assert sum(report["reads"] for report in reports) >= READS
    assert max(report["oldest"] for report in reports) <= 5
    asked = [row for row in paper.requests() if row["path"].endswith("/futures/ticker")]
    assert {row["status"] for row in asked} == {200}
    received = [datetime.fromisoformat(row["receivedAt"]).timestamp() for row in asked]
    assert len(MOVES) < len(asked) <= 1 + (received[-1] - received[0]) / REUSE * 1.05

    # From a move on, the old price is given for the reuse time, and while those wait that asked before it ended.
    longest = max(report["longest"] for report in reports)
    for old, moved in zip([FIRST, *MOVES[:-1]], moved_at, strict=True):
        for report in reports:
            assert report["lastBegun"][old] <= moved + REUSE + longest + 0.1


def test_process_killed_while_it_asks_costs_the_others_its_turn(redis_url: str, paper: PaperExchange) -> None:
    paper.add_fault("stall", route="GET /v3/futures/ticker", count=1)
    with ExitStack() as running:
        dead = running.enter_context(reader(redis_url, paper, least=1))
        while not paper.requests():
            assert dead.process.poll() is None
        dead.process.kill()
        with redis.Redis.from_url(redis_url) as client:
            assert all(client.pttl(key) <= TURN_SECONDS * 1000 for key in client.keys("*"))
        other = running.enter_context(reader(redis_url, paper, least=1))
        other.wait_until_seen(FIRST)
        assert other.stop()["errors"] == []
    assert [row["fault"] for row in paper.requests()][:2] == ["stall", None]
