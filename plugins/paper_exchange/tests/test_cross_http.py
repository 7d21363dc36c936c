"""The endpoints of cross futures and funding over real sockets."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
import requests

CROSS = "/futures/cross"
NOBODY = "00000000-0000-4000-8000-000000000000"
NUMBER = (int, float)
ORDER = {
    "id": str,
    "uid": str,
    "type": str,
    "side": str,
    "quantity": int,
    "price": NUMBER,
    "tradingFee": int,
    "createdAt": str,
    "filledAt": (str, type(None)),
    "canceledAt": (str, type(None)),
    "open": bool,
    "filled": bool,
    "canceled": bool,
    "clientId": (str, type(None)),
}
POSITION = {
    "id": str,
    "uid": str,
    "quantity": int,
    "leverage": int,
    "margin": int,
    "entryPrice": (*NUMBER, type(None)),
    "liquidation": (*NUMBER, type(None)),
    "initialMargin": int,
    "runningMargin": int,
    "maintenanceMargin": int,
    "totalPl": int,
    "deltaPl": int,
    "tradingFees": int,
    "fundingFees": int,
    "updatedAt": str,
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_shaped(row: Any, shape: dict[str, Any]) -> None:
    assert set(row) == set(shape)
    for name, kind in shape.items():
        assert isinstance(row[name], kind), name
        if name.endswith("At"):
            assert row[name] is None or INSTANT.fullmatch(row[name])
    assert str(UUID(row["id"])) == row["id"]


def is_order(order: Any, state: str) -> None:
    is_shaped(order, ORDER)
    assert [name for name in ("open", "filled", "canceled") if order[name]] == [state]
    assert (order["filledAt"] is not None) == (state == "filled")
    assert (order["canceledAt"] is not None) == (state == "canceled")


@pytest.fixture
def funded(trader: Any) -> Any:
    """A trader with 500 000 sats in the cross wallet, at a leverage of 10."""
    trader.post(f"{CROSS}/deposit", {"amount": 500_000})
    trader.put(f"{CROSS}/leverage", {"leverage": 10})
    return trader


def buy(trader: Any, **order: Any) -> Any:
    return trader.post(f"{CROSS}/order", {"type": "market", "side": "buy", "quantity": 1000, **order})


def limit(trader: Any, price: float, **order: Any) -> Any:
    return buy(trader, type="limit", price=price, **order)


def position_of(trader: Any) -> Any:
    return trader.get(f"{CROSS}/position")


def test_position_before_anything_happened(trader: Any) -> None:
    position = position_of(trader)
    is_shaped(position, POSITION)
    assert position["uid"] == trader.id
    empty = {"quantity": 0, "leverage": 1, "margin": 0, "entryPrice": None, "liquidation": None}
    assert {name: position[name] for name in empty} == empty


def test_deposit_and_withdraw(paper: Any, trader: Any) -> None:
    position = trader.post(f"{CROSS}/deposit", {"amount": 300_000})
    is_shaped(position, POSITION)
    assert (position["margin"], trader.balance) == (300_000, 700_000)
    assert trader.post(f"{CROSS}/withdraw", {"amount": 100_000})["margin"] == 200_000
    page = trader.get(f"{CROSS}/transfers")
    assert [row["amount"] for row in page["data"]] == [-100_000, 300_000]
    for row in page["data"]:
        assert set(row) == {"id", "time", "amount"}
        assert INSTANT.fullmatch(row["time"])
    first = trader.get(f"{CROSS}/transfers", "limit=1")
    rest = trader.get(f"{CROSS}/transfers", f"limit=1&cursor={first['nextCursor']}")
    assert (first["data"] + rest["data"], rest["nextCursor"]) == (page["data"], None)
    effects = [(row["kind"], row["amount"], row["tradeId"]) for row in paper.get("effects")]
    assert effects == [("cross_deposit", 300_000, position["id"]), ("cross_withdraw", 100_000, position["id"])]


def test_market_order_position_and_close(paper: Any, funded: Any) -> None:
    order = buy(funded, clientId="mine")
    is_order(order, "filled")
    assert (order["uid"], order["type"], order["side"], order["clientId"]) == (funded.id, "market", "buy", "mine")
    assert (order["quantity"], order["price"], order["tradingFee"]) == (1000, 50_000, 2000)
    paper.move(62_500)
    position = position_of(funded)
    is_shaped(position, POSITION)
    assert (position["quantity"], position["entryPrice"], position["margin"]) == (1000, 50_000, 498_000)
    assert (position["runningMargin"], position["maintenanceMargin"], position["initialMargin"]) == (200_000, 3000, 0)
    assert (position["totalPl"], position["deltaPl"]) == (400_000, 400_000)
    assert (position["tradingFees"], position["fundingFees"], position["liquidation"]) == (2000, 0, 40_080)
    closing = funded.post(f"{CROSS}/position/close")
    is_order(closing, "filled")
    assert (closing["type"], closing["side"], closing["quantity"], closing["price"]) == ("market", "sell", 1000, 62_500)
    flat = position_of(funded)
    assert (flat["quantity"], flat["entryPrice"], flat["liquidation"]) == (0, None, None)
    assert (flat["margin"], flat["totalPl"], flat["deltaPl"]) == (498_000 + 400_000 - 1600, 400_000, 0)
    assert funded.get(f"{CROSS}/orders/filled") == {"data": [closing, order], "nextCursor": None}
    error = funded.refused("POST", f"{CROSS}/position/close")
    assert error["code"] == "NO_POSITION"
    effects = [(row["kind"], row["tradeId"], row["amount"], row["value"]) for row in paper.get("effects")[2:]]
    assert effects == [
        ("cross_order", order["id"], 0, 50_000),
        ("cross_close", closing["id"], 400_000, 62_500),
    ]


def test_short_positions_are_negative(funded: Any) -> None:
    assert buy(funded, side="sell")["side"] == "sell"
    assert position_of(funded)["quantity"] == -1000
    assert funded.post(f"{CROSS}/position/close")["side"] == "buy"


def test_limit_order(paper: Any, funded: Any) -> None:
    order = limit(funded, 48_000.5)
    is_order(order, "open")
    assert (order["type"], order["price"], order["tradingFee"]) == ("limit", 48_000.5, 0)
    assert funded.get(f"{CROSS}/orders/open") == [order]
    assert position_of(funded)["initialMargin"] == 208_332
    (fired,) = paper.move(48_000)
    assert (fired["tradeId"], fired["accountId"], fired["what"], fired["price"]) == (
        order["id"],
        funded.id,
        "fill",
        48_000.5,
    )
    (filled,) = funded.get(f"{CROSS}/orders/filled")["data"]
    is_order(filled, "filled")
    assert (filled["id"], filled["type"], filled["tradingFee"]) == (order["id"], "limit", 2083)
    assert funded.get(f"{CROSS}/orders/open") == []


def test_cancel_and_cancel_all(paper: Any, funded: Any) -> None:
    first, second, third = (limit(funded, 40_000 + step, quantity=10) for step in range(3))
    canceled = funded.post(f"{CROSS}/order/cancel", {"id": second["id"]})
    is_order(canceled, "canceled")
    rest = funded.post(f"{CROSS}/orders/cancel-all")
    assert [order["id"] for order in rest] == [first["id"], third["id"]]
    for order in rest:
        is_order(order, "canceled")
    assert funded.post(f"{CROSS}/orders/cancel-all") == []
    assert funded.get(f"{CROSS}/orders/filled")["data"] == []
    kinds = [kind for kind, _ in paper.effects()[2:]]
    assert kinds == ["cross_order"] * 3 + ["cross_cancel"] * 3
    error = funded.refused("POST", f"{CROSS}/order/cancel", {"id": first["id"]})
    assert (error["code"], error["details"]) == ("ORDER_NOT_OPEN", {"state": "canceled"})


def test_orders_of_others(paper: Any, funded: Any) -> None:
    order = limit(funded, 40_000)
    other = paper.trader()
    error = other.refused("POST", f"{CROSS}/order/cancel", {"id": order["id"]})
    assert error["message"] == "You do not own this order"
    other.refused("POST", f"{CROSS}/order/cancel", {"id": NOBODY}, status=404)
    assert other.get(f"{CROSS}/orders/open") == []


def test_leverage(paper: Any, funded: Any) -> None:
    buy(funded)
    position = funded.put(f"{CROSS}/leverage", {"leverage": 50})
    is_shaped(position, POSITION)
    assert (position["leverage"], position["runningMargin"]) == (50, 40_000)
    assert funded.refused("PUT", f"{CROSS}/leverage", {"leverage": 1})["code"] == "INSUFFICIENT_MARGIN"
    effect = paper.get("effects")[-1]
    assert (effect["kind"], effect["value"], effect["tradeId"]) == ("cross_leverage", 50, position["id"])


def test_liquidation(paper: Any, funded: Any) -> None:
    buy(funded, quantity=2000)
    resting = limit(funded, 40_000, quantity=1)
    liquidation = position_of(funded)["liquidation"]
    fired = paper.move(30_000)
    assert [(row["what"], row["price"]) for row in fired] == [("canceled", liquidation), ("liquidation", liquidation)]
    newest, _ = funded.get(f"{CROSS}/orders/filled")["data"]
    is_order(newest, "filled")
    assert (newest["type"], newest["side"], newest["quantity"], newest["price"]) == (
        "liquidation",
        "sell",
        2000,
        liquidation,
    )
    assert fired[0]["tradeId"] == resting["id"]
    assert position_of(funded)["quantity"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "stop"}, "type"),
        ({"side": "b"}, "side"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 500_001}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": "10"}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"price": 50_000}, "price"),
        ({"type": "limit"}, "price"),
        ({"type": "limit", "price": 50_000.25}, "price"),
        ({"clientId": ""}, "clientId"),
        ({"clientId": 7}, "clientId"),
    ],
)
def test_bad_orders(paper: Any, funded: Any, change: dict[str, Any], field: str) -> None:
    order = {"type": "market", "side": "buy", "quantity": 10, **change}
    error = funded.refused("POST", f"{CROSS}/order", order)
    assert (error["code"], error["details"]) == ("VALIDATION_ERROR", {"field": field})
    assert len(paper.effects()) == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "order", {"type": "market", "side": "buy"}, "quantity"),
        ("PUT", "leverage", {}, "leverage"),
        ("PUT", "leverage", {"leverage": 0}, "leverage"),
        ("PUT", "leverage", {"leverage": 101}, "leverage"),
        ("PUT", "leverage", {"leverage": 2.5}, "leverage"),
        ("POST", "deposit", {}, "amount"),
        ("POST", "deposit", {"amount": 0}, "amount"),
        ("POST", "withdraw", {"amount": -1}, "amount"),
        ("POST", "withdraw", {"amount": "1"}, "amount"),
        ("POST", "order/cancel", {"id": "x"}, "id"),
    ],
)
def test_bad_bodies(trader: Any, method: str, path: str, body: dict[str, Any], field: str) -> None:
    assert trader.refused(method, f"{CROSS}/{path}", body)["details"] == {"field": field}


def test_what_the_money_does_not_cover(funded: Any) -> None:
    assert funded.refused("POST", f"{CROSS}/deposit", {"amount": 500_001})["code"] == "INSUFFICIENT_BALANCE"
    assert funded.refused("POST", f"{CROSS}/withdraw", {"amount": 500_001})["code"] == "INSUFFICIENT_MARGIN"
    order = {"type": "market", "side": "buy", "quantity": 10_000}
    assert funded.refused("POST", f"{CROSS}/order", order)["code"] == "INSUFFICIENT_MARGIN"


@pytest.mark.parametrize("path", ["orders/filled", "transfers", "funding-fees"])
def test_pages_are_checked(trader: Any, path: str) -> None:
    assert trader.get(f"{CROSS}/{path}") == {"data": [], "nextCursor": None}
    assert trader.refused("GET", f"{CROSS}/{path}", query="limit=0")["code"] == "VALIDATION_ERROR"


EIGHT_HOURS = {"seconds": 8 * 3600}


@pytest.fixture
def charging(paper: Any) -> Any:
    """An exchange that settles funding at 0.01 % in what the tests let pass, and never by itself meanwhile."""
    paper.set(fundingCharged=True, fundingRate="0.0001")
    paper.ask("PUT", "market", {"paused": True})
    return paper


def test_funding(charging: Any, funded: Any) -> None:
    long, short = funded.buy(quantity=1000), funded.buy(quantity=500, side="sell")
    buy(funded)
    balance = funded.balance
    charging.ask("POST", "market/step", EIGHT_HOURS)
    settlements = requests.get(f"{charging.url}/v3/futures/funding-settlements", timeout=10).json()
    (settlement,) = settlements["data"]
    assert settlements["nextCursor"] is None
    assert set(settlement) == {"id", "time", "fundingRate", "fixingPrice"}
    assert (settlement["fundingRate"], settlement["fixingPrice"]) == (0.0001, 50_000)

    def fee(amount: int, trade_id: str | None) -> dict[str, Any]:
        return {"settlementId": settlement["id"], "time": settlement["time"], "fee": amount, "tradeId": trade_id}

    assert funded.get("/futures/isolated/funding-fees") == {
        "data": [fee(-100, short["id"]), fee(200, long["id"])],
        "nextCursor": None,
    }
    of_long = funded.get("/futures/isolated/funding-fees", f"tradeId={long['id']}")
    assert of_long["data"] == [fee(200, long["id"])]
    assert funded.get(f"{CROSS}/funding-fees")["data"] == [fee(200, None)]
    running = {trade["id"]: trade for trade in funded.get("/futures/isolated/trades/running")}
    assert (running[long["id"]]["sumFundingFees"], running[short["id"]]["sumFundingFees"]) == (200, -100)
    assert running[long["id"]]["margin"] == long["margin"] - 200
    assert funded.balance == balance + 100
    position = position_of(funded)
    assert (position["fundingFees"], position["margin"]) == (200, 498_000 - 200)


def test_funding_fees_of_others_are_not_shown(charging: Any, trader: Any) -> None:
    trade = trader.buy(quantity=1000)
    charging.ask("POST", "market/step", EIGHT_HOURS)
    assert len(trader.get("/futures/isolated/funding-fees", f"tradeId={trade['id']}")["data"]) == 1
    other = charging.trader()
    for trade_id in (trade["id"], NOBODY):
        empty = {"data": [], "nextCursor": None}
        assert other.get("/futures/isolated/funding-fees", f"tradeId={trade_id}") == empty


def test_settlements_come_in_pages(charging: Any) -> None:
    charging.ask("POST", "market/step", {"seconds": 3 * 8 * 3600})
    url = f"{charging.url}/v3/futures/funding-settlements"
    first = requests.get(url, params={"limit": 2}, timeout=10).json()
    rest = requests.get(url, params={"limit": 2, "cursor": first["nextCursor"]}, timeout=10).json()
    assert (len(first["data"]), len(rest["data"]), rest["nextCursor"]) == (2, 1, None)
    assert len({row["id"] for row in first["data"] + rest["data"]}) == 3
