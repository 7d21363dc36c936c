"""What came of a backtest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from axisor_executor.automation import jsonable
from axisor_executor.backtest.account import NAME
from axisor_executor.backtest.automations import RunningAutomation, Tally
from axisor_executor.backtest.measure import Drawdown, Measure, Point
from axisor_executor.exchange.base import CrossOrder, Trade
from axisor_executor.exchange.simulation import Books, Simulation


@dataclass(frozen=True, slots=True)
class Told:
    """One automation's part: what it was, how often it was asked (seconds), and what became of its jobs."""

    id: str
    type: str
    action: str
    every: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Backtest:
    """The result: money in sats, prices in USD.

    ``books`` are the simulated exchange's own. ``trades`` are all isolated trades and limit orders in the order of
    their begin, ``cross_orders`` those on the cross position. ``events`` counts what the market did to them
    (``filled``, ``takeprofit``, ``stoploss``, ``liquidation``, ``canceled``).
    """

    start: datetime
    end: datetime
    candles: int
    length: timedelta
    gaps: int
    path: str
    price: Decimal
    books: Books
    drawdown: Drawdown
    at_risk: timedelta
    events: Mapping[str, int]
    trades: Sequence[Trade]
    cross_orders: Sequence[CrossOrder]
    automations: Sequence[Told]
    curve: Sequence[Point]

    @property
    def share_at_risk(self) -> Decimal:
        """The percentage of the time in which a trade was running or a cross position held."""
        total = self.end - self.start
        return round(Decimal(100 * (self.at_risk / total)), 2) if total else Decimal(0)

    def count(self, state: str) -> int:
        """Return how many isolated trades are in a state now."""
        return sum(trade.state == state for trade in self.trades)

    @property
    def opened(self) -> int:
        """How many isolated trades ran at any time."""
        return sum(trade.filled_at is not None for trade in self.trades)

    @property
    def won(self) -> int:
        """How many closed trades made more than their fees and funding."""
        return sum(trade.state == "closed" and net(trade) > 0 for trade in self.trades)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        books, fall = self.books, self.drawdown
        return {
            "from": _text(self.start),
            "to": _text(self.end),
            "candles": self.candles,
            "candleSeconds": int(self.length.total_seconds()),
            "gaps": self.gaps,
            "path": self.path,
            "lastPrice": jsonable(self.price),
            "balance": books.deposited,
            "equity": books.equity,
            "pl": books.pl,
            "plPercent": jsonable(percent(books.pl, books.deposited)),
            "fees": books.fees,
            "funding": books.funding,
            "maxDrawdown": {
                "sats": fall.sats,
                "percent": jsonable(fall.percent),
                "from": _text(fall.peak_at),
                "to": _text(fall.low_at),
            },
            "liquidations": self.events.get("liquidation", 0),
            "timeAtRiskPercent": jsonable(self.share_at_risk),
            "trades": {
                "opened": self.opened,
                "won": self.won,
                "lost": self.count("closed") - self.won,
                **{state: self.count(state) for state in ("running", "open", "closed", "canceled")},
            },
            "events": dict(sorted(self.events.items())),
            "automations": [_told(one) for one in self.automations],
            "tradeList": [_trade(one) for one in self.trades],
            "crossOrders": [_order(one) for one in self.cross_orders],
            "equityCurve": [[_text(one.at), one.equity, jsonable(one.price)] for one in self.curve],
        }


def result_of(
    simulation: Simulation,
    measure: Measure,
    automations: Iterable[RunningAutomation],
    events: Counter[str],
    *,
    start: datetime,
    end: datetime,
    candles: int,
    length: timedelta,
    gaps: int,
    path: str,
) -> Backtest:
    """Return the result of a backtest that is over."""
    return Backtest(
        start=start,
        end=end,
        candles=candles,
        length=length,
        gaps=gaps,
        path=path,
        price=simulation.price,
        books=simulation.books(NAME),
        drawdown=measure.drawdown,
        at_risk=measure.at_risk,
        events=dict(events),
        trades=simulation.trades(NAME),
        cross_orders=simulation.cross_orders(NAME),
        automations=[
            Told(one.id, one.type, one.action, int(one.every.total_seconds()), one.tally) for one in automations
        ],
        curve=measure.curve.points,
    )


def net(trade: Trade) -> int:
    """Return what a trade has made after fees and funding, without what was cashed in before (sats)."""
    return trade.pl - trade.opening_fee - trade.closing_fee - trade.sum_funding_fees


def percent(part: int, whole: int) -> Decimal:
    """Return a part in percent, to two digits; 0 of nothing."""
    return round(Decimal(100 * part) / whole, 2) if whole else Decimal(0)


def _told(one: Told) -> dict[str, Any]:
    tally = one.tally
    return {
        "id": one.id,
        "type": one.type,
        "action": one.action,
        "everySeconds": one.every,
        "jobs": tally.jobs,
        "acted": tally.acted,
        "nothing": tally.nothing,
        **{
            name: dict(sorted(getattr(tally, name).items()))
            for name in ("waited", "failed", "sent", "rehearsed", "superseded", "rejected")
        },
        "firstError": tally.first_error,
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.id,
        "side": trade.side,
        "type": trade.type,
        "state": trade.state,
        "quantity": trade.quantity,
        "leverage": jsonable(trade.leverage),
        "entryPrice": jsonable(trade.entry_price),
        "exitPrice": jsonable(trade.exit_price),
        "createdAt": _text(trade.created_at),
        "closedAt": _text(trade.closed_at),
        "pl": trade.pl,
        "fees": trade.opening_fee + trade.closing_fee,
        "funding": trade.sum_funding_fees,
    }


def _order(order: CrossOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "side": order.side,
        "type": order.type,
        "state": order.state,
        "quantity": order.quantity,
        "price": jsonable(order.price),
        "createdAt": _text(order.created_at),
        "fees": order.trading_fee,
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds").replace("+00:00", "Z")
