"""An account on the paper exchange, inside this process, that holds the trades a test names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, cast

from axisor_executor import arithmetic
from axisor_executor.errors import AxisorError, Rejected
from axisor_executor.exchange.base import CrossPosition, NewCrossOrder, NewTrade, Trade
from axisor_executor.exchange.simulation import Fired, SimulatedClient, Simulation, SimulationFactory, SimulationOptions
from axisor_executor.plugins import discover, load
from axisor_executor.testing.defaults import Price

T = TypeVar("T")

ACCOUNT_NAME = "Main Account"
_PLENTY = 10**14
_STEP = timedelta(seconds=1)


class Stage:
    """A simulated market with one account. Trades are known by the names that the test gave them.

    Raises:
        AxisorError: the paper exchange is not installed (``simulation_missing``).
        ValueError: the exchange could not have such trades at such a price.
    """

    def __init__(
        self, trades: Sequence[Trade], cross: CrossPosition | None = None, *, price: Price, balance: int
    ) -> None:
        self._names: dict[str, str] = {}
        self._opened = 0
        try:
            trial = self._begin(trades, cross, Decimal(price), _PLENTY)
            bound = _PLENTY - trial.client(ACCOUNT_NAME).account().value.balance
            self.simulation = self._begin(trades, cross, Decimal(price), balance + bound)
        except Rejected as refusal:
            raise ValueError(f"the exchange does not take what the test gives: {refusal}") from None

    def move(self, price: Price) -> tuple[Fired, ...]:
        """Let the market go to ``price``, and return what it set off on its way."""
        return tuple(self.simulation.move(self._now(), Decimal(price)))

    @property
    def trades(self) -> dict[str, Trade]:
        """All trades by name, in whatever state; what was opened since is ``new-1``, ``new-2`` and so on."""
        found = self.simulation.trades(ACCOUNT_NAME)
        for trade in found:
            if trade.id not in self._names:
                self._opened += 1
                self._names[trade.id] = f"new-{self._opened}"
        return {self._names[trade.id]: self.named(trade) for trade in found}

    def named(self, value: T) -> T:
        """Return JSON or dataclasses with every id of a trade replaced by its name, within texts as well."""
        return cast(T, _replaced(value, self._names))

    def unnamed(self, value: Any) -> Any:
        """Return JSON with every name of a trade replaced by its id; other texts stay as they are."""
        ids = {name: one for one, name in self._names.items()}
        if isinstance(value, Mapping):
            return {key: self.unnamed(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.unnamed(item) for item in value]
        return ids.get(value, value) if isinstance(value, str) else value

    def _begin(self, trades: Sequence[Trade], cross: CrossPosition | None, price: Decimal, balance: int) -> Simulation:
        running = [trade for trade in trades if trade.state == "running"]
        at = datetime.now(UTC) - _STEP * (len(running) + 3)
        entered = [entry for held in (cross, *running) if held is not None and (entry := held.entry_price) is not None]
        simulation = _factory()(SimulationOptions(at=at, price=(*entered, price)[0]))
        simulation.add_account(ACCOUNT_NAME, balance=balance)
        self._names = {}
        if cross is not None:
            self._names[_hold(simulation.client(ACCOUNT_NAME), cross)] = cross.id
        for trade in running:
            at += _STEP
            simulation.move(at, trade.entry_price or trade.price)
            self._place(simulation, trade)
        simulation.move(at + _STEP, price)
        for trade in trades:
            if trade.state != "running":
                self._place(simulation, trade)
        self._protect(simulation, running)
        return simulation

    def _place(self, simulation: Simulation, trade: Trade) -> None:
        if trade.state not in ("running", "open"):
            raise ValueError(f"{trade.id} is {trade.state}: only running trades and open orders can be given")
        order = NewTrade(
            type="market" if trade.state == "running" else "limit",
            side=trade.side,
            quantity=trade.quantity,
            leverage=trade.leverage,
            price=None if trade.state == "running" else trade.price,
            stoploss=None if trade.state == "running" else trade.stoploss,
            takeprofit=None if trade.state == "running" else trade.takeprofit,
        )
        placed = simulation.client(ACCOUNT_NAME).open_trade(order).value
        self._names[placed.id] = trade.id
        if placed.state != trade.state or placed.liquidation != trade.liquidation:
            raise ValueError(
                f"{trade.id} can't be had: the exchange makes it {placed.state} with a liquidation at"
                f" {placed.liquidation}, not {trade.state} with one at {trade.liquidation}"
            )

    def _protect(self, simulation: Simulation, running: Sequence[Trade]) -> None:
        client = simulation.client(ACCOUNT_NAME)
        for trade in running:
            trade_id = self.unnamed(trade.id)
            now = simulation.trade(ACCOUNT_NAME, trade_id)
            if now is None or now.state != "running":
                raise ValueError(f"{trade.id} does not live to see the price of {simulation.price}: it is liquidated")
            if trade.takeprofit is not None:
                client.set_takeprofit(trade_id, trade.takeprofit)
            if trade.stoploss is not None:
                client.set_stoploss(trade_id, trade.stoploss)

    def _now(self) -> datetime:
        return max(datetime.now(UTC), self.simulation.now)


def _hold(client: SimulatedClient, cross: CrossPosition) -> str:
    """Bring a cross position about, and return its id; the fee of its order comes on top of its margin."""
    fee = arithmetic.trading_fee(abs(cross.quantity), cross.entry_price) if cross.entry_price is not None else 0
    if cross.margin + fee:
        client.deposit_cross(cross.margin + fee)
    client.set_cross_leverage(cross.leverage)
    if cross.side is not None:
        client.open_cross_order(NewCrossOrder(type="market", side=cross.side, quantity=abs(cross.quantity)))
    return client.cross_position().value.id


@cache
def _factory() -> SimulationFactory:
    factory = load(discover()).simulations.get("paper")
    if factory is None:
        raise AxisorError(
            "run_automation runs on the paper exchange, which is not installed: pip install axisor-paper-exchange",
            code="simulation_missing",
            status=400,
        )
    return factory


def _replaced(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for one, name in names.items():
            value = value.replace(one, name)
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _replaced(getattr(value, field.name), names) for field in fields(value)})
    if isinstance(value, Mapping):
        return {_replaced(key, names): _replaced(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(item, names) for item in value)
    return value
