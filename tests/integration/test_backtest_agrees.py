"""A backtest does what the executor does: the same prices over HTTP, with the ledger, and inside one process."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from axisor_executor.backtest.candles import CandleFile
from axisor_executor.backtest.play import Options, play
from axisor_executor.backtest.result import Backtest
from axisor_executor.backtest.scenario import parse_scenario
from axisor_executor.exchange.base import Trade
from axisor_executor.plugins import Registry
from tests.harness.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)
BALANCE = 10_000_000
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "close": ("margin_guard", {"action": "close_position", "margin_threshold": 50}),
    "reduce": ("margin_guard", {"action": "reduce_position", "reduce_percentage": 50, "margin_threshold": 50}),
    "reduce all": (
        "margin_guard",
        {"action": "reduce_position", "reduce_percentage": 30, "margin_threshold": 40, "scope": "all"},
    ),
    "add margin": (
        "margin_guard",
        {"action": "add_margin", "add_margin_amount": 30_000, "margin_threshold": 50, "max_daily_add_margin": 70_000},
    ),
    "stop loss": ("tp_sl", {"action": "update_sl", "new_stoploss": 46_000}),
    "take profit": ("tp_sl", {"action": "close_tp", "trigger_price": 50_900}),
}
PRICES = (50_000, 51_000, 47_400, 47_300, 45_200, 44_000)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_trades_as_the_executor_does(world: World, tmp_path: Path, name: str) -> None:
    automation_type, config = CONFIGS[name]
    account = world.account(balance=BALANCE)
    trade_id = world.open_trade(account, quantity=1000)
    automation = world.automation(account, automation_type, config)
    statuses: Counter[str] = Counter()
    for price in PRICES:
        world.move_price(price)
        statuses[world.run(automation, trade_id=trade_id)["status"]] += 1
    result = played(world.parts.registry, tmp_path, automation_type, config)
    assert [told(trade) for trade in result.trades] == [shown(row) for row in reversed(all_trades(world, account))]
    assert result.books.balance == world.paper.balance(account.paper)
    tally = result.automations[0].tally
    assert tally.sent, "it has done something"
    assert statuses == Counter(
        {
            status: count
            for status, count in (
                ("completed", tally.acted - tally.rejected.total() + tally.nothing),
                ("pending", tally.waited.total()),
                ("failed", tally.failed.total() + tally.rejected.total()),
            )
            if count
        }
    )


def played(registry: Registry, folder: Path, automation_type: str, config: dict[str, Any]) -> Backtest:
    rows = [
        f"{(START + timedelta(minutes=number)).isoformat()},{price},{price},{price},{price}\n"
        for number, price in enumerate(PRICES)
    ]
    path = folder / "candles.csv"
    path.write_text("time,open,high,low,close\n" + "".join(rows), encoding="utf-8")
    main = {"name": "main", "side": "b", "quantity": 1000, "leverage": 10}
    one = {"type": automation_type, "trade": "main", "config": config}
    scenario = parse_scenario({"automations": [one], "positions": [main]})
    return play(registry, scenario, CandleFile(path), Options(balance=BALANCE))


def all_trades(world: World, account: Any) -> list[dict[str, Any]]:
    """Every trade of the account, the newest first."""
    return sorted(world.paper.trades(account.paper), key=lambda row: row["createdAt"], reverse=True)


def told(trade: Trade) -> tuple[Any, ...]:
    prices = (trade.entry_price, trade.exit_price, trade.stoploss or 0)
    fees = (trade.opening_fee, trade.closing_fee)
    return trade.state, trade.quantity, trade.margin, *prices, trade.pl, fees


def shown(row: dict[str, Any]) -> tuple[Any, ...]:
    (state,) = [name for name in ("open", "running", "closed", "canceled") if row[name]]
    values = (row[name] for name in ("quantity", "margin", "entryPrice", "exitPrice", "stoploss", "pl"))
    return (state, *values, (row["openingFee"], row["closingFee"]))
