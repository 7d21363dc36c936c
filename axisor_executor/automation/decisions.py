"""What a handler returns: act on these groups of actions, or wait for a condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from axisor_executor.automation.actions import Action, OpenPosition, action_from_dict

NOTHING: Mapping[str, Any] = MappingProxyType({})
_LARGEST_EXPONENT = 30  # no amount comes near it, and to write 1e999999 out would hold up the whole process
_AS_IT_IS = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that belong together: carried out in order, and none after one that was rejected (a saga).

    Groups of one decision are independent of each other. A group without actions reports a trade that was looked
    at and left alone.

    Attributes:
        action: the name the result gives to what this group does (``"reduce_position"``).
        actions: in order.
        trade_id: the trade concerned, one of those that its actions change; ``None`` for an entry, or to have it be
            the first action's.
        status: of a group without actions: ``"completed"`` (already so), ``"pending"`` (condition not reached) or
            ``"failed"`` (this trade can't be decided on; ``facts["error"]`` says why, the run is then a failed one).
        facts: JSON-able facts for the result (Decimals are written as numbers).
    """

    action: str
    actions: tuple[Action, ...] = ()
    trade_id: str | None = None
    status: str = "completed"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> frozenset[str]:
        """The ids of what its actions change, ``""`` for an entry; a remainder is about the trade that it replaces.

        By these a group is recognised when it is decided on again. One without actions is about its ``trade_id``.
        """
        if not self.actions:
            return frozenset({self.trade_id or ""})
        return frozenset(_about(action) for action in self.actions)


@dataclass(frozen=True, slots=True)
class Act:
    """Carry the groups out. With no action in any group there is nothing to do, and the run is completed.

    Attributes:
        action: the result's ``action``; by default that of the first group.
        groups: independent of each other.
        lists_trades: the result lists ``trades`` instead of describing one (a pass over several trades).
        facts: JSON-able facts for the nested ``result``.
    """

    groups: tuple[Group, ...]
    action: str
    lists_trades: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that is stored as the plan."""
        return {
            "decision": "act",
            "action": self.action,
            "lists_trades": self.lists_trades,
            "facts": jsonable(self.facts),
            "groups": [
                {
                    "action": group.action,
                    "trade_id": group.trade_id,
                    "status": group.status,
                    "facts": jsonable(group.facts),
                    "actions": [action.as_dict() for action in group.actions],
                }
                for group in self.groups
            ],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Act:
        """Rebuild a stored plan."""
        return cls(
            action=stored["action"],
            lists_trades=stored["lists_trades"],
            facts=stored["facts"],
            groups=tuple(
                Group(
                    action=group["action"],
                    trade_id=group["trade_id"],
                    status=group["status"],
                    facts=group["facts"],
                    actions=tuple(action_from_dict(action) for action in group["actions"]),
                )
                for group in stored["groups"]
            ),
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """The condition is not reached: this job is over (``pending``), a later one will look again.

    ``reason`` is a stable code (``"price_not_triggered"``); ``facts`` are JSON-able and go into the result.
    """

    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that is stored as the plan."""
        return {"decision": "wait", "reason": self.reason, "facts": jsonable(self.facts)}


Decision = Act | Wait


def act(
    *actions: Action, name: str | None = None, trade_id: str | None = None, facts: Mapping[str, Any] = NOTHING
) -> Act:
    """Return the decision to carry ``actions`` out as one group.

    Args:
        actions: in order; each one only when the one before was confirmed. None: there is nothing to do.
        name: the result's ``action``; by default the first action's kind.
        trade_id: the trade concerned; by default the first action's target.
        facts: JSON-able facts for the nested ``result``.
    """
    if not actions and name is None:
        raise ValueError("act() without actions needs a name for the result")
    kind = name or actions[0].kind
    target = trade_id
    for action in actions:
        target = target or action.target
    return Act(groups=(Group(action=kind, actions=actions, trade_id=target),), action=kind, facts=dict(facts))


def wait(reason: str, **facts: Any) -> Wait:
    """Return the decision to do nothing now, with a stable ``reason`` and facts for the result."""
    return Wait(reason, facts)


def _about(action: Action) -> str:
    replaces = action.replaces if isinstance(action, OpenPosition) else None
    return action.target or replaces or ""


def jsonable(value: Any) -> Any:
    """Return ``value`` with Decimals as JSON numbers (whole ones as int) and mappings and sequences as plain ones.

    A Decimal of more than 31 digits before the point becomes a text.
    """
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} has no place in a decision's facts: JSON has no such number")
        if value.adjusted() > _LARGEST_EXPONENT:
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no place in a decision's facts: JSON has no such number")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a decision's facts: {value!r}")
