"""A decision that is made of our own classes and of plain values alone, as nearly all are, is simply made anew.

Nothing in it is a plugin's code, and the values are those that the ledger's JSON would give back. Whatever is unusual
goes through that JSON itself (:mod:`axisor_executor.run.plain`), which is three times as much work.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from axisor_executor.automation import Act, Action, Group, Wait
from axisor_executor.automation.actions import ACTIONS, DECIMAL_FIELDS

MOST = 20
LONGEST_TEXT = 200
LARGEST = 10**15

_OWN = frozenset(ACTIONS.values())


class _Unusual(Exception):
    """It is not for here to judge."""


def made_anew(decision: Act | Wait) -> Act | Wait | None:
    """Return a decision made anew, ``None`` for one that is unusual in any way; it may still be right."""
    try:
        if type(decision) is Act:
            return _act(decision)
        if type(decision) is Wait and decision.reason:
            return Wait(_text(decision.reason), _facts(decision.facts))
    except (_Unusual, AttributeError, TypeError, ValueError, ArithmeticError):
        pass  # who looks closer says what is wrong
    return None


def _act(decision: Act) -> Act:
    if type(decision.lists_trades) is not bool:
        raise _Unusual
    return Act(
        tuple([_group(one) for one in _few(decision.groups)]),
        _text(decision.action),
        decision.lists_trades,
        _facts(decision.facts),
    )


def _group(group: Any) -> Group:
    if type(group) is not Group:
        raise _Unusual
    return Group(
        _text(group.action),
        tuple([_action(one) for one in _few(group.actions)]),
        None if group.trade_id is None else _text(group.trade_id),
        _text(group.status),
        _facts(group.facts),
    )


def _action(action: Any) -> Action:
    kind = type(action)
    if kind not in _OWN:
        raise _Unusual
    names: tuple[str, ...] = kind.__match_args__
    values = [getattr(action, name) for name in names]
    for name, value in zip(names, values, strict=True):
        if type(value) is Decimal:
            if name not in DECIMAL_FIELDS or not value.is_finite():
                raise _Unusual
        elif value is not None:
            if name in DECIMAL_FIELDS:
                raise _Unusual
            _value(value)
    made: Action = kind(*values)
    return made


def _facts(facts: Any) -> dict[str, Any]:
    if type(facts) is not dict or len(facts) > MOST:
        raise _Unusual
    return {_text(key): _value(value) for key, value in facts.items()}


def _value(value: Any) -> str | int | float | bool | None:
    """Return a value as :func:`~axisor_executor.automation.jsonable` does."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if kind not in (int, float, Decimal) or not -LARGEST < value < LARGEST:  # nor is one that is not a number
        raise _Unusual
    if kind is Decimal:
        return int(value) if value == value.to_integral_value() else float(value)
    return value  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    """Return a text that stands in JSON as it is."""
    if type(value) is not str or len(value) > LONGEST_TEXT or not value.isascii() or not value.isprintable():
        raise _Unusual
    if "\\" in value:
        raise _Unusual
    return value


def _few(values: Any) -> tuple[Any, ...]:
    if type(values) is not tuple or len(values) > MOST:
        raise _Unusual
    return values
