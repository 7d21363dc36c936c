"""A market that lives: the control surface of it, and what its clients see."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

HEADER = "time,open,high,low,close,volume\n"
CSV = HEADER + "0,50000,51000,49000,50500,3\n60,50500,52000,50000,50200,4\n"
EIGHT_HOURS = 8 * 3600


def public(paper: Any, path: str) -> Any:
    answer = requests.get(f"{paper.url}/v3{path}", timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_market_is_fixed_unless_told_otherwise(paper: Any) -> None:
    shown = paper.get("market")
    assert (shown["source"], shown["steps"], shown["nextStep"], shown["speed"]) == ("fixed", 0, None, 1)
    assert paper.get("settings")["fundingCharged"] is False
    refused = paper.send("POST", "market/step", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "NO_STEPS")


def test_candles_are_walked_through(paper: Any, trader: Any) -> None:
    stop = trader.buy(stoploss=49_500)
    target = trader.buy(takeprofit=51_500)
    limit = trader.limit(49_200)
    paper.ask("PUT", "market", {"source": "candles", "csv": CSV, "paused": True})
    assert paper.ask("POST", "market/step", {})["price"] == 50_000
    step = paper.ask("POST", "market/step", {})
    assert (step["price"], step["steps"], step["time"]) == (49_000, 2, "1970-01-01T00:00:19.999Z")
    assert [(row["tradeId"], row["what"]) for row in step["triggered"]] == [
        (stop["id"], "stoploss"),
        (limit["id"], "fill"),
    ]
    rest = paper.ask("POST", "market/step", {"count": 100})
    assert [(row["tradeId"], row["price"]) for row in rest["triggered"]] == [(target["id"], 51_500)]
    assert (rest["price"], rest["steps"], rest["nextStep"]) == (50_200, 8, None)
    (candle,) = [row for row in public(paper, "/futures/candles?range=1d")["data"] if row["volume"]]
    assert (candle["high"], candle["low"], candle["close"], candle["volume"]) == (52_000, 49_000, 50_200, 7)


def test_a_walk_by_hand_is_the_same_for_the_same_seed(paper: Any) -> None:
    prices = []
    for seed in (7, 7, 8):
        paper.move(50_000)
        paper.ask(
            "PUT", "market", {"source": "walk", "seed": seed, "volatility": 0.5, "intervalSeconds": 60, "paused": True}
        )
        prices.append([paper.ask("POST", "market/step", {})["price"] for _ in range(5)])
    assert prices[0] == prices[1] != prices[2]


def test_a_walk_goes_on_from_a_price_that_is_set(paper: Any) -> None:
    paper.ask("PUT", "market", {"source": "walk", "paused": True})
    paper.move(90_000)
    assert abs(paper.ask("POST", "market/step", {})["price"] - 90_000) < 1000


def test_a_market_goes_by_itself_until_it_is_paused(paper: Any) -> None:
    paper.ask("PUT", "market", {"source": "walk", "intervalSeconds": 1, "speed": 1000, "volatility": 1})
    wait_for(lambda: paper.get("market")["steps"] > 20)
    paused = paper.ask("PUT", "market", {"paused": True})
    assert paper.get("market") == paused
    paper.ask("PUT", "market", {"paused": False})
    wait_for(lambda: paper.get("market")["steps"] > paused["steps"])
    assert paper.ask("PUT", "market", {"source": "fixed"})["source"] == "fixed"
    price = paper.get("price")
    assert paper.get("market")["steps"] == 0
    assert paper.get("price") == price


def test_market_time_runs_faster_and_the_clock_does_not(paper: Any) -> None:
    paper.ask("PUT", "market", {"source": "walk", "speed": 100_000, "paused": False})
    wait_for(lambda: paper.get("market")["time"] > (datetime.now(UTC).isoformat()))
    ahead = datetime.fromisoformat(paper.get("market")["time"]).timestamp()
    assert ahead > time.time()
    shown = datetime.fromisoformat(public(paper, "/time")["time"]).timestamp()
    assert shown == pytest.approx(time.time(), abs=5)


def test_funding_is_settled_by_market_time(paper: Any, trader: Any) -> None:
    paper.set(fundingCharged=True, fundingRate=0.001)
    trade = trader.buy(quantity=1000)
    paper.ask("PUT", "market", {"paused": True})
    skipped = paper.ask("POST", "market/step", {"seconds": EIGHT_HOURS})
    (settlement,) = public(paper, "/futures/funding-settlements")["data"]
    assert (settlement["fundingRate"], settlement["fixingPrice"]) == (0.001, 50_000)
    assert datetime.fromisoformat(settlement["time"]).timestamp() == pytest.approx(time.time(), abs=30)
    assert trader.get("/futures/isolated/trades/running")[0]["sumFundingFees"] == 2000
    assert [row["tradeId"] for row in trader.get("/futures/isolated/funding-fees")["data"]] == [trade["id"]]
    paper.ask("POST", "market/step", {"seconds": 3 * EIGHT_HOURS})
    assert len(public(paper, "/futures/funding-settlements")["data"]) == 4
    paper.set(fundingCharged=False)
    after = paper.ask("POST", "market/step", {"seconds": EIGHT_HOURS})
    assert len(public(paper, "/futures/funding-settlements")["data"]) == 4
    assert after["nextFunding"] > skipped["nextFunding"]


def test_funding_can_liquidate(paper: Any, trader: Any) -> None:
    paper.set(fundingCharged=True, fundingRate=0.5)
    trade = trader.buy(leverage=50)
    triggered = paper.ask("POST", "market/step", {"seconds": EIGHT_HOURS})["triggered"]
    assert [(row["tradeId"], row["what"]) for row in triggered] == [(trade["id"], "liquidation")]


def test_when_the_ticker_says_that_funding_is(paper: Any) -> None:
    def seconds() -> float:
        ticker = public(paper, "/futures/ticker")
        return datetime.fromisoformat(ticker["fundingTime"]).timestamp() - time.time()

    paper.ask("PUT", "market", {"paused": True})
    market = paper.get("market")
    left = (
        datetime.fromisoformat(market["nextFunding"]).timestamp() - datetime.fromisoformat(market["time"]).timestamp()
    )
    assert seconds() == pytest.approx(left, abs=5)
    paper.ask("PUT", "market", {"speed": 10})
    assert seconds() == pytest.approx(left / 10, abs=5)


def test_the_change_of_a_day(paper: Any) -> None:
    assert public(paper, "/futures/ticker")["priceChange24h"]["ratio"] == 0
    paper.move(55_000)
    assert public(paper, "/futures/ticker")["priceChange24h"]["ratio"] == 0.1
    paper.set(clockOffsetSeconds=2 * 86_400)
    assert public(paper, "/futures/ticker")["priceChange24h"]["ratio"] == 0
    paper.move(44_000)
    assert public(paper, "/futures/ticker")["priceChange24h"]["ratio"] == -0.2


def test_candles_of_the_api(paper: Any) -> None:
    for price in (52_000, 49_000.5, 51_000):
        paper.move(price)
    page = public(paper, "/futures/candles?range=3months")
    (candle,) = page["data"]
    assert candle | {"time": ""} == {
        "time": "",
        "open": 50_000,
        "high": 52_000,
        "low": 49_000.5,
        "close": 51_000,
        "volume": 0,
    }
    assert page["nextCursor"] is None
    paper.set(clockOffsetSeconds=600)
    first = public(paper, "/futures/candles?limit=4")
    assert [row["close"] for row in first["data"]] == [51_000] * 4
    second = public(paper, f"/futures/candles?limit=1000&cursor={first['nextCursor']}")
    times = [row["time"] for row in first["data"] + second["data"]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) in {11, 12}
    within = public(paper, f"/futures/candles?from={times[3]}&to={times[1]}")["data"]
    assert [row["time"] for row in within] == times[1:4]
    for query in ("range=7m", "limit=0", "limit=1001", "from=x", "to=x", "cursor=12_4"):
        assert requests.get(f"{paper.url}/v3/futures/candles?{query}", timeout=5).status_code == 400, query


def test_the_leaderboard(paper: Any) -> None:
    assert public(paper, "/futures/leaderboard") == {"daily": [], "weekly": [], "monthly": [], "all-time": []}
    anna, bert, carl = (paper.trader(username=name) for name in ("anna", "bert", "carl"))
    carl.buy()
    for trader, price in ((anna, 55_000), (bert, 49_000)):
        paper.move(50_000)
        trade = trader.buy()
        paper.move(price)
        trader.post("/futures/isolated/trade/close", {"id": trade["id"]})
    rows = [{"username": "anna", "pl": 1818, "direction": 0}, {"username": "bert", "pl": -409, "direction": 0}]
    assert public(paper, "/futures/leaderboard") == dict.fromkeys(("daily", "weekly", "monthly", "all-time"), rows)
    for days, empty in ((2, {"daily"}), (8, {"daily", "weekly"}), (31, {"daily", "weekly", "monthly"})):
        paper.set(clockOffsetSeconds=days * 86_400)
        assert {name for name, best in public(paper, "/futures/leaderboard").items() if not best} == empty


@pytest.mark.parametrize(
    "body",
    [
        {"source": "dice"},
        {"source": "candles"},
        {"source": "candles", "csv": "x"},
        {"source": "candles", "csv": CSV, "seed": 1},
        {"source": "fixed", "volatility": 1},
        {"source": "walk", "volatility": -1},
        {"source": "walk", "intervalSeconds": 0},
        {"source": "walk", "seed": 0.5},
        {"csv": CSV},
        {"speed": 0},
        {"speed": 10**7},
        {"paused": 1},
        {"pace": 1},
    ],
)
def test_bad_markets(paper: Any, body: dict[str, Any]) -> None:
    assert paper.send("PUT", "market", body).status_code == 400
    assert paper.get("market")["source"] == "fixed"


@pytest.mark.parametrize(
    "body", [{"count": 0}, {"count": 10**6}, {"seconds": -1}, {"seconds": 1, "count": 1}, {"n": 1}]
)
def test_bad_steps(paper: Any, body: dict[str, Any]) -> None:
    paper.ask("PUT", "market", {"source": "walk", "paused": True})
    assert paper.send("POST", "market/step", body).status_code == 400
    assert paper.get("market")["steps"] == 0


def test_a_csv_that_is_long(paper: Any) -> None:
    lines = "".join(f"{minute * 60},50000,50001,49999,50000,1\n" for minute in range(60_000))
    assert paper.ask("PUT", "market", {"source": "candles", "csv": HEADER + lines, "paused": True})["steps"] == 0


def test_reset_puts_the_market_back(paper: Any) -> None:
    paper.ask("PUT", "market", {"source": "walk", "speed": 5, "paused": True})
    paper.ask("POST", "market/step", {"count": 5})
    paper.ask("POST", "reset")
    shown = paper.get("market")
    assert (shown["source"], shown["steps"], shown["speed"], shown["paused"]) == ("fixed", 0, 1, False)
    assert {row["high"] for row in public(paper, "/futures/candles")["data"]} == {50_000}


def test_a_walk_from_the_command_line(start: Any) -> None:
    options = ("--walk", "--seed", "3", "--volatility", "0.5", "--interval", "60", "--speed", "100000")
    with start(*options) as paper:
        wait_for(lambda: paper.get("market")["steps"] > 1000)
        shown = paper.get("market")
        assert (shown["source"], shown["seed"], shown["volatility"], shown["intervalSeconds"]) == ("walk", 3, 0.5, 60)
        assert paper.get("settings")["fundingCharged"] is True
        wait_for(lambda: bool(public(paper, "/futures/funding-settlements")["data"]))
        assert paper.get("audit")["ok"]


def test_candles_from_the_command_line(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(CSV)
    with start("--candles", str(file), "--speed", "1000000", "--no-funding") as paper:
        wait_for(lambda: paper.get("market")["nextStep"] is None)
        assert paper.get("price")["price"] == 50_200
        assert paper.get("settings")["fundingCharged"] is False
