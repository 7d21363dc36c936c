"""Jobs in situations, and what a handler makes of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from axisor_executor.automation import AccountContext, Act, Action, AutomationHandler, Decision, Wait
from axisor_executor.errors import AxisorError
from axisor_executor.exchange.base import Trade, TradeState
from axisor_executor.plugins import Found
from axisor_executor.run.deciding import Deciders
from axisor_executor.testing.defaults import LAST_PRICE, Price
from axisor_executor.testing.exchange import FakeExchange
from axisor_executor.testing.trades import make_cross_position, make_trade

T = TypeVar("T")
Handler = AutomationHandler[Any]
MOVES = (0, -1_000, -2_500, -4_000, -4_500, 2_500, 4_000, 5_000, 10_000)
"""How far a price of 50 000 moves in a trade's favour: what is not past its liquidation is tried."""

deciders = Deciders()


@dataclass(frozen=True)
class Case:
    """A job in a situation: the automation's ``config``, the account's ``exchange``, the job's ``action`` and trade.

    ``action`` and ``trade_id`` are the job's own; ``None`` where it names none.
    """

    config: Mapping[str, Any]
    exchange: FakeExchange = field(default_factory=FakeExchange)
    action: str | None = None
    trade_id: str | None = None

    def context(self, handler: Handler, **changes: Any) -> AccountContext[Any]:
        """Return the context in which ``handler`` would decide; ``changes`` as those of ``FakeExchange.context``."""
        named = {"action": self.action, "trade_id": self.trade_id}
        return self.exchange.context(handler, self.config, **(named | changes))

    def __str__(self) -> str:
        """Return the case as a failure shows it."""
        trades = ", ".join(
            f"{trade.id} ({trade.state} {trade.side} from {trade.price})" for trade in self.exchange.trades.values()
        )
        job = f"the job names {self.trade_id}" if self.trade_id else "the job names no trade"
        job += f" and action {self.action}" if self.action else ""
        return f"config {dict(self.config)}, price {self.exchange.price}, {job}, trades: {trades or 'none'}"


@dataclass(frozen=True)
class Outcome:
    """What came of asking a handler: its decision or what it raised, and which facts it ``asked`` for."""

    decision: Any = None
    error: BaseException | None = None
    asked: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions of the decision, in order."""
        groups = self.decision.groups if isinstance(self.decision, Act) else ()
        return tuple(action for group in groups for action in group.actions)

    @property
    def kind(self) -> str:
        """Tell acting from doing nothing, one reason to wait from another, and one error from another."""
        if self.actions:
            return "acts"
        told = self.error.code if isinstance(self.error, AxisorError) else getattr(self.decision, "reason", "")
        return f"{type(self.error or self.decision).__name__} {told}"

    @property
    def failed_groups(self) -> bool:
        """Whether the decision says of a trade that it can't be decided on."""
        return isinstance(self.decision, Act) and any(group.status == "failed" for group in self.decision.groups)

    @property
    def comparable(self) -> str:
        """A text that is the same for outcomes that are."""
        if isinstance(self.decision, (Act, Wait)):
            try:
                return json.dumps(self.decision.as_dict(), sort_keys=True)
            except (TypeError, ValueError):
                return repr(self.decision)
        return repr(self.error.as_dict() if isinstance(self.error, AxisorError) else (self.decision, self.error))

    def __str__(self) -> str:
        """Return the outcome as a failure shows it."""
        if self.error is not None:
            return f"raised {type(self.error).__name__}: {self.error}"
        if self.actions:
            return f"acts: {', '.join(map(repr, self.actions))}"
        if isinstance(self.decision, Wait):
            return f"waits: {self.decision.reason}"
        return f"returned {self.decision!r}"


def not_storable(outcome: Outcome) -> str | None:
    """Return why the ledger could not keep an outcome, ``None`` where it can."""
    told = outcome.error if isinstance(outcome.error, AxisorError) else outcome.decision
    if not isinstance(told, (Act, Wait, AxisorError)):
        return None
    try:
        stored = json.loads(json.dumps(_form(told), allow_nan=False))
        back = Act.from_dict(stored) if isinstance(told, Act) else None
    except (TypeError, ValueError) as error:
        return f"that can't be written as JSON: {error}"
    if back is None or (back.as_dict() == stored and Outcome(back).actions == outcome.actions):
        return None
    return f"the ledger gives back {back}"


