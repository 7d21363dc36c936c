"""Faults: what was done, what was answered, what the client saw."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any

import pytest
import requests

TRADE = "/futures/isolated/trade"
OPEN = f"POST /v3{TRADE}"
ORDER = {"type": "market", "side": "buy", "leverage": 10, "quantity": 10}


def last(paper: Any) -> Any:
    return paper.get("requests")[-1]


def wait_for_effects(paper: Any, count: int) -> list[Any]:
    """The effects, as soon as there are `count`; a client that hung up can't be told when."""
    deadline = time.monotonic() + 10
    while len(effects := paper.get("effects")) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(effects)


def test_drop_before(paper: Any, trader: Any) -> None:
    paper.fault("drop_before", route=OPEN)
    with pytest.raises(requests.ConnectionError):
        trader.send("POST", TRADE, ORDER)
    assert paper.effects() == []
    row = last(paper)
    assert (row["fault"], row["status"], row["outcome"], row["effect"]) == ("drop_before", None, None, False)


def test_drop_after(paper: Any, trader: Any) -> None:
    paper.fault("drop_after", route=OPEN)
    with pytest.raises(requests.ConnectionError):
        trader.send("POST", TRADE, ORDER)
    (trade,) = trader.get("/futures/isolated/trades/running")
    assert paper.effects() == [("open", trade["id"])]
    row = paper.get("requests?mutating=1")[-1]
    assert (row["status"], row["outcome"], row["effect"]) == (None, 200, True)
    assert row["answer"]["id"] == trade["id"]


def test_stall(paper: Any, trader: Any) -> None:
    paper.fault("stall", seconds=0.2)
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        trader.send("POST", TRADE, ORDER)
    assert time.monotonic() - began >= 0.2
    assert paper.effects() == []


