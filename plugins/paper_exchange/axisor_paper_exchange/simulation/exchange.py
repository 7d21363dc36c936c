"""The simulation: the engine, with the time and price that its caller moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from axisor_executor.exchange.simulation import Books, Exposure, Fired, SimulationOptions
from axisor_paper_exchange import engine
from axisor_paper_exchange.simulation import answers
from axisor_paper_exchange.simulation.client import EngineClient

if TYPE_CHECKING:
    from axisor_executor.exchange import CrossOrder, Trade

__all__ = ["PaperSimulation"]

_NO_EXPOSURE = Exposure(0, 0)
_HIGHEST_SPREAD = Decimal(1_000_000)
_HIGHEST_FEE = Decimal("0.1")
_WORDS: dict[str, Literal["filled", "takeprofit", "stoploss", "liquidation", "canceled"]] = {
    "fill": "filled",
    "takeprofit": "takeprofit",
    "stoploss": "stoploss",
    "liquidation": "liquidation",
    "canceled": "canceled",
}


class PaperSimulation:
    """A paper exchange in this process: see `axisor_executor.exchange.simulation.Simulation`."""

    def __init__(self, options: SimulationOptions) -> None:
        """Begin as the options say. Raises `ValueError` for a price, spread or fee that the exchange can't have."""
        self._exchange = engine.Exchange(
            price=_ticks(options.price),
            fee_rate=_fee(options.fee_rate),
            spread=_spread(options.spread),
            new_id=engine.seeded_ids(options.seed),
        )
        self._at = answers.milliseconds(options.at)
        self._accounts: dict[str, engine.Account] = {}
        self._clients: dict[str, EngineClient] = {}

    @property
    def now(self) -> datetime:
        """The simulated time."""
        return answers.instant(self._at)

    @property
    def price(self) -> Decimal:
        """The last price in USD."""
        return answers.price_of(self._exchange.market.last)

    def add_account(self, name: str, *, balance: int) -> None:
        """Open an account."""
        if name in self._accounts:
            raise ValueError(f"there is an account {name!r} already")
        if balance < 0:
            raise ValueError(f"a balance is at least 0, not {balance}")
        account = self._exchange.open_account(name, balance, self._at)
        self._accounts[name] = account
        self._clients[name] = EngineClient(self._exchange, account, lambda: self._at)

    def client(self, name: str) -> EngineClient:
        """Return an account's client."""
        return self._clients[name]

    def move(self, at: datetime, price: Decimal) -> Sequence[Fired]:
        """Let time go on and the price move."""
        moved_to = answers.milliseconds(at)
        if moved_to < self._at:
            raise ValueError(f"{at.isoformat()} is before {self.now.isoformat()}")
        level = _ticks(price)
        self._at = moved_to
        fired = self._exchange.move_price(level, moved_to)
        return _told(fired) if fired else ()

    def settle_funding(self, rate: Decimal) -> Sequence[Fired]:
        """Settle funding now."""
        return _told(self._exchange.settle_funding(self._at, rate).fired)

    def trade(self, name: str, trade_id: str) -> Trade | None:
        """Return a trade in whatever state."""
        found = self._accounts[name].trades.get(trade_id)
        return None if found is None else answers.trade(found, self._exchange.market.last)

    def trades(self, name: str) -> Sequence[Trade]:
        """Return all isolated trades, the oldest first."""
        last = self._exchange.market.last
        return [answers.trade(one, last) for one in self._accounts[name].trades.values()]

    def cross_orders(self, name: str) -> Sequence[CrossOrder]:
        """Return all cross orders, the oldest first."""
        return [answers.cross_order(one) for one in self._accounts[name].cross.orders.values()]

    def books(self, name: str) -> Books:
        """Return an account's money."""
        account = self._accounts[name]
        trades, cross = account.trades.values(), account.cross
        return Books(
            deposited=sum(entry.amount for entry in account.ledger if entry.kind == "deposit"),
            balance=account.balance,
            equity=self.equity(name),
            fees=sum(one.opening_fee + one.closing_fee for one in trades) + cross.trading_fees,
            funding=sum(one.sum_funding_fees for one in trades) + cross.funding_fees,
        )

    def equity(self, name: str) -> int:
        """Return the account's equity."""
        account, last = self._accounts[name], self._exchange.market.last
        total = account.balance
        for trade in account.open.values():
            total += trade.held
        for trade in account.running.values():
            total += trade.margin + trade.maintenance_margin + trade.profit_at(last)
        exposure = account.cross.exposure
        return total + exposure.margin + (exposure.profit_at(last) if exposure.quantity else 0)

    def exposure(self, name: str) -> Exposure:
        """Return what the account holds on either side."""
        account = self._accounts[name]
        sides = [one.side * one.quantity for one in account.running.values()]
        if held := account.cross.exposure.quantity:
            sides.append(held)
        if not sides:
            return _NO_EXPOSURE
        return Exposure(sum(one for one in sides if one > 0), -sum(one for one in sides if one < 0))

    def audit(self) -> Sequence[str]:
        """Return what does not add up."""
        return engine.audit(self._exchange)


def _told(fired: Iterable[engine.Fired]) -> list[Fired]:
    return [
        Fired(
            account=item.account.username,
            what=_WORDS[what],
            id=item.id,
            price=answers.price_of(price),
            is_cross=isinstance(item, engine.CrossOrder),
        )
        for item, what, price in fired
    ]


@lru_cache(maxsize=65536)
def _ticks(price: Decimal) -> int:
    found = engine.ticks(price)
    if found is None:
        raise ValueError(f"a price is a positive multiple of 0.5, not {price}")
    return found


def _spread(spread: Decimal) -> int:
    if spread == 0:
        return 0
    if not 0 < spread <= _HIGHEST_SPREAD:
        raise ValueError(f"a spread is from 0 to {_HIGHEST_SPREAD} USD, not {spread}")
    return _ticks(spread)


def _fee(rate: Decimal) -> Decimal:
    if not 0 <= rate <= _HIGHEST_FEE:
        raise ValueError(f"a fee rate is from 0 to {_HIGHEST_FEE}, not {rate}")
    return rate
