"""Rate limits."""

from __future__ import annotations

from typing import Any

import requests

from axisor_paper_exchange.server.limits import RateLimits


def test_bucket() -> None:
    now = [100.0]
    limits = RateLimits(lambda: now[0])
    assert [limits.wait("a", 5) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert limits.wait("b", 5) == 0
    now[0] += 0.2
    assert [limits.wait("a", 5) for _ in range(2)] == [0, 1]
    now[0] += 60
    assert [limits.wait("a", 5) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_slow_bucket() -> None:
    now = [0.0]
    limits = RateLimits(lambda: now[0])
    assert [limits.wait("a", 0.25) for _ in range(2)] == [0, 4]
    now[0] += 3
    assert limits.wait("a", 0.25) == 1
    now[0] += 1
    assert limits.wait("a", 0.25) == 0


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
