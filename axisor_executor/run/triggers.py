"""At which price a decision would change: a handler is pure, so it can be asked with prices that are not.

Nothing here knows what a handler's conditions are; it is asked at price after price, outwards from the present one,
and the first change is narrowed down to a step of 0.5.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, TypeVar

from axisor_executor import arithmetic
from axisor_executor.automation import Act, Decision, OwnEntry, Reads
from axisor_executor.errors import AxisorError, PluginError
from axisor_executor.exchange.base import PRICE_STEP, CrossPosition, Trade

T = TypeVar("T")

NEAR_STEP = Decimal("0.0025")
NEAR_STEPS = 200
FAR_FACTOR = Decimal("1.05")
FARTHEST = 10
MOST_CHANGES = 5


@dataclass(frozen=True, slots=True)
class Would:
    """What would be decided: ``act`` on trades (ids with the kinds of actions), ``wait``, ``nothing``, ``fail``."""

    status: Literal["act", "wait", "nothing", "fail"]
    actions: frozenset[tuple[str | None, tuple[str, ...]]] = frozenset()
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The first price (USD per BTC, on steps of 0.5) from which on, going outwards, something else is decided."""

    price: Decimal
    would: Would


@dataclass(frozen=True, slots=True)
class Triggers:
    """What would be decided now, and the changes below and above the present price, the nearest first.

    Where it does not act now, they go up to the first price at which it acts; else only to the first change.
    """

    now: Would
    below: tuple[Change, ...]
    above: tuple[Change, ...]


def would_of(ask: Callable[[], Decision]) -> Would:
    """Return what ``ask`` comes to."""
    try:
        decision = ask()
    except AxisorError as error:
        return Would("fail", code=error.code)
    except Exception:  # noqa: BLE001  at a price that never was, a plugin's mistake is one of that price only
        return Would("fail", code=PluginError.default_code)
    if not isinstance(decision, Act):
        return Would("wait")
    acting = frozenset(
        (group.trade_id, tuple(action.kind for action in group.actions)) for group in decision.groups if group.actions
    )
    return Would("act", acting) if acting else Would("nothing")


def triggers(ask: Callable[[Decimal], Would], price: Decimal) -> Triggers:
    """Search outwards from ``price``: in steps of 0.25 percent up to half of it, then of 5 up to a tenth and tenfold.

    Where that leads past the lowest or the highest price that there is, that one is asked at last.

    What happens only within a band that is narrower than these steps can be missed.
    """
    now = ask(price)
    below, above = (_changes(ask, now, price, _outwards(price, up=up)) for up in (False, True))
    return Triggers(now, tuple(below), tuple(above))


def _changes(
    ask: Callable[[Decimal], Would], now: Would, start: Decimal, prices: Iterator[Decimal]
) -> Iterator[Change]:
    before, known, found = start, now, 0
    for price in prices:
        if ask(price) != known:
            change = _narrowed(ask, known, before, price)
            yield change
            found += 1
            if now.status == "act" or change.would.status == "act" or found == MOST_CHANGES:
                return
            known = change.would if change.price == price else ask(price)
        before = price


def _narrowed(ask: Callable[[Decimal], Would], known: Would, same: Decimal, other: Decimal) -> Change:
    """Return the change between two prices, of which the first decides as known and the second does not."""
    while abs(other - same) > PRICE_STEP:
        middle = same + ((other - same) / 2 / PRICE_STEP).to_integral_value() * PRICE_STEP
        if middle in (same, other):
            middle = same + PRICE_STEP.copy_sign(other - same)
        if ask(middle) == known:
            same = middle
        else:
            other = middle
    return Change(other, ask(other))


def _outwards(price: Decimal, *, up: bool) -> Iterator[Decimal]:
    sign = 1 if up else -1
    last = price
    for factor in _factors(sign):
        step = (price * factor / PRICE_STEP).to_integral_value(ROUND_HALF_UP) * PRICE_STEP
        step = min(max(step, PRICE_STEP), arithmetic.MAX_PRICE)  # a step may lead past the last price that there is
        if (step > last) if up else (step < last):
            yield step
            last = step


