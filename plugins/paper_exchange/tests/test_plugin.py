"""The exchange `paper` of the executor."""

from __future__ import annotations

from decimal import Decimal
from importlib.metadata import entry_points
from typing import Any

import pytest

pytest.importorskip("axisor_executor.hookspecs", reason="the executor is not installed")

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import SettingsError
from axisor_executor.exchange import ExchangeOptions, NewTrade
from axisor_executor.plugins import discover, load
from axisor_paper_exchange import plugin


def test_the_executor_finds_it() -> None:
    found = [one for one in discover() if one.distribution == "axisor-paper-exchange"]
    assert [one.name for one in found] == ["paper_exchange"]
    registry = load(found, required=["paper_exchange"])
    assert registry.exchanges == {"paper": plugin.paper_client}
    assert "paper_exchange" in entry_points(group="axisor_executor").names


@pytest.mark.parametrize(
    ("variable", "configured", "expected"),
    [
        ("", "https://api.lnmarkets.com/v3", plugin.DEFAULT_URL),
        ("", "http://127.0.0.1:9000/v3", "http://127.0.0.1:9000/v3"),
        ("", "http://localhost:9000/v3", "http://localhost:9000/v3"),
        ("", "http://[::1]:9000/v3", "http://[::1]:9000/v3"),
        (" http://paper:8089 ", "https://api.lnmarkets.com/v3", "http://paper:8089"),
    ],
)
def test_where_paper_accounts_trade(
    monkeypatch: pytest.MonkeyPatch, variable: str, configured: str, expected: str
) -> None:
    monkeypatch.setenv(plugin.URL_VARIABLE, variable)
    assert plugin.paper_url(configured) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://api.lnmarkets.com/v3",
        "https://api.signet.LNMarkets.com",
        "http://lnmarkets.com",
        "https://api.lnmarkets.com.",
    ],
)
def test_never_on_the_real_exchange(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(plugin.URL_VARIABLE, url)
    with pytest.raises(SettingsError):
        plugin.paper_client(ExchangeOptions("paper", "https://api.lnmarkets.com/v3"), None)


def test_the_executor_trades_on_it(monkeypatch: pytest.MonkeyPatch, paper: Any, trader: Any) -> None:
    monkeypatch.setenv(plugin.URL_VARIABLE, paper.url)
    credentials = SecureCredentials(key=trader.key, secret=trader.secret, passphrase=trader.passphrase)
    client = plugin.paper_client(ExchangeOptions("paper", "https://api.lnmarkets.com/v3"), credentials)
    assert client.ticker().value.last_price == 50_000
    trade = client.open_trade(NewTrade("market", "buy", 10, Decimal(10), client_id="mine")).value
    assert client.running_trades().value == (trade,)
    assert client.close_trade(trade.id).value.state == "closed"
    assert [one.id for one in client.closed_trades().value.items] == [trade.id]
    assert client.account().value.id == trader.id
