"""The account of a backtest: what automations read of it, and what they have done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from axisor_executor.automation import Action, OpenPosition, OwnEntry
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.exchange.simulation import SimulatedClient, Simulation
from axisor_executor.run import spend

NAME = "backtest"
USER = "backtest"


@dataclass(frozen=True, slots=True)
class Deed:
    """An action that was sent at an instant (after that of its job), and the trade that it opened, as it was then."""

    at: datetime
    action: Action
    opened: Trade | None = None

    @property
    def new_trade_id(self) -> str | None:
        """The id of the trade that was opened."""
        return None if self.opened is None else self.opened.id


@dataclass(slots=True)
class Lineage:
    """Which trade replaced which, as the executor keeps it in its table."""

    _after: dict[str, str] = field(default_factory=dict)
    _before: dict[str, str] = field(default_factory=dict)

    def replaced(self, old: str, new: str) -> None:
        """Note that ``new`` is what became of ``old``."""
        self._after[old] = new
        self._before[new] = old

    def current(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        while trade_id in self._after:
            trade_id = self._after[trade_id]
        return trade_id

    def line(self, trade_id: str) -> Sequence[str]:
        """Return a trade's id and those that it had before, back to the first."""
        ids = [trade_id]
        while ids[-1] in self._before:
            ids.append(self._before[ids[-1]])
        return ids


class SimulatedAccount:
    """The one account of a backtest. What was read of its trades is kept until it is told to forget."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.client: SimulatedClient = simulation.client(NAME)
        self.lineage = Lineage()
        self._running: tuple[Trade, ...] | None = None
        self._open: tuple[Trade, ...] | None = None

    def forget(self) -> None:
        """Read anew from now on: the market has moved, or something was sent."""
        self._running = self._open = None

    def running(self) -> tuple[Trade, ...]:
        """Return the running trades."""
        if self._running is None:
            self._running = self.client.running_trades().value
        return self._running

    def open_orders(self) -> tuple[Trade, ...]:
        """Return the limit orders that are not filled."""
        if self._open is None:
            self._open = self.client.open_trades().value
        return self._open

    def cross_position_now(self) -> CrossPosition:
        """Return the cross position as it is."""
        return self.client.cross_position().value


class Past:
    """What one automation has done; the spend guards ask it."""

    def __init__(self, account: SimulatedAccount) -> None:
        self.account = account
        self.opened: set[str] = set()
        self._deeds: list[Deed] = []

    def add(self, deed: Deed) -> None:
        """Note what was done."""
        self._deeds.append(deed)
        if deed.new_trade_id is not None:
            self.opened.add(deed.new_trade_id)

    def since(self, instant: datetime) -> list[Deed]:
        """Return what was done after an instant, newest first."""
        found = []
        for deed in reversed(self._deeds):
            if deed.at <= instant:
                break
            found.append(deed)
        return found

    def recent(self, seconds: float, kind: str | None = None) -> Sequence[Deed]:
        """Return what was done in the last ``seconds``, newest first; only actions of a class, if it is named."""
        done = self.since(self.account.simulation.now - timedelta(seconds=seconds))
        return [deed for deed in done if kind is None or type(deed.action).__name__ == kind]

    def current_id(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        return self.account.lineage.current(trade_id)


class SimulatedReads:
    """What a handler reads lazily for one job: each fact once, as in a run."""

    def __init__(self, account: SimulatedAccount, past: Past) -> None:
        self._account = account
        self._past = past
        self._running: Sequence[Trade] | None = None
        self._open: Sequence[Trade] | None = None

    def price(self) -> Decimal:
        """Return the last price: never stale here."""
        return self._account.simulation.price

    def running(self) -> Sequence[Trade]:
        """Return the running trades."""
        if self._running is None:
            self._running = self._account.running()
        return self._running

    def open_orders(self) -> Sequence[Trade]:
        """Return the limit orders that are not filled."""
        if self._open is None:
            self._open = self._account.open_orders()
        return self._open

    def finished(self, trade_id: str) -> Trade | None:
        """Return a closed or canceled trade."""
        found = self._account.simulation.trade(NAME, trade_id)
        return found if found is not None and found.state in ("closed", "canceled") else None

    def cross_position(self) -> CrossPosition:
        """Return the cross position."""
        return self._account.cross_position_now()

    def balance(self) -> int:
        """Return the free balance in sats."""
        return self._account.client.account().value.balance

    def own_trades(self) -> Sequence[Trade]:
        """Return the running trades and open orders that this automation opened, or that replaced those."""
        opened, line = self._past.opened, self._account.lineage.line
        if not opened:
            return []
        trades = (*self.running(), *self.open_orders())
        return [trade for trade in trades if not opened.isdisjoint(line(trade.id))]

    def own_entries(self, since: datetime) -> Sequence[OwnEntry]:
        """Return what this automation has opened since then, newest first."""
        entries = []
        for deed in self._past.since(since):
            order, opened = deed.action, deed.opened
            if isinstance(order, OpenPosition) and order.replaces is None and opened is not None:
                price = opened.entry_price or opened.price
                entries.append(OwnEntry(deed.at, order, "confirmed", opened.id, price, opened.margin))
        return entries

    def acted_on(self, since: datetime) -> Sequence[str]:
        """Return which trades this automation has acted on since then."""
        return sorted(spend.touched(self._past, self._past.since(since)) - {""})

    def current_id(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        return self._account.lineage.current(trade_id)

    def original_id(self, trade_id: str) -> str:
        """Return the id that a trade had before it was reduced for the first time."""
        return self._account.lineage.line(trade_id)[-1]
