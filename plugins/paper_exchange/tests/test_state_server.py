"""`--state` with real servers that are stopped, killed, and started again."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

TRADE = "/futures/isolated/trade"
COMMAND = [sys.executable, "-m", "axisor_paper_exchange", "--port", "0"]
CSV = """time,open,high,low,close,volume
0,50000,51000,49000,50500,3
60,50500,52000,50000,50200,4
72000,50200,50200,50200,50200,1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def stopped(paper: Any) -> str:
    """Stop a server as one should; return what it said."""
    paper.process.terminate()
    errors = paper.process.communicate(timeout=20)[1]
    assert paper.process.returncode == 0, errors
    return str(errors)


def killed(paper: Any) -> None:
    paper.process.kill()
    paper.process.wait(20)


def refused(*options: str) -> str:
    """Start a server that does not start; return what it said."""
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr


def seen(paper: Any, trader: Any) -> dict[str, Any]:
    """All that can be seen of a world, but for what a restart does change: its requests, and what is as of now."""
    return {
        "accounts": paper.get("accounts"),
        "account": paper.get(f"accounts/{trader.id}"),
        "trades": paper.get(f"accounts/{trader.id}/trades"),
        "orders": trader.get("/futures/cross/orders/open"),
        "position": trader.get("/futures/cross/position"),
        "settlements": trader.get("/futures/funding-settlements"),
        "fees": trader.get("/futures/isolated/funding-fees"),
        "deposits": trader.get("/account/deposits/lightning"),
        "notifications": trader.get("/account/notifications"),
        "days": trader.get("/futures/candles", "range=1d"),
        "effects": paper.get("effects"),
        "settings": paper.get("settings"),
        "price": paper.get("price"),
        "market": paper.get("market"),
        "audit": paper.get("audit"),
    }


def lived(paper: Any, trader_of: Callable[..., Any]) -> Any:
    """Do a bit of everything."""
    trader = trader_of(username="anna", key="k", secret="s", passphrase="p")
    trader_of(username="bert", permissions=["read"])
    paper.ask("PUT", "market", {"source": "candles", "csv": CSV, "paused": True})
    paper.ask("POST", "market/step", {"count": 3})
    paper.set(fundingCharged=True, feeRate="0.0006", spread=2)
    trader.buy(leverage=2, stoploss=40_000.5, clientId="mine")
    trader.limit(30_000)
    trader.post(f"{TRADE}/close", {"id": trader.buy()["id"]})
    trader.post("/futures/cross/deposit", {"amount": 50_000})
    trader.post("/futures/cross/order", {"type": "market", "side": "sell", "quantity": 5})
    trader.post("/futures/cross/order", {"type": "limit", "side": "sell", "quantity": 5, "price": 90_000})
    paper.ask("POST", f"accounts/{trader.id}/deposits", {"amount": 500})
    paper.ask("POST", f"accounts/{trader.id}/notifications", {"message": "hello"})
    paper.move(51_234.5)
    paper.ask("POST", "market/step", {"seconds": 9 * 3600})
    revoked = paper.ask("POST", f"accounts/{trader.id}/keys", {})["key"]
    paper.ask("DELETE", f"accounts/{trader.id}/keys/{revoked}")
    return trader


@pytest.mark.parametrize("end", [stopped, killed])
def test_everything_is_there_again(start: Any, path: Path, end: Callable[[Any], Any]) -> None:
    with start("--state", str(path)) as paper:
        trader = lived(paper, paper.trader)
        before = seen(paper, trader)
        last = paper.get("requests")[-1]["seq"]
        end(paper)
    with start("--state", str(path)) as again:
        trader.url, trader.session = again.url, again.session
        assert seen(again, trader) == before
        first = again.get("requests")[0]
        assert first["seq"] > last
        trade = trader.buy()
        effect = again.get("effects")[-1]
        assert (effect["tradeId"], effect["seq"]) == (trade["id"], len(before["effects"]) + 1)
        assert effect["requestSeq"] > max(row["requestSeq"] for row in before["effects"])
        assert again.ask("POST", "market/step", {})["steps"] == before["market"]["steps"] + 1


def test_reset_goes_back_to_the_start_that_is_in_the_file(start: Any, path: Path) -> None:
    with start("--state", str(path), "--price", "61000", "--fee-rate", "0.002") as paper:
        paper.trader()
        killed(paper)
    with start("--state", str(path)) as paper:
        paper.ask("POST", "reset")
        assert paper.get("price")["price"] == 61_000
        assert paper.get("settings")["feeRate"] == "0.002"
        killed(paper)
    with start("--state", str(path)) as paper:
        assert paper.get("accounts") == []


