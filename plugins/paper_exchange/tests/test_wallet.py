"""Deposits, withdrawals, notifications, addresses, synthetic USD."""

from __future__ import annotations

from typing import Any

import pytest
import requests

ACCOUNT = "/account"
EMPTY = {"data": [], "nextCursor": None}


def deposit(paper: Any, trader: Any, amount: int, **fields: Any) -> str:
    made = paper.ask("POST", f"accounts/{trader.id}/deposits", {"amount": amount, **fields})
    return str(made["id"])


def test_a_deposit_is_in_balance_ledger_and_list(paper: Any, trader: Any) -> None:
    made = deposit(paper, trader, 500, comment="pocket money")
    assert trader.balance == 1_000_500
    assert [entry["amount"] for entry in paper.get(f"accounts/{trader.id}")["ledger"]] == [1_000_000, 500]
    (row,) = trader.get(f"{ACCOUNT}/deposits/lightning")["data"]
    assert (row["id"], row["amount"], row["comment"]) == (made, 500, "pocket money")
    assert row["settledAt"] == row["createdAt"]
    assert len(row["paymentHash"]) == 64
    assert trader.get(f"{ACCOUNT}/deposits/lightning", "settled=false") == EMPTY
    assert len(trader.get(f"{ACCOUNT}/deposits/lightning", "settled=true")["data"]) == 1


def test_deposits_by_method(paper: Any, trader: Any) -> None:
    made = {method: deposit(paper, trader, 7, method=method) for method in ("lightning", "on-chain", "internal")}
    for method, deposit_id in made.items():
        assert [row["id"] for row in trader.get(f"{ACCOUNT}/deposits/{method}")["data"]] == [deposit_id]
    (row,) = trader.get(f"{ACCOUNT}/deposits/on-chain", "status=IRREVERSIBLE")["data"]
    assert set(row) == {"id", "createdAt", "amount", "blockHeight", "confirmations", "status", "txId"}
    for status in ("MEMPOOL", "CONFIRMED", "under_review", "not_credited", "on_hold"):
        assert trader.get(f"{ACCOUNT}/deposits/on-chain", f"status={status}") == EMPTY
    (row,) = trader.get(f"{ACCOUNT}/deposits/internal")["data"]
    assert (row["fromUsername"], row["success"]) == ("paper", True)
    assert paper.trader().get(f"{ACCOUNT}/deposits/lightning") == EMPTY


def test_pages_of_deposits(paper: Any, trader: Any) -> None:
    made = [deposit(paper, trader, 1 + number) for number in range(5)]
    seen, cursor = [], ""
    while True:
        page = trader.get(f"{ACCOUNT}/deposits/lightning", f"limit=2{cursor}")
        seen += [row["id"] for row in page["data"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == made[::-1]
    at = trader.get(f"{ACCOUNT}/deposits/lightning")["data"][2]["createdAt"]
    assert made[2] in [row["id"] for row in trader.get(f"{ACCOUNT}/deposits/lightning", f"from={at}&to={at}")["data"]]
    assert trader.get(f"{ACCOUNT}/deposits/lightning", "to=2020-01-01") == EMPTY


@pytest.mark.parametrize(
    "body", [{}, {"amount": 0}, {"amount": -5}, {"amount": 1.5}, {"amount": 1, "method": "cash"}, {"amount": 1, "x": 1}]
)
def test_bad_deposits(paper: Any, trader: Any, body: dict[str, Any]) -> None:
    assert paper.send("POST", f"accounts/{trader.id}/deposits", body).status_code == 400
    assert paper.send("POST", "accounts/nobody/deposits", {"amount": 1}).status_code == 404
    assert trader.balance == 1_000_000


@pytest.mark.parametrize("method", ["lightning", "on-chain", "internal"])
def test_there_are_no_withdrawals(trader: Any, method: str) -> None:
    assert trader.get(f"{ACCOUNT}/withdrawals/{method}") == EMPTY
    trader.refused("GET", f"{ACCOUNT}/withdrawals/{method}", query="limit=0")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/account/withdraw/lightning", {"invoice": "lnbc1"}, "PAPER_MONEY"),
        ("/account/withdraw/on-chain", {"address": "bc1q", "amount": 5}, "PAPER_MONEY"),
        ("/account/withdraw/internal", {"toUsername": "bob", "amount": 5}, "PAPER_MONEY"),
        ("/account/deposit/lightning", {"amount": 5}, "PAPER_MONEY"),
        ("/synthetic-usd/swap", {"inAmount": 5, "inAsset": "USD", "outAsset": "BTC"}, "PAPER_SWAP"),
    ],
)
def test_real_money_is_refused_politely(trader: Any, path: str, body: dict[str, Any], code: str) -> None:
    error = trader.refused("POST", path, body)
    assert error["code"] == code
    assert "aper" in error["message"]
    for name in body:
        missing = {other: value for other, value in body.items() if other != name}
        assert trader.refused("POST", path, missing)["code"] == "VALIDATION_ERROR"
    assert trader.balance == 1_000_000


def test_addresses_are_of_no_real_network(trader: Any) -> None:
    assert trader.get(f"{ACCOUNT}/address/bitcoin")["address"].startswith("bcrt1q")
    assert trader.post(f"{ACCOUNT}/address/bitcoin")["address"].startswith("bcrt1q")
    made = trader.post(f"{ACCOUNT}/address/bitcoin", {"format": "p2tr"})
    assert made["address"].startswith("bcrt1p")
    assert set(made) == {"address", "createdAt"}
    trader.refused("POST", f"{ACCOUNT}/address/bitcoin", {"format": "p2pkh"})


def test_notifications_are_unread_until_they_are_marked(paper: Any, trader: Any) -> None:
    for number in range(3):
        paper.ask("POST", f"accounts/{trader.id}/notifications", {"event": "news", "message": f"number {number}"})
    rows = trader.get(f"{ACCOUNT}/notifications")["data"]
    assert [row["message"] for row in rows] == ["number 2", "number 1", "number 0"]
    assert {row["event"] for row in rows} == {row["type"] for row in rows} == {"news"}
    assert trader.get(f"{ACCOUNT}/notifications", "read=true") == EMPTY
    assert trader.send("PUT", f"{ACCOUNT}/notifications").status_code == 200
    assert trader.get(f"{ACCOUNT}/notifications") == trader.get(f"{ACCOUNT}/notifications", "read=false") == EMPTY
    assert {row["read"] for row in trader.get(f"{ACCOUNT}/notifications", "read=true")["data"]} == {True}
    assert paper.send("POST", f"accounts/{trader.id}/notifications", {}).status_code == 400


def test_synthetic_usd(paper: Any, trader: Any) -> None:
    paper.set(spread=3)
    assert requests.get(f"{trader.url}/v3/synthetic-usd/best-price", timeout=5).json() == {
        "askPrice": 50_001.5,
        "bidPrice": 49_998.5,
    }
    assert trader.get("/synthetic-usd/swaps") == EMPTY
    trader.refused("POST", "/synthetic-usd/swap", {"inAmount": 5, "inAsset": "USD", "outAsset": "USD"})
