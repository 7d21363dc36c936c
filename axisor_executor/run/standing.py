"""How an execution stands: what its plans have come to, group by group, and what is left to be done."""

from __future__ import annotations

from functools import cached_property

from axisor_executor.automation import OpenPosition
from axisor_executor.run.outcome import (
    GroupOutcome,
    ledger_of,
    lost_of,
    merge,
    older_outcomes,
    outcomes_of,
    present_plan,
)
from axisor_executor.run.patience import Patience
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution


class Standing:
    """That of the moment at which it is asked for.

    Attributes:
        plan: the present plan; one without groups where there is none.
        ledger: the actions of all plans.
        outcomes: the groups of the present plan.
    """

    def __init__(self, storage: Storage, run: Execution, patience: Patience) -> None:
        self._storage, self._run, self._patience = storage, run, patience
        self.plan = present_plan(run)
        self.ledger = ledger_of(storage, run) if run.plan_version else []  # else nothing was ever planned
        self.outcomes = outcomes_of(self.plan, self.ledger, run.plan_version)

    @property
    def unsettled(self) -> list[LedgerAction]:
        """The actions of which nobody knows yet what became of them."""
        return [action for action in self.ledger if action.is_unsettled]

    @property
    def may_have_opened(self) -> bool:
        """Whether nobody knows if an entry, or a reopen, of this execution has made a trade."""
        return any(isinstance(action.action, OpenPosition) for action in self.unsettled)

    @property
    def owed(self) -> list[GroupOutcome]:
        """The groups of all plans that have begun and are not at their end."""
        return [one for one in self._all if one.is_owed]

    @property
    def is_decided(self) -> bool:
        """Whether the present plan has begun and leaves nothing to be decided."""
        return any(one.was_tried for one in self.outcomes) and not any(self._is_undecided(one) for one in self.outcomes)

    @property
    def has_begun(self) -> bool:
        """Whether any plan has come to something that is to be told."""
        return any(one.binds for one in self._all)

    @property
    def kept(self) -> list[GroupOutcome]:
        """The groups of all plans that are not decided again."""
        return merge(self._bound, [one for one in self.outcomes if one.group.actions and not self._is_undecided(one)])

    @property
    def whole(self) -> list[GroupOutcome]:
        """The groups of all plans."""
        return merge(self._bound, self.outcomes)

    @property
    def left(self) -> list[LedgerAction]:
        """The actions that could still be sent, but for those behind one of which nobody knows what became of it."""
        steps = [step for one in self._all if one.status != "uncertain" for step in one.steps]
        return [step for step in steps if step.status == "planned" and not step.is_rehearsed]

    @cached_property
    def _older(self) -> list[GroupOutcome]:
        return older_outcomes(self._storage, self._run, self.ledger)

    @property
    def _all(self) -> list[GroupOutcome]:
        return [*self._older, *self.outcomes]

    @property
    def _bound(self) -> list[GroupOutcome]:
        return [one for one in self._older if not self._is_undecided(one)]

    def _is_undecided(self, outcome: GroupOutcome) -> bool:
        """Whether nothing of a group was sent, or what was sent is proven never to have been carried out."""
        if outcome.proven_not_executed:
            lost = lost_of(self._all)
            return self._patience.may_decide_again(max(lost[key] for key in outcome.about))
        return bool(outcome.group.actions) and not outcome.was_tried
