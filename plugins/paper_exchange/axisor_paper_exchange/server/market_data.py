"""Public market data: candles, the leaderboard, the best price of a swap."""

from __future__ import annotations

from typing import Any

from axisor_paper_exchange.engine import Account
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.market import RANGES, Candle
from axisor_paper_exchange.server.shapes import number, page_json, price_json

__all__ = ["routes"]

_DAY = 86_400_000
_PERIODS = {"daily": _DAY, "weekly": 7 * _DAY, "monthly": 30 * _DAY}
_ALL_TIME = "all-time"
_BEST = 10


def candles(call: Call) -> Answer:
    """Return a page of candles, newest first."""
    fields = call.query()
    rows, following = call.world.candles.page(
        fields.choice("range", *RANGES, default="1m"),
        call.at,
        since=fields.instant("from"),
        until=fields.instant("to"),
        before=fields.instant("cursor"),
        limit=fields.limit(),
    )
    return ok(page_json([_candle(row) for row in rows], None if following is None else iso(following)))


def leaderboard(call: Call) -> Answer:
    """Return who made most in the last day, week, month and ever, by the P&L of closed trades."""
    since = {name: call.at - length for name, length in _PERIODS.items()} | {_ALL_TIME: 0}
    sums: dict[str, list[tuple[int, str]]] = {name: [] for name in since}
    for account in call.exchange.accounts.values():
        for name, made in _made(account, since).items():
            sums[name].append((made, account.username))
    return ok({name: _best(rows) for name, rows in sums.items()})


def best_price(call: Call) -> Answer:
    """Return the prices that BTC would be swapped at."""
    market = call.exchange.market
    return ok({"askPrice": price_json(market.ask), "bidPrice": price_json(market.bid)})


def _made(account: Account, since: dict[str, int]) -> dict[str, int]:
    """Return the P&L in sats of an account's closed trades by period; only of periods that it has any in."""
    made: dict[str, int] = {}
    for trade in account.closed.rows():
        closed_at = trade.closed_at or 0
        for name, begin in since.items():
            if closed_at >= begin:
                made[name] = made.get(name, 0) + trade.realized
    return made


def _best(rows: list[tuple[int, str]]) -> list[dict[str, Any]]:
    rows.sort(key=lambda row: (-row[0], row[1]))
    return [{"username": username, "pl": made, "direction": 0} for made, username in rows[:_BEST]]


def _candle(candle: Candle) -> dict[str, Any]:
    return {
        "time": iso(candle.time),
        "open": price_json(candle.open),
        "high": price_json(candle.high),
        "low": price_json(candle.low),
        "close": price_json(candle.close),
        "volume": number(candle.volume),
    }


routes: Routes = {
    ("GET", "/futures/candles"): Route(candles, private=False),
    ("GET", "/futures/leaderboard"): Route(leaderboard, private=False),
    ("GET", "/synthetic-usd/best-price"): Route(best_price, private=False),
}
