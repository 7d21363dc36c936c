"""The trading endpoints over real sockets."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

TRADE = "/futures/isolated/trade"
TRADES = "/futures/isolated/trades"
FIELDS = {
    "id": str,
    "uid": str,
    "type": str,
    "side": str,
    "quantity": int,
    "margin": int,
    "leverage": (int, float),
    "price": (int, float),
    "entryPrice": (int, float, type(None)),
    "entryMargin": (int, type(None)),
    "exitPrice": (int, float, type(None)),
    "liquidation": (int, float),
    "maintenanceMargin": int,
    "openingFee": int,
    "closingFee": int,
    "pl": int,
    "stoploss": (int, float),
    "stoplossTrailingDistance": (int, float),
    "takeprofit": (int, float),
    "sumFundingFees": int,
    "sumCashInMargin": int,
    "sumCashInPl": int,
    "createdAt": str,
    "filledAt": (str, type(None)),
    "closedAt": (str, type(None)),
    "clientId": (str, type(None)),
    "open": bool,
    "running": bool,
    "closed": bool,
    "canceled": bool,
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_trade(trade: Any, state: str) -> None:
    assert set(trade) == set(FIELDS)
    for name, kind in FIELDS.items():
        assert isinstance(trade[name], kind), name
    assert [name for name in ("open", "running", "closed", "canceled") if trade[name]] == [state]
    assert str(UUID(trade["id"])) == trade["id"]
    for name in ("createdAt", "filledAt", "closedAt"):
        assert trade[name] is None or INSTANT.fullmatch(trade[name])


def test_market_order(trader: Any) -> None:
    trade = trader.buy(clientId="mine", takeprofit=52_000.5, stoploss=49_000)
    is_trade(trade, "running")
    assert trade["uid"] == trader.id
    assert (trade["type"], trade["side"], trade["clientId"]) == ("market", "buy", "mine")
    assert (trade["margin"], trade["entryMargin"], trade["leverage"], trade["quantity"]) == (2000, 2000, 10, 10)
    assert (trade["price"], trade["entryPrice"], trade["liquidation"]) == (50_000, 50_000, 45_454.5)
    assert (trade["takeprofit"], trade["stoploss"]) == (52_000.5, 49_000)
    assert trade["filledAt"] is not None
    assert trader.get(f"{TRADES}/running") == [trade]
    assert trader.balance == 1_000_000 - 2042


def test_reference_limit_order(paper: Any, trader: Any) -> None:
    paper.move(110_000)
    trade = trader.limit(100_000, quantity=1, leverage=100)
    is_trade(trade, "open")
    assert (trade["entryMargin"], trade["liquidation"], trade["maintenanceMargin"]) == (10, 99_010, 2)
    assert (trade["openingFee"], trade["closingFee"], trade["filledAt"], trade["entryPrice"]) == (0, 0, None, None)
    assert trader.get(f"{TRADES}/open") == [trade]
    paper.move(100_000)
    (filled,) = trader.get(f"{TRADES}/running")
    is_trade(filled, "running")
    assert (filled["id"], filled["openingFee"], filled["entryPrice"]) == (trade["id"], 1, 100_000)
    assert trader.get(f"{TRADES}/open") == []


def test_profit_is_shown_at_the_last_price(paper: Any, trader: Any) -> None:
    trader.buy()
    paper.move(55_000)
    assert trader.get(f"{TRADES}/running")[0]["pl"] == 1818
    paper.move(46_000)
    assert trader.get(f"{TRADES}/running")[0]["pl"] == -1740


def test_close(paper: Any, trader: Any) -> None:
    trade = trader.buy()
    paper.move(55_000)
    closed = trader.post(f"{TRADE}/close", {"id": trade["id"]})
    is_trade(closed, "closed")
    assert (closed["pl"], closed["exitPrice"], closed["closingFee"]) == (1818, 55_000, 18)
    assert trader.balance == 1_000_000 + 1818 - 20 - 18
    assert trader.get(f"{TRADES}/closed") == {"data": [closed], "nextCursor": None}
    paper.move(60_000)
    assert trader.get(f"{TRADES}/closed")["data"] == [closed]
    error = trader.refused("POST", f"{TRADE}/close", {"id": trade["id"]})
    assert error["details"] == {"state": "closed"}
    assert paper.effects() == [("open", trade["id"]), ("close", trade["id"])]


def test_ids_in_upper_case_are_ids(trader: Any) -> None:
    trade = trader.buy()
    assert trader.post(f"{TRADE}/close", {"id": trade["id"].upper()})["closed"]


def test_cancel_and_cancel_all(paper: Any, trader: Any) -> None:
    first, second, third = (trader.limit(40_000 + step) for step in range(3))
    canceled = trader.post(f"{TRADE}/cancel", {"id": second["id"]})
    is_trade(canceled, "canceled")
    assert canceled["closedAt"] is not None
    rest = trader.post(f"{TRADES}/cancel-all")
    assert [trade["id"] for trade in rest] == [first["id"], third["id"]]
    assert trader.post(f"{TRADES}/cancel-all") == []
    ids = [trade["id"] for trade in trader.get(f"{TRADES}/canceled")["data"]]
    assert ids == [third["id"], first["id"], second["id"]]
    assert trader.balance == 1_000_000
    assert [kind for kind, _ in paper.effects()] == ["open"] * 3 + ["cancel"] * 3


def test_margin_in_and_out(paper: Any, trader: Any) -> None:
    trade = trader.buy()
    more = trader.post(f"{TRADE}/add-margin", {"id": trade["id"], "amount": 500})
    assert (more["margin"], more["leverage"], more["liquidation"], more["entryMargin"]) == (2500, 8, 44_444.5, 2000)
    paper.move(55_000)
    less = trader.post(f"{TRADE}/cash-in", {"id": trade["id"], "amount": 2018})
    is_trade(less, "running")
    assert (less["sumCashInPl"], less["sumCashInMargin"], less["margin"], less["pl"]) == (1818, 200, 2300, 0)
    assert (less["entryPrice"], less["price"]) == (55_000, 55_000)
    assert trader.balance == 1_000_000 - 2042 - 500 + 2018
    effects = paper.get("effects")
    assert [(row["kind"], row["amount"]) for row in effects[1:]] == [("add_margin", 500), ("cash_in", 2018)]


def test_a_trade_opened_with_a_trailing_stoploss(trader: Any) -> None:
    trade = trader.buy(stoploss=0.05, stoplossMode="trailing")
    assert (trade["stoploss"], trade["stoplossTrailingDistance"]) == (47_500, 0.05)
    assert trader.buy(stoploss=47_000, stoplossMode="fixed")["stoploss"] == 47_000
    none = trader.buy(stoplossMode="trailing")
    assert (none["stoploss"], none["stoplossTrailingDistance"]) == (0, 0)


@pytest.mark.parametrize("wrong", [{"stoploss": 48_000}, {"stoploss": "0.05"}, {"stoploss": 0.0001}])
def test_bad_trailing_stoploss_of_an_order(trader: Any, wrong: dict[str, Any]) -> None:
    body = {"type": "market", "side": "buy", "leverage": 10, "quantity": 10, "stoplossMode": "trailing", **wrong}
    assert trader.refused("POST", TRADE, body)["details"] == {"field": "stoploss"}


def test_exits(paper: Any, trader: Any) -> None:
    trade = {"id": trader.buy()["id"]}
    assert trader.put(f"{TRADE}/takeprofit", {**trade, "value": 60_000})["takeprofit"] == 60_000
    assert trader.put(f"{TRADE}/stoploss", {**trade, "value": 48_000.5})["stoploss"] == 48_000.5
    trailing = trader.put(f"{TRADE}/stoploss", {**trade, "value": 0.05, "mode": "trailing"})
    assert (trailing["stoploss"], trailing["stoplossTrailingDistance"]) == (47_500, 0.05)
    removed = trader.delete(f"{TRADE}/stoploss", f"id={trade['id']}")
    assert (removed["stoploss"], removed["stoplossTrailingDistance"]) == (0, 0)
    assert trader.delete(f"{TRADE}/takeprofit", f"id={trade['id']}")["takeprofit"] == 0
    trader.put(f"{TRADE}/stoploss", {**trade, "value": 48_000, "mode": "fixed"})
    assert trader.put(f"{TRADE}/stoploss", {**trade, "value": 0})["stoploss"] == 0
    kinds = [row["kind"] for row in paper.get("effects")[1:]]
    assert kinds == [
        "set_takeprofit",
        "set_stoploss",
        "set_stoploss",
        "remove_stoploss",
        "remove_takeprofit",
        "set_stoploss",
        "remove_stoploss",
    ]


@pytest.mark.parametrize("what", ["takeprofit", "stoploss"])
def test_same_value_is_refused(paper: Any, trader: Any, what: str) -> None:
    body = {"id": trader.buy()["id"], "value": 60_000 if what == "takeprofit" else 48_000}
    trader.put(f"{TRADE}/{what}", body)
    assert "same as the previous one" in trader.refused("PUT", f"{TRADE}/{what}", body)["message"]
    trader.delete(f"{TRADE}/{what}", f"id={body['id']}")
    error = trader.refused("DELETE", f"{TRADE}/{what}", query=f"id={body['id']}")
    assert "same as the previous one" in error["message"]
    assert len(paper.effects()) == 3


def test_trades_of_others(paper: Any, trader: Any) -> None:
    trade = trader.buy()
    other = paper.trader()
    for method, path, body in (
        ("POST", "close", {}),
        ("POST", "add-margin", {"amount": 1}),
        ("POST", "cash-in", {"amount": 1}),
        ("PUT", "takeprofit", {"value": 60_000}),
        ("PUT", "stoploss", {"value": 48_000}),
        ("POST", "cancel", {}),
    ):
        error = other.refused(method, f"{TRADE}/{path}", {"id": trade["id"], **body})
        assert error["message"] == "You do not own this trade"
    assert other.get(f"{TRADES}/running") == []
    assert other.refused("DELETE", f"{TRADE}/stoploss", query=f"id={trade['id']}")["code"] == "TRADE_NOT_OWNED"
    nobody = "00000000-0000-4000-8000-000000000000"
    assert other.refused("POST", f"{TRADE}/close", {"id": nobody}, status=404)["code"] == "TRADE_NOT_FOUND"


def test_pages(paper: Any, trader: Any) -> None:
    ids = []
    for _ in range(5):
        ids.insert(0, trader.post(f"{TRADE}/close", {"id": trader.buy()["id"]})["id"])
    seen, cursor = [], ""
    for expected in (2, 2, 1):
        page = trader.get(f"{TRADES}/closed", f"limit=2{cursor}")
        assert len(page["data"]) == expected
        seen += [trade["id"] for trade in page["data"]]
        cursor = f"&cursor={page['nextCursor']}"
    assert (seen, page["nextCursor"]) == (ids, None)
    newest = page["data"][0]["closedAt"]
    assert [trade["id"] for trade in trader.get(f"{TRADES}/closed", f"to={newest}")["data"]] == [ids[-1]]
    assert len(trader.get(f"{TRADES}/closed", "from=2020-01-01T00:00:00.000Z")["data"]) == 5
    assert trader.get(f"{TRADES}/closed", "from=2120-01-01")["data"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "from=yesterday", "to=12", "cursor=abc", "cursor=1_x"]
)
def test_bad_pages(trader: Any, query: str) -> None:
    assert trader.refused("GET", f"{TRADES}/closed", query=query)["code"] == "VALIDATION_ERROR"


def test_funding_fees_are_an_empty_page(trader: Any) -> None:
    empty = {"data": [], "nextCursor": None}
    assert trader.get("/futures/isolated/funding-fees") == empty
    trade_id = trader.buy()["id"]
    assert trader.get("/futures/isolated/funding-fees", f"tradeId={trade_id}&limit=10") == empty
    trader.refused("GET", "/futures/isolated/funding-fees", query="tradeId=7")


def test_account(trader: Any) -> None:
    account = trader.get("/account")
    assert account == {
        "id": trader.id,
        "username": account["username"],
        "email": None,
        "balance": 1_000_000,
        "syntheticUsdBalance": 0,
        "feeTier": 0,
        "linkingPublicKey": None,
    }


ORDER = {"type": "market", "side": "buy", "leverage": 10, "quantity": 10}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "stop"}, "type"),
        ({"type": None}, "type"),
        ({"side": "b"}, "side"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 500_001}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": "10"}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"quantity": 10**400}, "quantity"),
        ({"margin": 1000}, "quantity"),
        ({"leverage": 0.5}, "leverage"),
        ({"leverage": 101}, "leverage"),
        ({"leverage": "10"}, "leverage"),
        ({"price": 50_000}, "price"),
        ({"type": "limit"}, "price"),
        ({"type": "limit", "price": 50_000.25}, "price"),
        ({"type": "limit", "price": -5}, "price"),
        ({"type": "limit", "price": 0}, "price"),
        ({"stoploss": 49_000.1}, "stoploss"),
        ({"takeprofit": False}, "takeprofit"),
        ({"clientId": ""}, "clientId"),
        ({"clientId": "x" * 65}, "clientId"),
        ({"clientId": 7}, "clientId"),
    ],
)
def test_bad_orders(paper: Any, trader: Any, change: dict[str, Any], field: str) -> None:
    error = trader.refused("POST", TRADE, ORDER | change)
    assert (error["code"], error["details"]) == ("VALIDATION_ERROR", {"field": field})
    assert paper.effects() == []


def test_no_leverage_or_no_size(trader: Any) -> None:
    for missing in ("leverage", "quantity", "side", "type"):
        body = {name: value for name, value in ORDER.items() if name != missing}
        assert trader.refused("POST", TRADE, body)["details"] == {"field": missing}


def test_whole_numbers_may_be_written_with_a_point(trader: Any) -> None:
    assert trader.buy(quantity=10.0, leverage=2.5)["leverage"] == 2.5


def test_insufficient_balance(trader: Any) -> None:
    error = trader.refused("POST", TRADE, ORDER | {"quantity": 400_000, "leverage": 1})
    assert error["code"] == "INSUFFICIENT_BALANCE"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("add-margin", {"amount": 0}),
        ("add-margin", {"amount": 1.5}),
        ("add-margin", {}),
        ("cash-in", {"amount": -1}),
        ("cash-in", {"amount": "10"}),
    ],
)
def test_bad_amounts(trader: Any, path: str, body: dict[str, Any]) -> None:
    error = trader.refused("POST", f"{TRADE}/{path}", {"id": trader.buy()["id"], **body})
    assert error["details"] == {"field": "amount"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("takeprofit", {}),
        ("takeprofit", {"value": 60_000.3}),
        ("takeprofit", {"value": None}),
        ("stoploss", {}),
        ("stoploss", {"value": 48_000.3}),
        ("stoploss", {"value": "48000"}),
        ("stoploss", {"value": 0.0001, "mode": "trailing"}),
    ],
)
def test_bad_exits(trader: Any, path: str, body: dict[str, Any]) -> None:
    error = trader.refused("PUT", f"{TRADE}/{path}", {"id": trader.buy()["id"], **body})
    assert error["details"] == {"field": "value"}


@pytest.mark.parametrize("trade_id", [None, 7, "", "x", "0" * 36])
def test_bad_ids(trader: Any, trade_id: Any) -> None:
    assert trader.refused("POST", f"{TRADE}/close", {"id": trade_id})["details"] == {"field": "id"}
    assert trader.refused("DELETE", f"{TRADE}/stoploss", query=f"id={trade_id}")["details"] == {"field": "id"}
