"""Lead a simulated market along candles, and have the automations asked as their jobs fall due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar

from axisor_executor.backtest.account import NAME, SimulatedAccount
from axisor_executor.backtest.automations import RunningAutomation
from axisor_executor.backtest.candles import Candle, CandleFile
from axisor_executor.backtest.measure import Measure, Point
from axisor_executor.backtest.path import NO_EXPOSURE, Path, corners
from axisor_executor.backtest.result import Backtest, result_of
from axisor_executor.backtest.scenario import CrossStart, Position, Scenario
from axisor_executor.errors import AxisorError, InvalidConfig, Rejected
from axisor_executor.exchange.base import FEE_RATE, Answer, CrossOrder, NewCrossOrder, NewTrade, Trade
from axisor_executor.exchange.simulation import Exposure, Fired, Simulation, SimulationOptions
from axisor_executor.plugins import Registry

T = TypeVar("T")

FUNDING_PERIOD = timedelta(hours=8)
"""From one settlement of funding to the next; they are due at multiples of it since the epoch."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_CORNER = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How to play. ``balance`` in sats, ``every`` in seconds (``None``: a job at the end of each candle).

    ``spread`` in USD, ``fee_rate`` and ``funding_rate`` (of each eight hours) as factors; ``simulation`` is the slug
    of the simulated exchange.
    """

    balance: int = 1_000_000
    every: int | None = None
    path: Path = "pessimistic"
    spread: Decimal = Decimal(0)
    fee_rate: Decimal = FEE_RATE
    funding_rate: Decimal = Decimal("0.0001")
    seed: int = 0
    simulation: str = "paper"


def play(
    registry: Registry,
    scenario: Scenario,
    candles: CandleFile,
    options: Options,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Play a scenario over a file of candles and return what came of it; the same input gives the same result.

    Args:
        registry: the loaded plugins: automation types, and the simulation.
        scenario: what to try.
        candles: the history.
        options: how.
        progress: called now and then with how many characters of the file were read.

    Raises:
        AxisorError: ``candles_invalid``, ``candles_gap``, ``simulation_missing``, ``simulation_options``.
        InvalidConfig: as in the executor, and ``backtest_file_invalid``: also where the exchange refuses a position.
        InvalidJob, UnknownAutomationType: as in the executor.
    """
    rows = iter(candles)
    first = next(rows)
    stage = _Stage(registry, scenario, candles.length, first, options)
    stage.take(first)
    for count, candle in enumerate(rows, 2):
        stage.take(candle)
        if count % 1000 == 0:
            progress(candles.read)
    progress(candles.read)
    return stage.end(candles)