def _factors(sign: int) -> Iterator[Decimal]:
    for count in range(1, NEAR_STEPS + 1):
        yield 1 + sign * count * NEAR_STEP
    factor = 1 + sign * NEAR_STEPS * NEAR_STEP
    while Decimal(1) / FARTHEST < factor < FARTHEST:
        factor = factor * FAR_FACTOR if sign > 0 else factor / FAR_FACTOR
        yield factor


class Remembered:
    """Reads that ask for each fact once, and give the same answer, or the same error, ever after."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._kept: dict[tuple[str, ...], Any] = {}

    def at(self, price: Decimal) -> At:
        """Return these reads with the market at another price."""
        return At(self, price)

    def running(self) -> Sequence[Trade]:
        return self._once(("running",), self._reads.running)

    def open_orders(self) -> Sequence[Trade]:
        return self._once(("open_orders",), self._reads.open_orders)

    def finished(self, trade_id: str) -> Trade | None:
        return self._once(("finished", trade_id), lambda: self._reads.finished(trade_id))

    def cross_position(self) -> CrossPosition:
        return self._once(("cross_position",), self._reads.cross_position)

    def balance(self) -> int:
        return self._once(("balance",), self._reads.balance)

    def own_trades(self) -> Sequence[Trade]:
        return self._once(("own_trades",), self._reads.own_trades)

    def own_entries(self, since: datetime) -> Sequence[OwnEntry]:
        return self._once(("own_entries", since.isoformat()), lambda: self._reads.own_entries(since))

    def current_id(self, trade_id: str) -> str:
        return self._once(("current_id", trade_id), lambda: self._reads.current_id(trade_id))

    def original_id(self, trade_id: str) -> str:
        return self._once(("original_id", trade_id), lambda: self._reads.original_id(trade_id))

    def _once(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        if key not in self._kept:
            try:
                self._kept[key] = read()
            except AxisorError as error:
                self._kept[key] = error
        kept = self._kept[key]
        if isinstance(kept, AxisorError):
            raise copy.copy(kept)
        answer: T = kept
        return answer


@dataclass(frozen=True)
class At:
    """What would be read with the market at ``price``: P&L follows it; trades and balance are taken as they are now."""

    known: Remembered
    last: Decimal

    def price(self) -> Decimal:
        return self.last

    def running(self) -> Sequence[Trade]:
        return [self._moved(trade) for trade in self.known.running()]

    def open_orders(self) -> Sequence[Trade]:
        return self.known.open_orders()

    def finished(self, trade_id: str) -> Trade | None:
        return self.known.finished(trade_id)

    def cross_position(self) -> CrossPosition:
        position = self.known.cross_position()
        if position.side is None or position.entry_price is None:
            return position
        pl = arithmetic.pl(position.side, abs(position.quantity), position.entry_price, self.last)
        return replace(position, total_pl=pl, delta_pl=position.delta_pl + pl - position.total_pl)

    def balance(self) -> int:
        return self.known.balance()

    def own_trades(self) -> Sequence[Trade]:
        return [self._moved(trade) for trade in self.known.own_trades()]

    def own_entries(self, since: datetime) -> Sequence[OwnEntry]:
        return self.known.own_entries(since)

    def acted_on(self, since: datetime) -> Sequence[str]:  # noqa: ARG002  a cooldown ends; what is sought is the price
        return ()

    def current_id(self, trade_id: str) -> str:
        return self.known.current_id(trade_id)

    def original_id(self, trade_id: str) -> str:
        return self.known.original_id(trade_id)

    def _moved(self, trade: Trade) -> Trade:
        if trade.state != "running" or trade.entry_price is None:
            return trade
        return replace(trade, pl=arithmetic.pl(trade.side, trade.quantity, trade.entry_price, self.last))