def test_options_for_a_world_that_is_there_already(start: Any, path: Path) -> None:
    with start("--state", str(path), "--price", "61000") as paper:
        assert stopped(paper) == ""
    with start("--state", str(path), "--price", "1000", "--walk", "--journal-size", "5") as paper:
        assert paper.get("price")["price"] == 61_000
        assert stopped(paper) == "The state file holds a world already; not applied: --price, --walk\n"
    with start("--state", str(path)) as paper:
        assert stopped(paper) == ""


def test_what_was_answered_survives_a_kill_under_load(start: Any, path: Path) -> None:
    with start("--state", str(path)) as paper:
        traders = [paper.trader(balance=10**9) for _ in range(4)]
        running = Event()

        def trade(trader: Any) -> list[str]:
            answered: list[str] = []
            with requests.Session() as session:
                trader.session = session
                while True:
                    try:
                        answered.append(trader.buy(quantity=1)["id"])
                    except requests.RequestException:
                        return answered
                    if len(answered) == 50:
                        running.set()

        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(trade, trader) for trader in traders]
            assert running.wait(30)
            killed(paper)
            answered = [set(future.result()) for future in done]
    with start("--state", str(path)) as again:
        for trader, ids in zip(traders, answered, strict=True):
            trader.url, trader.session = again.url, again.session
            there = {row["id"] for row in trader.get("/futures/isolated/trades/running")}
            assert ids <= there
            # At most the one that was under way when the kill came.
            assert len(there - ids) <= 1
        rows = again.get("effects")
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert again.get("audit") == {"ok": True, "problems": []}


def test_what_a_fault_did_is_there_after_a_kill(start: Any, path: Path) -> None:
    with start("--state", str(path)) as paper:
        trader = paper.trader()
        paper.fault("drop_after")
        with pytest.raises(requests.ConnectionError):
            trader.buy()
        killed(paper)
    with start("--state", str(path)) as again:
        assert again.get("accounts")[0]["running"] == 1
        assert again.get("faults") == []


def test_a_last_record_that_is_not_whole(start: Any, path: Path) -> None:
    with start("--state", str(path)) as paper:
        paper.trader(username="anna")
        paper.trader(username="bert")
        killed(paper)
    path.write_bytes(path.read_bytes()[:-3])
    with start("--state", str(path)) as paper:
        assert [account["username"] for account in paper.get("accounts")] == ["anna"]
        assert stopped(paper) == "The last record of the state file was not whole, and was left out.\n"


def test_one_file_is_for_one_server(start: Any, path: Path) -> None:
    with start("--state", str(path)) as paper:
        assert refused("--state", str(path)) == f"Error: {path} is in use by another server\n"
        paper.trader()
        killed(paper)
    with start("--state", str(path)) as paper:
        assert len(paper.get("accounts")) == 1


def test_files_that_are_no_state(path: Path) -> None:
    path.write_text("hello\n")
    assert refused("--state", str(path)) == f"Error: {path} is not a state file of this program\n"
    assert path.read_text() == "hello\n"
    assert "No such file or directory" in refused("--state", str(path.parent / "nowhere" / "state"))


def test_the_port_in_use_does_not_harm_the_state(start: Any, path: Path) -> None:
    with start("--state", str(path)) as paper:
        paper.trader()
        assert stopped(paper) == ""
    with start() as other:
        port = other.url.rsplit(":", 1)[1]
        assert f"can't listen on 127.0.0.1:{port}" in refused("--state", str(path), "--port", port)
    with start("--state", str(path)) as paper:
        assert len(paper.get("accounts")) == 1


def test_a_state_that_can_not_be_written_any_more_ends_the_server(path: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with subprocess.Popen(
        [*COMMAND, "--state", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=small_files,  # noqa: PLW1509 - this test has no other thread
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split('"')[3]
        opened = 0
        while (answer := requests.post(f"{url}/paper/accounts", json={}, timeout=10)).ok:
            opened += 1
        assert (answer.status_code, answer.json()["code"]) == (500, "STATE_NOT_WRITTEN")
        errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert errors == f"Error: can't write {path}: File too large\n"
    assert opened > 10
    with subprocess.Popen([*COMMAND, "--state", str(path)], stdout=subprocess.PIPE, text=True) as again:
        assert again.stdout is not None
        url = again.stdout.readline().split('"')[3]
        # All that were answered, and the one that was not is not there.
        assert len(requests.get(f"{url}/paper/accounts", timeout=10).json()) == opened
        again.terminate()