class _Stage:
    """Everything of one backtest while it runs."""

    def __init__(
        self, registry: Registry, scenario: Scenario, length: timedelta, first: Candle, options: Options
    ) -> None:
        self.options = options
        self.length = length
        self.simulation = _simulation(registry, first, options)
        self.account = SimulatedAccount(self.simulation)
        self.measure = Measure(first.time, options.balance)
        self.start = self.at = first.time
        self.next_funding = first.time + FUNDING_PERIOD - (first.time - _EPOCH) % FUNDING_PERIOD
        self.events: Counter[str] = Counter()
        self.candles = 0
        self._offsets = tuple(length * corner // _LAST_CORNER for corner in range(_LAST_CORNER + 1))
        ids = self._open(scenario.positions, scenario.cross)
        self.automations = [
            RunningAutomation(planned, registry, self.account, number=number, every=self._every(planned.every), ids=ids)
            for number, planned in enumerate(scenario.automations, 1)
        ]
        self._exposure = self._waiting = NO_EXPOSURE
        self._changed()

    def take(self, candle: Candle) -> None:
        """Walk through a candle, and run the jobs that are due at its end."""
        self.candles += 1
        self._wait_until(candle.time)
        prices = corners(candle, self.options.path, self._exposure, self._waiting)
        for offset, price in zip(self._offsets, prices, strict=True):
            self._move(candle.time + offset, price)
        self.account.forget()
        elapsed = self.at - self.start
        sent = sum(one.run() for one in self.automations if one.every == self.length or not elapsed % one.every)
        if sent:
            self._changed()
        if self.measure.curve.is_due():
            self.measure.curve.add(Point(self.at, self.simulation.equity(NAME), candle.close))

    def end(self, candles: CandleFile) -> Backtest:
        """Return what came of it."""
        problems = self.simulation.audit()
        if problems:
            raise AxisorError(f"the simulation's books don't balance: {problems[0]}", code="simulation_unbalanced")
        return result_of(
            self.simulation,
            self.measure,
            self.automations,
            self.events,
            start=self.start,
            end=self.at,
            candles=self.candles,
            length=candles.length,
            gaps=candles.gaps,
            path=self.options.path,
        )

    def _move(self, at: datetime, price: Decimal) -> None:
        self._wait_until(at)
        self._pass_time(at)
        self._after(self.simulation.move(at, price))
        if at == self.next_funding:
            self._settle()

    def _wait_until(self, at: datetime) -> None:
        """Let time go on at the same price up to ``at``, with the funding that is due before."""
        while self.next_funding < at:
            due = self.next_funding
            self._pass_time(due)
            self._after(self.simulation.move(due, self.simulation.price))
            self._settle()

    def _pass_time(self, at: datetime) -> None:
        if self._exposure is not NO_EXPOSURE:
            self.measure.at_risk += at - self.at
        self.at = at

    def _settle(self) -> None:
        self.next_funding += FUNDING_PERIOD
        self._after(self.simulation.settle_funding(self.options.funding_rate))

    def _after(self, fired: Sequence[Fired]) -> None:
        """Look at the account after the market has moved or settled."""
        if fired:
            for one in fired:
                self.events[one.what] += 1
            self._changed()
        elif self._exposure is not NO_EXPOSURE:
            self.measure.see(self.at, self.simulation.equity(NAME))

    def _changed(self) -> None:
        """Look at the account after it holds, or may hold, something else."""
        held = self.simulation.exposure(NAME)
        self._exposure = held if any(held) else NO_EXPOSURE
        self._waiting = self._orders() if held.long == held.short else NO_EXPOSURE
        self.measure.see(self.at, self.simulation.equity(NAME))

    def _orders(self) -> Exposure:
        """Return what the limit orders would open."""
        client = self.account.client
        orders: list[Trade | CrossOrder] = [*client.open_trades().value, *client.cross_open_orders().value]
        bought = sum(one.quantity for one in orders if one.side == "buy")
        return Exposure(bought, sum(one.quantity for one in orders) - bought)

    def _every(self, own: int | None) -> timedelta:
        seconds = own or self.options.every
        if seconds is None:
            return self.length
        every = timedelta(seconds=seconds)
        if every % self.length:
            raise InvalidConfig(
                f"every: jobs run at the ends of candles, which are {self.length.total_seconds():g} s long: "
                f"it must be a multiple of that, got {seconds} s",
                code="backtest_file_invalid",
            )
        return every

    def _open(self, positions: Iterable[Position], cross: CrossStart | None) -> dict[str, str]:
        """Place what is there at the start, and return the ids of the trades by their names."""
        client, ids = self.account.client, {}
        for one in positions:
            order = NewTrade(
                type=one.order_type,
                side=one.side,
                quantity=one.quantity,
                leverage=one.leverage,
                price=one.price,
                stoploss=one.stoploss,
                takeprofit=one.takeprofit,
            )
            ids[one.name] = _placed(f"positions: {one.name}", partial(client.open_trade, order)).id
        if cross is not None:
            _placed("cross", partial(client.deposit_cross, cross.deposit))
            _placed("cross", partial(client.set_cross_leverage, Decimal(cross.leverage)))
            if cross.side is not None and cross.quantity is not None:
                market = NewCrossOrder("market", cross.side, cross.quantity)
                _placed("cross", partial(client.open_cross_order, market))
        return ids


def _placed(what: str, place: Callable[[], Answer[T]]) -> T:
    """Return what the exchange answers.

    Raises:
        InvalidConfig: ``backtest_file_invalid``, with the exchange's own words, where it refuses.
    """
    try:
        return place().value
    except Rejected as error:
        said = error.details.get("exchangeMessage", error.message)
        raise InvalidConfig(f"{what}: the exchange refuses: {said}", code="backtest_file_invalid") from None


def _simulation(registry: Registry, first: Candle, options: Options) -> Simulation:
    factory = registry.simulations.get(options.simulation)
    if factory is None:
        installed = ", ".join(sorted(registry.simulations)) or "none"
        raise AxisorError(
            f"no plugin brings the simulated exchange {options.simulation!r}; installed: {installed}"
            + ("" if options.simulation != "paper" else "; pip install axisor-paper-exchange"),
            code="simulation_missing",
            status=400,
        )
    try:
        simulation = factory(
            SimulationOptions(
                at=first.time,
                price=first.open,
                spread=options.spread,
                fee_rate=options.fee_rate,
                seed=options.seed,
            )
        )
        simulation.add_account(NAME, balance=options.balance)
    except ValueError as error:
        raise AxisorError(f"the simulated exchange refuses: {error}", code="simulation_options", status=400) from None
    return simulation
