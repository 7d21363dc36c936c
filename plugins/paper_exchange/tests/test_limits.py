"""Rate limits."""

from __future__ import annotations

from typing import Any

import requests
from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.server.limits import RateLimits


def test_window() -> None:
    now = [100.0]
    limits = RateLimits(lambda: now[0])
    assert [limits.wait("a", 5) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert limits.wait("b", 5) == 0
    now[0] += 0.5
    assert limits.wait("a", 5) == 1
    now[0] += 0.5
    assert [limits.wait("a", 5) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


@given(st.sampled_from([0.3, 1, 2.5, 5, 20]), st.lists(st.integers(0, 64).map(lambda step: step / 64), max_size=200))
def test_no_window_holds_more_however_they_come_and_none_is_refused_without_cause(
    rate: float, pauses: list[float]
) -> None:
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    count, length = max(1, int(rate)), max(1, int(rate)) / rate
    let_in: list[float] = []
    for pause in pauses:
        now[0] += pause
        waits = limits.wait("a", rate)
        recent = [at for at in let_in if at > now[0] - length]
        assert (waits == 0) is (len(recent) < count)
        if not waits:
            let_in.append(now[0])
        else:
            assert sum(at > now[0] + waits - length for at in let_in) < count


def test_a_limit_that_is_lowered_counts_what_was_let_in_before() -> None:
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    assert [limits.wait("a", 1000) for _ in range(10)] == [0] * 10
    assert [limits.wait("a", 5), limits.wait("a", 0.5)] == [1, 2]
    now[0] += 1
    assert limits.wait("a", 5) == 0


def test_slow_window() -> None:
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    assert [limits.wait("a", 0.25) for _ in range(2)] == [0, 4]
    now[0] += 3
    assert limits.wait("a", 0.25) == 1
    now[0] += 1
    assert limits.wait("a", 0.25) == 0


def test_callers_that_went_away_are_forgotten_and_others_are_not() -> None:
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    for caller in range(9_990):
        limits.wait(f"gone {caller}", 1)
    now[0] += 10
    for _ in range(2):
        limits.wait("busy", 0.5)
    for caller in range(50):
        limits.wait(f"new {caller}", 1)
    assert len(limits) < 100
    assert limits.wait("busy", 0.5) > 0


def test_limits_can_be_switched_while_it_runs(paper: Any, trader: Any) -> None:
    for rate, statuses in ((0, {200}), (0.01, {200, 429}), (0, {200}), (1000, {200})):
        paper.set(privateRequestsPerSecond=rate, publicRequestsPerSecond=rate)
        assert {trader.send("GET", "/account").status_code for _ in range(4)} == statuses
        assert {requests.get(f"{trader.url}/v3/ping", timeout=5).status_code for _ in range(4)} == statuses


def test_the_limits_of_the_exchange(start: Any) -> None:
    with start("--rate-limits") as paper:
        settings = paper.get("settings")
        assert (settings["privateRequestsPerSecond"], settings["publicRequestsPerSecond"]) == (5, 1)
        trader = paper.trader()
        answers = [trader.send("GET", "/account") for _ in range(30)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert {requests.get(f"{paper.url}/v3/ping", timeout=5).status_code for _ in range(20)} == {200, 429}


def test_keys_are_limited_one_by_one(paper: Any, trader: Any) -> None:
    other = paper.trader()
    paper.set(privateRequestsPerSecond=0.01)
    assert trader.send("GET", "/account").status_code == 200
    refused = trader.send("POST", "/futures/isolated/trade/close", {})
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert 90 <= int(refused.headers["Retry-After"]) <= 100
    assert other.send("GET", "/account").status_code == 200
    assert [row["status"] for row in paper.get("requests")] == [200, 429, 200]


def test_addresses_are_limited_on_public_routes(paper: Any, trader: Any) -> None:
    paper.set(publicRequestsPerSecond=0.01)
    assert [requests.get(f"{trader.url}/v3/ping", timeout=5).status_code for _ in range(2)] == [200, 429]
    assert requests.get(f"{trader.url}/v3/time", timeout=5).status_code == 429
    assert trader.send("GET", "/account").status_code == 200
