"""The control surface."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

TRADE = "/futures/isolated/trade"
TRADES = "/futures/isolated/trades"


def test_accounts_have_their_own_keys_and_balances(paper: Any) -> None:
    made = paper.ask("POST", "accounts", {})
    assert made["balance"] == 1_000_000
    chosen = {"username": "eve", "balance": 5, "key": "k", "secret": "s", "passphrase": "p"}
    eve = paper.ask("POST", "accounts", chosen)
    assert {name: eve[name] for name in chosen} == chosen
    assert paper.send("POST", "accounts", {"key": "k"}).status_code == 409
    shown = paper.get("accounts")
    assert [account["id"] for account in shown] == [made["id"], eve["id"]]
    assert paper.get(f"accounts/{eve['id']}")["ledger"][0]["amount"] == 5
    for text in (str(shown), str(paper.get(f"accounts/{made['id']}"))):
        assert made["secret"] not in text
        assert made["passphrase"] not in text
    assert paper.send("GET", "accounts/nobody").status_code == 404


def test_an_account_may_have_several_keys(paper: Any, trader: Any) -> None:
    more = paper.ask("POST", f"accounts/{trader.id}/keys", {})
    assert more["id"] == trader.id
    assert len({more["key"], paper.get("accounts")[0]["key"]}) == 2
    other = type(trader)(paper.url, paper.session, more)
    trader.buy()
    assert len(other.get("/futures/isolated/trades/running")) == 1
    assert paper.send("POST", "accounts/nobody/keys", {}).status_code == 404
    assert paper.send("POST", f"accounts/{trader.id}/keys", {"key": "k"}).status_code == 400


@pytest.mark.parametrize("body", [{"balance": -1}, {"balance": 1.5}, {"name": "x"}, {"key": 7}])
def test_bad_accounts(paper: Any, body: dict[str, Any]) -> None:
    assert paper.send("POST", "accounts", body).status_code == 400
    assert paper.get("accounts") == []


def test_all_trades_of_an_account(paper: Any, trader: Any) -> None:
    closed = trader.post(f"{TRADE}/close", {"id": trader.buy(clientId="a")["id"]})
    canceled = trader.post(f"{TRADE}/cancel", {"id": trader.limit(40_000, clientId="b")["id"]})
    stopped = trader.buy(clientId="b", stoploss=49_000)
    open_order = trader.limit(30_000)
    paper.move(49_000)
    trades = paper.get(f"accounts/{trader.id}/trades")
    assert [trade["id"] for trade in trades] == [closed["id"], canceled["id"], stopped["id"], open_order["id"]]
    assert [trade["closedBy"] for trade in trades] == ["request", None, "stoploss", None]
    of_b = paper.get(f"accounts/{trader.id}/trades?clientId=b")
    assert [trade["id"] for trade in of_b] == [canceled["id"], stopped["id"]]


def test_price_moves_and_triggers(paper: Any, trader: Any) -> None:
    stop = trader.buy(stoploss=49_000)
    limit = trader.limit(48_000.5)
    assert paper.move(48_000.5) == [
        {"tradeId": stop["id"], "accountId": trader.id, "what": "stoploss", "price": 49_000},
        {"tradeId": limit["id"], "accountId": trader.id, "what": "fill", "price": 48_000.5},
    ]
    assert paper.get("price")["price"] == 48_000.5
    assert paper.ask("PUT", "price", {"price": "47000"})["price"] == 47_000
    assert [kind for kind, _ in paper.effects()] == ["open", "open"]


@pytest.mark.parametrize("price", ["x", "", -1, 0, 50_000.2, None, True, "NaN", "1e99"])
def test_bad_prices(paper: Any, price: Any) -> None:
    assert paper.send("PUT", "price", {"price": price}).status_code == 400
    assert paper.get("price")["price"] == 50_000


def test_settings(paper: Any, trader: Any) -> None:
    start = paper.get("settings")
    assert start["windowSeconds"] == 30
    changed = paper.set(feeRate="0.002", spread=4, windowSeconds=1.5, tickerFrozen=True, fundingRate=-0.0002)
    assert changed == start | {
        "feeRate": "0.002",
        "spread": "4",
        "windowSeconds": 1.5,
        "tickerFrozen": True,
        "fundingRate": -0.0002,
    }
    trade = trader.buy()
    assert (trade["entryPrice"], trade["openingFee"]) == (50_002, 39)
    paper.ask("POST", "reset")
    assert paper.get("settings") == start


@pytest.mark.parametrize(
    "change",
    [{"windowSeconds": -1}, {"feeRate": 1}, {"spread": 0.3}, {"tickerFrozen": 1}, {"window": 3}, {"feeRate": "x"}],
)
def test_bad_settings(paper: Any, change: dict[str, Any]) -> None:
    before = paper.get("settings")
    assert paper.send("PUT", "settings", change).status_code == 400
    assert paper.get("settings") == before


def test_requests_are_written_down_in_order(paper: Any, trader: Any) -> None:
    trade = trader.buy(clientId="mine")
    trader.get(f"{TRADES}/closed", "limit=5")
    trader.refused("POST", f"{TRADE}/cancel", {"id": trade["id"]})
    trader.send("GET", "/account", skew=60)
    rows = paper.get("requests")
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert [row["status"] for row in rows] == [row["outcome"] for row in rows] == [200, 200, 400, 401]
    assert [row["effect"] for row in rows] == [True, False, False, False]
    first = rows[0]
    assert (first["method"], first["path"], first["query"]) == ("POST", f"/v3{TRADE}", "")
    assert (first["key"], first["accountId"], first["answer"]) == (trader.key, trader.id, trade)
    assert '"clientId":"mine"' in first["body"]
    assert first["timestamp"].isdecimal()
    assert rows[1]["query"] == "limit=5"
    text = str(rows)
    assert trader.secret not in text
    assert trader.passphrase not in text


def test_requests_can_be_picked(paper: Any, trader: Any) -> None:
    other = paper.trader()
    trader.buy()
    other.buy()
    other.get("/account")
    assert [row["seq"] for row in paper.get("requests?since=1")] == [2, 3]
    assert [row["seq"] for row in paper.get(f"requests?account={other.id}")] == [2, 3]
    assert [row["seq"] for row in paper.get("requests?mutating=1")] == [1, 2]
    assert [row["seq"] for row in paper.get("requests?path=account")] == [3]
    assert [row["seq"] for row in paper.get("requests?limit=1")] == [1]
    assert paper.get("requests?since=99") == []
    assert paper.send("GET", "requests?since=x").status_code == 400
    assert paper.send("GET", "requests?sinse=1").status_code == 400


def test_effects_name_their_request(paper: Any, trader: Any) -> None:
    trader.get("/account")
    trade = trader.buy(clientId="mine")
    trader.put(f"{TRADE}/takeprofit", {"id": trade["id"], "value": 60_000.5})
    first, second = paper.get("effects")
    assert (first["seq"], first["requestSeq"], first["kind"]) == (1, 2, "open")
    assert (first["tradeId"], first["clientId"], first["accountId"]) == (trade["id"], "mine", trader.id)
    assert (second["kind"], second["value"]) == ("set_takeprofit", 60_000.5)
    assert paper.get("effects?since=1") == [second]
    assert paper.get("effects?account=nobody") == []


def test_reset_forgets_everything(paper: Any, trader: Any) -> None:
    trader.buy()
    paper.fault("drop_before", route="nowhere")
    paper.move(51_000)
    paper.ask("POST", "reset")
    assert paper.get("accounts") == paper.get("requests") == paper.get("effects") == paper.get("faults") == []
    assert paper.get("price")["price"] == 50_000
    assert trader.send("GET", "/account").status_code == 401


def test_unknown_control_routes(paper: Any) -> None:
    for method, path in (("GET", "nowhere"), ("POST", "price"), ("GET", "accounts/x/y"), ("PUT", "faults/fault-1")):
        assert paper.send(method, path).status_code == 404


def test_many_accounts_at_once(paper: Any) -> None:
    traders = [paper.trader(balance=100_000) for _ in range(40)]

    def trade(trader: Any) -> int:
        # Sessions are not for sharing between threads.
        with type(trader.session)() as session:
            trader.session = session
            for _ in range(3):
                order = trader.buy(quantity=50)
                trader.post(f"{TRADE}/add-margin", {"id": order["id"], "amount": 100})
                trader.post(f"{TRADE}/close", {"id": order["id"]})
            return int(trader.balance)

    with ThreadPoolExecutor(8) as pool:
        balances = list(pool.map(trade, traders))
    assert set(balances) == {100_000 - 3 * 200}
    assert len(paper.get("effects")) == 40 * 9
