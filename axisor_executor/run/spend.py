"""Spend guards: a job that fires every 30 s must not drain an account.

They are keys of an automation's config (see ``SpendGuards``), checked under the account's lease against what the
ledger says was done, or may have been done, before; in a backtest, against what was done in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from axisor_executor.automation import Act, Action, AddMargin, Decision, Group, OpenPosition, Wait
from axisor_executor.errors import Refused
from axisor_executor.run.resolve import Resolved
from axisor_executor.storage import history, lineage
from axisor_executor.storage.connection import Storage

DAY_SECONDS = 86_400.0


class Done(Protocol):
    """An action that an automation has done, or may have done."""

    @property
    def action(self) -> Action: ...
    @property
    def new_trade_id(self) -> str | None: ...


class Past(Protocol):
    """What one automation has done before on its account."""

    def recent(self, seconds: float, kind: str | None = None) -> Sequence[Done]: ...
    def current_id(self, trade_id: str) -> str: ...


def guard(storage: Storage, decision: Act, resolved: Resolved) -> Decision:
    """Return what :func:`hold_back` leaves of a decision, by what the ledger says.

    Raises:
        Refused: as :func:`hold_back`.
    """
    return hold_back(Ledger(storage, resolved.automation.id, resolved.account.id), decision, resolved)


def hold_back(past: Past, decision: Act, resolved: Resolved) -> Decision:
    """Return the decision with what the guards hold back left alone (``pending``), or ``Wait`` where nothing is left.

    Raises:
        Refused: the margin that may be added in a day would be exceeded (``daily_add_margin_exceeded``).
    """
    cooldown, most = resolved.guards.cooldown_seconds, resolved.guards.max_daily_add_margin
    if cooldown is not None:
        decision = _cool_down(past, decision, cooldown)
        if not any(group.actions or group.status != "pending" for group in decision.groups):
            return _wait(decision)
    return decision if most is None else _within_day(past, decision, resolved, most)


def touched(past: Past, done: Iterable[Done]) -> frozenset[str]:
    """Return what was acted on: trades under the ids that they have now, and ``""`` where there was an entry."""
    return frozenset(key for action in done for key in _keys(past, action))


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """The past of an automation on an account as it stands in the ledger."""

    storage: Storage
    automation_id: str
    account_id: str

    def recent(self, seconds: float, kind: str | None = None) -> Sequence[Done]:
        """Return what was done in the last ``seconds``, newest first; only actions of a class, if it is named."""
        return history.recent(self.storage, self.automation_id, account_id=self.account_id, seconds=seconds, kind=kind)

    def current_id(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        return lineage.current_id(self.storage, self.account_id, trade_id)


def _cool_down(past: Past, decision: Act, seconds: int) -> Act:
    keys = touched(past, past.recent(seconds))
    if not keys:
        return decision
    return dataclasses.replace(
        decision,
        groups=tuple(
            _held(group, seconds) if group.actions and _key(past, group) in keys else group for group in decision.groups
        ),
    )


def _key(past: Past, group: Group) -> str:
    """A trade counts under the id that it has now; an entry has none."""
    return past.current_id(group.trade_id) if group.trade_id else ""


def _keys(past: Past, action: Done) -> set[str]:
    ids = {action.action.target, action.new_trade_id} - {None}
    keys = {past.current_id(str(one)) for one in ids}
    opened = isinstance(action.action, OpenPosition) and action.action.replaces is None
    return keys | {""} if opened else keys


def _held(group: Group, seconds: int) -> Group:
    facts: dict[str, Any] = {**group.facts, "reason": "cooldown", "cooldownSeconds": seconds}
    return dataclasses.replace(group, actions=(), status="pending", facts=facts)


def _wait(decision: Act) -> Wait:
    if decision.lists_trades:
        listed = [
            {"tradeId": group.trade_id, "status": group.status, "action": group.action, **group.facts}
            for group in decision.groups
        ]
        return Wait("cooldown", {"trades": listed})
    group = decision.groups[0]
    return Wait("cooldown", {"tradeId": group.trade_id, "cooldownSeconds": group.facts["cooldownSeconds"]})


def _within_day(past: Past, decision: Act, resolved: Resolved, most: int) -> Act:
    """Hold back, in the plan's order, what would add more margin than may be added in a day."""
    left = most - _added_today(past)
    groups = []
    for group in decision.groups:
        asked = sum(action.amount for action in group.actions if isinstance(action, AddMargin))
        if asked <= max(left, 0):
            left -= asked
            groups.append(group)
            continue
        error = Refused(
            f"adding {asked} sats would exceed max_daily_add_margin {most}: "
            f"{most - left} sats were added, or are to be added now, in 24 h",
            code="daily_add_margin_exceeded",
            account_id=resolved.account.id,
        )
        if not decision.lists_trades:
            raise error
        facts = {**group.facts, "error": error.as_dict()}
        groups.append(dataclasses.replace(group, actions=(), status="failed", facts=facts))
    return dataclasses.replace(decision, groups=tuple(groups))


def _added_today(past: Past) -> int:
    done = past.recent(DAY_SECONDS, AddMargin.__name__)
    return sum(one.action.amount for one in done if isinstance(one.action, AddMargin))