def _form(told: Act | Wait | AxisorError) -> Any:
    """Return what has to be JSON; an error itself would show as texts what is none."""
    if isinstance(told, AxisorError):
        return [told.status, told.code, told.message, told.details]
    return told.as_dict()


def ask(handler: Handler, context: AccountContext[Any], seconds: float) -> Outcome:
    """Return what ``handler`` decides; a call that hangs is given up after ``seconds``, as the core does."""

    def call() -> Outcome:
        decision: Decision | None = None
        error: BaseException | None = None
        try:
            decision = handler.decide(context)
        except BaseException as raised:  # noqa: BLE001  SystemExit included: it is what the case tells
            error = raised
        return Outcome(decision, error, tuple(getattr(context.reads, "asked", ())))

    try:
        return in_time(handler, call, seconds)
    except AxisorError as error:
        return Outcome(error=error)


def in_time(handler: Handler, call: Callable[[], T], seconds: float) -> T:
    """Return what ``call`` returns, made in a thread as the core's own.

    Raises:
        PluginError: it was not back after ``seconds``.
    """
    return deciders.ask(found(handler), "decide()", call, seconds)


def found(handler: Handler) -> Found:
    """Return a plugin's entry point that registers ``handler``."""
    cls = type(handler)
    return Found(cls.__qualname__, cls.__module__, "under test", lambda: None)


def fresh(handler: Handler | type[Handler]) -> Handler:
    """Return a handler that has not decided anything yet."""
    return handler() if isinstance(handler, type) else copy.deepcopy(handler)


def ladder(config: Mapping[str, Any], price: Price | None, trade: Trade | None) -> Iterator[Case]:
    """Return cases for ``config`` over sides and prices, the job's trade named and not; a given one is taken as it is.

    The trade and a cross position are on the same side, and their P&L follows the price.
    """
    for held in (make_trade(side="buy"), make_trade(side="sell")) if trade is None else (trade,):
        cross = make_cross_position(quantity=100 if held.is_long else -100)
        for each in _prices(held) if price is None else (Decimal(price),):
            exchange = FakeExchange(price=each, trades=[held], cross_position=cross)
            for trade_id in (held.id, None):
                yield Case(config, exchange, trade_id=trade_id)


def _prices(trade: Trade) -> Iterator[Decimal]:
    for move in MOVES:
        moved = trade.price * (1 + Decimal(move if trade.is_long else -move) / LAST_PRICE)
        price = moved.quantize(Decimal(1))
        if (price > trade.liquidation) == trade.is_long:
            yield price


def crowded(case: Case, *, trades: int) -> Case:
    """Return the case on an account with as many more trades in each state, of either side."""
    exchange = case.exchange.copy()
    exchange.trades |= {trade.id: trade for trade in _crowd(trades)}
    exchange.move(exchange.price)
    return replace(case, exchange=exchange)


def twin_cases(case: Case) -> Iterator[tuple[str, Case]]:
    """Return the case with a second trade that is just like the first, for a job that names one and one for the other.

    Nothing where the case's job names none of the account's running trades.
    """
    trade = case.exchange.trades.get(case.trade_id or "")
    if trade is None or trade.state != "running":
        return
    exchange = case.exchange.copy()
    twin = replace(trade, id=f"{trade.id}-twin")
    exchange.trades[twin.id] = twin
    for named in (trade.id, twin.id):
        yield named, replace(case, exchange=exchange, trade_id=named)


@cache
def _crowd(number: int) -> tuple[Trade, ...]:
    states: tuple[TradeState, ...] = ("running", "open", "closed")
    return tuple(
        make_trade(id=f"{state}-{each}", side="sell" if each % 2 else "buy", state=state, entry_price=LAST_PRICE + each)
        for state in states
        for each in range(number)
    )
