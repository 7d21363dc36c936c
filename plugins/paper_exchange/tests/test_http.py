"""Authentication, the shape of requests and answers, and the public endpoints."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from axisor_paper_exchange.server.auth import Credentials, signature

TRADE = "/futures/isolated/trade"


def test_worked_example_of_a_signature() -> None:
    body = '{"id":"b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"}'
    path = "/v3/futures/isolated/trade/close"
    signed = signature("secret", "1700000000000", "POST", path, body)
    assert signed == "yQ8ja2KQoREI6w1TjqcJkhF/KUrfEAoSzT/jgcJWoKE="


def test_credentials_do_not_show_their_secret() -> None:
    shown = repr(Credentials(type("Account", (), {"id": "a"})(), "key", "hidden", "hidden"))
    assert "key" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lnm-access-signature": "AAAA"}, "INVALID_SIGNATURE"),
        ({"lnm-access-signature": "ü"}, "INVALID_SIGNATURE"),
        ({"lnm-access-signature": None}, "MISSING_CREDENTIALS"),
        ({"lnm-access-key": None}, "MISSING_CREDENTIALS"),
        ({"lnm-access-passphrase": None}, "MISSING_CREDENTIALS"),
        ({"lnm-access-timestamp": None}, "MISSING_CREDENTIALS"),
        ({"lnm-access-key": "nobody"}, "INVALID_API_KEY"),
        ({"lnm-access-passphrase": "wrong"}, "INVALID_PASSPHRASE"),
        ({"lnm-access-timestamp": "now"}, "INVALID_TIMESTAMP"),
        ({"lnm-access-timestamp": "-1"}, "INVALID_TIMESTAMP"),
    ],
)
def test_bad_credentials(trader: Any, change: dict[str, str | None], code: str) -> None:
    headers: dict[str, Any] = trader.headers("GET", "/v3/account", "") | change
    encoded = {name: value.encode() for name, value in headers.items() if value is not None}
    response = trader.session.get(f"{trader.url}/v3/account", headers=encoded)
    assert response.status_code == 401
    assert response.json() == {"message": response.json()["message"], "code": code, "details": None}


def test_what_is_signed_is_what_is_sent(trader: Any) -> None:
    headers = trader.headers("GET", "/v3/futures/isolated/trades/closed", "")
    unsigned_query = trader.session.get(f"{trader.url}/v3/futures/isolated/trades/closed?limit=1", headers=headers)
    assert unsigned_query.status_code == 401
    headers = trader.headers("POST", f"/v3{TRADE}", '{"a":1}') | {"Content-Type": "application/json"}
    other_body = trader.session.post(f"{trader.url}/v3{TRADE}", data='{"a": 1}', headers=headers)
    assert other_body.json()["code"] == "INVALID_SIGNATURE"


def test_query_strings_are_signed_as_sent(trader: Any) -> None:
    query = "from=2026-01-01T00%3A00%3A00.000Z&limit=5"
    assert trader.get("/futures/isolated/trades/closed", query)["data"] == []


@pytest.mark.parametrize("skew", [-31, 31])
def test_timestamps_outside_the_window(trader: Any, skew: float) -> None:
    assert trader.send("GET", "/account", skew=skew).json()["code"] == "INVALID_TIMESTAMP"


@pytest.mark.parametrize("skew", [-25, 25])
def test_timestamps_inside_the_window(trader: Any, skew: float) -> None:
    assert trader.send("GET", "/account", skew=skew).status_code == 200


def test_the_window_can_be_changed(paper: Any, trader: Any) -> None:
    paper.set(windowSeconds=0.5)
    assert trader.send("GET", "/account", skew=-0.8).status_code == 401
    paper.set(windowSeconds="2.5")
    assert trader.send("GET", "/account", skew=-0.8).status_code == 200


def test_the_clock_can_be_shifted(paper: Any, trader: Any) -> None:
    paper.set(clockOffsetSeconds=-90)
    late = datetime.now(UTC).timestamp() - 90
    response = trader.send("GET", "/account")
    assert response.status_code == 401
    assert parsedate_to_datetime(response.headers["Date"]).timestamp() == pytest.approx(late, abs=3)
    shown = datetime.fromisoformat(requests.get(f"{trader.url}/v3/time", timeout=5).json()["time"])
    assert shown.timestamp() == pytest.approx(late, abs=3)
    assert trader.send("GET", "/account", skew=-90).status_code == 200
    ticker = requests.get(f"{trader.url}/v3/futures/ticker", timeout=5).json()
    assert datetime.fromisoformat(ticker["time"]).timestamp() == pytest.approx(late, abs=3)


def test_every_answer_has_a_date(paper: Any, trader: Any) -> None:
    for path in ("/v3/ping", "/v3/account", "/v3/nowhere", "/paper/price", "/"):
        date = requests.get(trader.url + path, timeout=5).headers["Date"]
        assert parsedate_to_datetime(date).timestamp() == pytest.approx(time.time(), abs=3)


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"id":NaN}', "\udcff", '{"a":' * 5000])
def test_bodies_that_are_no_json_object(trader: Any, body: str) -> None:
    data = body.encode("utf-8", "surrogateescape")
    target = f"/v3{TRADE}/close"
    # Undecodable bytes can't be signed by a client of text either: the server sees replacement characters.
    headers = trader.headers("POST", target, data.decode("utf-8", "replace")) | {"Content-Type": "application/json"}
    response = trader.session.post(trader.url + target, data=data, headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["code"] in {"INVALID_JSON", "VALIDATION_ERROR"}


def test_content_types(trader: Any) -> None:
    headers = trader.headers("POST", f"/v3{TRADE}", "{}")
    assert trader.session.post(f"{trader.url}/v3{TRADE}", data="{}", headers=headers).status_code == 415
    headers = trader.headers("GET", "/v3/account", "") | {"Content-Type": "application/json"}
    assert trader.session.get(f"{trader.url}/v3/account", headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("DELETE", "/account"), ("GET", TRADE), ("PATCH", TRADE), ("GET", "/account/")],
)
def test_unknown_routes(trader: Any, method: str, path: str) -> None:
    response = trader.send(method, path)
    assert response.status_code == 404
    assert response.json() == {"message": "Not found", "code": "NOT_FOUND", "details": None}


def test_outside_of_the_api(trader: Any) -> None:
    for path in ("", "/", "/v3", "/v2/futures", "/paper"):
        response = requests.get(trader.url + path, timeout=5)
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_ping(trader: Any) -> None:
    response = requests.get(f"{trader.url}/v3/ping", timeout=5)
    assert response.text == '"pong"'
    assert response.headers["Content-Type"].startswith("application/json")


def test_ticker(paper: Any, trader: Any) -> None:
    paper.move(61_000.5)
    paper.set(spread="10")
    ticker = requests.get(f"{trader.url}/v3/futures/ticker", timeout=5).json()
    assert set(ticker) == {
        "time",
        "index",
        "lastPrice",
        "fundingRate",
        "fundingTime",
        "prices",
        "priceChange24h",
        "exchangesWeights",
    }
    assert (ticker["lastPrice"], ticker["index"]) == (61_000.5, 61_000.5)
    assert ticker["prices"] == [{"askPrice": 61_005.5, "bidPrice": 60_995.5, "minSize": 1, "maxSize": 500_000}]
    assert set(ticker["exchangesWeights"]) == {"bybit", "binance", "okx"}
    assert datetime.fromisoformat(ticker["fundingTime"]) > datetime.now(UTC)


def test_the_ticker_can_be_stale(paper: Any, trader: Any) -> None:
    def age() -> float:
        ticker = requests.get(f"{trader.url}/v3/futures/ticker", timeout=5).json()
        return time.time() - datetime.fromisoformat(ticker["time"]).timestamp()

    assert age() == pytest.approx(0, abs=2)
    paper.set(tickerAgeSeconds=20)
    assert age() == pytest.approx(20, abs=2)
    paper.set(tickerAgeSeconds=0, tickerFrozen=True)
    updated = paper.ask("PUT", "price", {"price": 50_500})["updatedAt"]
    assert requests.get(f"{trader.url}/v3/futures/ticker", timeout=5).json()["time"] == updated


def test_bodies_that_are_too_large(trader: Any) -> None:
    target = f"/v3{TRADE}"
    data = '{"clientId":"' + "x" * 2**20 + '"}'
    headers = trader.headers("POST", target, data) | {"Content-Type": "application/json"}
    response = trader.session.post(trader.url + target, data=data, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert trader.balance == 1_000_000