def test_stall_outlasts_an_impatient_client(paper: Any, trader: Any) -> None:
    paper.fault("stall", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        trader.send("POST", TRADE, ORDER, timeout=0.1)


def test_latency(paper: Any, trader: Any) -> None:
    paper.fault("latency", seconds=0.1, jitter=0.1)
    began = time.monotonic()
    assert trader.send("POST", TRADE, ORDER).status_code == 200
    assert 0.1 <= time.monotonic() - began < 5


def test_act_late_answers_a_client_that_listens(paper: Any, trader: Any) -> None:
    paper.set(windowSeconds=3)  # so late may the request arrive, on a busy machine
    paper.fault("act_late", seconds=3.2)  # when it acts, the signature is too old
    assert trader.send("POST", TRADE, ORDER).json()["running"]


def test_act_late_acts_for_a_client_that_hung_up(paper: Any, trader: Any) -> None:
    paper.fault("act_late", seconds=4, route=OPEN)
    with pytest.raises(requests.ReadTimeout):
        trader.send("POST", TRADE, ORDER, timeout=0.1)
    assert paper.effects() == []
    assert [row["kind"] for row in wait_for_effects(paper, 1)] == ["open"]
    assert len(trader.get("/futures/isolated/trades/running")) == 1


def test_act_late_checks_the_signature_at_arrival(paper: Any, trader: Any) -> None:
    paper.fault("act_late", seconds=0.05)
    assert trader.send("POST", TRADE, ORDER, skew=40).status_code == 401


def test_act_late_does_not_act_on_a_new_world(paper: Any, trader: Any) -> None:
    paper.fault("act_late", seconds=0.8)
    with pytest.raises(requests.ReadTimeout):
        trader.send("POST", TRADE, ORDER, timeout=0.05)
    paper.ask("POST", "reset")
    other = paper.trader()
    # The server's own timers tell when the held request is over.
    paper.fault("latency", seconds=1)
    other.send("GET", "/account")
    assert paper.effects() == []


def test_status_before(paper: Any, trader: Any) -> None:
    paper.fault("status_before", status=429, retryAfter=2)
    response = trader.send("POST", TRADE, ORDER)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert set(response.json()) == {"message", "code", "details"}
    assert "Date" in response.headers
    assert paper.effects() == []


def test_status_after(paper: Any, trader: Any) -> None:
    paper.fault("status_after", status=502)
    assert trader.send("POST", TRADE, ORDER).status_code == 502
    row = last(paper)
    assert (row["status"], row["outcome"], row["effect"]) == (502, 200, True)


def test_malformed(paper: Any, trader: Any) -> None:
    paper.fault("malformed")
    response = trader.send("POST", TRADE, ORDER)
    assert response.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    assert len(paper.effects()) == 1


def test_truncated(paper: Any, trader: Any) -> None:
    paper.fault("truncated")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        trader.send("POST", TRADE, ORDER)
    assert len(paper.effects()) == 1


def test_truncated_on_the_wire(paper: Any, trader: Any) -> None:
    paper.fault("truncated")
    connection = http.client.HTTPConnection(paper.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/v3/ping")
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Length"]) == (200, "6")
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def test_wrong_content_type(paper: Any, trader: Any) -> None:
    paper.fault("wrong_content_type")
    response = trader.send("POST", TRADE, ORDER)
    assert response.headers["Content-Type"].startswith("text/html")
    assert len(paper.effects()) == 1


def test_slow_bytes(paper: Any, trader: Any) -> None:
    paper.fault("slow_bytes", seconds=0.3)
    began = time.monotonic()
    assert trader.send("POST", TRADE, ORDER).json()["running"]
    assert time.monotonic() - began >= 0.3


def test_slow_bytes_to_a_client_that_hangs_up(paper: Any, trader: Any) -> None:
    paper.fault("slow_bytes", seconds=0.5, count=1)
    host, port = paper.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /v3/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1)
    assert trader.get("/account")


def test_routes_and_accounts(paper: Any, trader: Any) -> None:
    other = paper.trader()
    paper.fault("status_before", route="POST /v3/futures/isolated/trade/close", account=trader.id)
    trade = trader.buy()
    theirs = other.buy()
    assert other.post(f"{TRADE}/close", {"id": theirs["id"]})["closed"]
    assert trader.send("POST", f"{TRADE}/close", {"id": trade["id"]}).status_code == 503
    paper.ask("DELETE", "faults")
    assert trader.post(f"{TRADE}/close", {"id": trade["id"]})["closed"]


def test_parts_of_a_path(paper: Any, trader: Any) -> None:
    paper.fault("status_before", route="trades/")
    assert trader.send("GET", "/futures/isolated/trades/open").status_code == 503
    assert trader.send("GET", "/account").status_code == 200


def test_mutating_requests_only(paper: Any, trader: Any) -> None:
    paper.fault("status_before", mutating=True)
    assert trader.send("GET", "/account").status_code == 200
    assert trader.send("POST", TRADE, ORDER).status_code == 503


def test_count(paper: Any, trader: Any) -> None:
    paper.fault("status_before", count=2)
    assert [trader.send("GET", "/account").status_code for _ in range(3)] == [503, 503, 200]
    (fault,) = paper.get("faults")
    assert (fault["count"], fault["struck"]) == (0, 2)


def test_rate_with_a_seed_is_the_same_every_time(paper: Any, trader: Any) -> None:
    runs = []
    for _ in range(2):
        fault = paper.fault("status_before", rate=0.5, seed=42)
        runs.append([trader.send("GET", "/account").status_code for _ in range(40)])
        assert paper.send("DELETE", f"faults/{fault}").ok
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


def test_the_first_fault_has_the_request(paper: Any, trader: Any) -> None:
    paper.fault("status_before", status=500, count=1)
    paper.fault("status_before", status=504)
    assert [trader.send("GET", "/account").status_code for _ in range(2)] == [500, 504]


def test_faults_can_be_listed_and_removed(paper: Any) -> None:
    first, second = paper.fault("stall"), paper.fault("latency", seconds=2)
    assert [fault["id"] for fault in paper.get("faults")] == [first, second]
    assert paper.send("DELETE", f"faults/{first}").status_code == 200
    assert paper.send("DELETE", f"faults/{first}").status_code == 404
    paper.ask("DELETE", "faults")
    assert paper.get("faults") == []


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "earthquake"},
        {},
        {"kind": "stall", "rate": 1.5},
        {"kind": "stall", "seconds": -1},
        {"kind": "stall", "count": 0.5},
        {"kind": "status_before", "status": 99},
        {"kind": "stall", "secs": 1},
    ],
)
def test_bad_faults(paper: Any, body: dict[str, Any]) -> None:
    assert paper.send("POST", "faults", body).status_code == 400
    assert paper.get("faults") == []
