"""A decision asked for again, when some of what it wanted has been done already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from axisor_executor.automation import (
    Act,
    Action,
    AddMargin,
    CashIn,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.errors import AxisorError, Rejected
from axisor_executor.testing.cases import Case, Handler, Outcome, ask
from axisor_executor.testing.exchange import FakeExchange

ADDS_UP = (AddMargin, CashIn, OpenPosition, ReduceCrossPosition)
"""What, done twice, has twice the effect."""


def problems(fresh: Callable[[], Handler], case: Case, seconds: float, *, acts_each_time: bool) -> Iterator[str]:
    """Return what goes wrong when the handler decides again after each prefix of its own actions.

    Args:
        acts_each_time: every job is an order of its own: what adds up may be asked for again.
    """
    exchange = case.exchange.copy()
    for done, to_come in _points(_decide(fresh(), case, seconds)):
        try:
            exchange.apply(done[-1])
        except Rejected:
            return  # what is refused at once has a case of its own
        now = replace(case, exchange=exchange.copy())
        again = _decide(fresh(), now, seconds)
        found = _wrong(again, case.exchange, now.exchange, done, () if acts_each_time else (*done, *to_come))
        if found is not None:
            yield f"after {', '.join(map(repr, done))} it {again}: {found}"


def _decide(handler: Handler, case: Case, seconds: float) -> Outcome:
    return ask(handler, case.context(handler), seconds)


def _points(outcome: Outcome) -> Iterator[tuple[list[Action], Sequence[Action]]]:
    """Return what is done at each point, and what of the group that has begun is still to come."""
    done: list[Action] = []
    for group in outcome.decision.groups if isinstance(outcome.decision, Act) else ():
        for position, action in enumerate(group.actions, start=1):
            done.append(action)
            yield list(done), group.actions[position:]


def _wrong(
    again: Outcome, before: FakeExchange, now: FakeExchange, done: Sequence[Action], once: Sequence[Action]
) -> str | None:
    """Return what is wrong with a second decision; ``once``: what must not be asked for twice."""
    if again.error is not None and not isinstance(again.error, AxisorError):
        return "what it raises is none of axisor_executor.errors"
    trial = now.copy()
    for action in again.actions:
        opposite = next((one for one in done if _contradicts(action, one)), None)
        if opposite is not None:
            return f"{action!r} contradicts {opposite!r}"
        if any(_adds_to(action, one) for one in once):
            return f"{action!r} would have its effect twice"
        if once and action.target in now.trades.keys() - before.trades.keys():
            return f"{action!r} undoes what was opened a moment ago"
        try:
            trial.apply(action)
        except Rejected as refusal:
            return f"the exchange would refuse {action!r}: {refusal}"
    return None


def _contradicts(action: Action, done: Action) -> bool:
    if isinstance(action, (SetStopLoss, SetTakeProfit)):
        return type(done) is type(action) and done.target == action.target and done != action
    if isinstance(action, AddMargin):
        return isinstance(done, CashIn) and done.target == action.target
    if isinstance(action, CashIn):
        return isinstance(done, AddMargin) and done.target == action.target
    if isinstance(action, OpenPosition):
        return isinstance(done, OpenPosition) and done.side != action.side
    return False


def _adds_to(action: Action, other: Action) -> bool:
    return isinstance(action, ADDS_UP) and type(other) is type(action) and other.target == action.target
