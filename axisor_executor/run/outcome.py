"""What became of a plan, group by group: the stored plans and the ledger's actions in, outcomes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from axisor_executor.automation import Act, CloseCrossPosition, ClosePosition, Group, OpenPosition
from axisor_executor.storage import actions, executions, lineage
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution

GroupStatus = Literal["completed", "pending", "failed", "uncertain", "open"]
NOT_EXECUTED = "not_executed"
TOLD = "told"
"""Where a plan has the actions that were told before a person had its execution tried again: by ``seq``."""

UNTOLD = "untold"
"""In the details of an error: the execution has ended without a word of what it did."""


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """One group: its status (``open``: not at its end yet), its latest action for each step, and its error."""

    group: Group
    index: int
    status: GroupStatus
    steps: tuple[LedgerAction, ...] = ()
    error: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    is_told: bool = False
    """Whether an end of the execution has told all of it already, before a person had it tried again."""

    @property
    def about(self) -> frozenset[str]:
        """What tells groups of one execution apart, whatever the plan's version: the trades, and the entry."""
        return self.group.about

    @property
    def touched(self) -> bool:
        """Whether anything took effect or may have (so that it must not be decided again)."""
        return any(step.status in ("confirmed", "superseded", "sending", "unknown") for step in self.steps)

    @property
    def was_tried(self) -> bool:
        """Whether any of its actions was sent, and not taken back, or was denied."""
        return any(step.was_tried for step in self.steps)

    @property
    def binds(self) -> bool:
        """Whether it has come to something that is to be told, whatever comes after: an effect, or a definite no."""
        return self.touched or (self.was_tried and not self.proven_not_executed)

    @property
    def is_dry_run(self) -> bool:
        """Whether it was only rehearsed."""
        return any(step.dry_run for step in self.steps)

    @property
    def is_owed(self) -> bool:
        """Whether it has begun and is not at its end: what is left binds, whatever has changed since."""
        return self.touched and self.status == "open"

    @property
    def new_trade_id(self) -> str | None:
        """The trade that this group opened."""
        return next((step.new_trade_id for step in self.steps if step.new_trade_id), None)

    @property
    def is_half_done(self) -> bool:
        """Whether a reduce closed its position and did not open the remainder."""
        return (
            self.status == "failed"
            and any(isinstance(s.action, ClosePosition) and s.status == "confirmed" for s in self.steps)
            and any(isinstance(s.action, OpenPosition) and s.status != "confirmed" for s in self.steps)
        )

    @property
    def proven_not_executed(self) -> bool:
        """Whether it failed at its first step only because the request was shown never to have been carried out."""
        first = self.steps[0] if self.steps else None
        return first is not None and first.status == "rejected" and (first.error or {}).get("code") == NOT_EXECUTED


def outcomes_of(plan: Act, ledger: Iterable[LedgerAction], version: int) -> list[GroupOutcome]:
    """Return the outcome of each group of one version of the plan."""
    if not plan.groups:
        return []
    latest: dict[tuple[int, int], LedgerAction] = {}
    for action in ledger:
        if action.plan_version == version:
            latest[action.group_index, action.step_index] = action
    plan_is_told = any(action.is_told for action in latest.values())
    outcomes = []
    for index, group in enumerate(plan.groups):
        steps = tuple(latest[index, step] for step in range(len(group.actions)) if (index, step) in latest)
        is_told = plan_is_told and all(step.is_told for step in steps if step.was_tried)
        outcomes.append(replace(_outcome(group, index, steps), is_told=is_told))
    return outcomes


def merge(older: Sequence[GroupOutcome], newer: Sequence[GroupOutcome]) -> list[GroupOutcome]:
    """Return the groups of all versions: what an older plan touched stays, and what the newer does not decide on."""
    if not older:
        return list(newer)
    decided = about(newer)
    kept: list[GroupOutcome] = []
    seen: set[str] = set()
    for outcome in older:
        if outcome.touched or decided.isdisjoint(outcome.about):
            if not seen.isdisjoint(outcome.about):
                kept = [one for one in kept if one.touched or one.about.isdisjoint(outcome.about)]
            kept.append(outcome)
            seen |= outcome.about
    over = about(kept)
    return [*kept, *(outcome for outcome in newer if over.isdisjoint(outcome.about))]


def about(groups: Iterable[Group | GroupOutcome]) -> frozenset[str]:
    """Return what any of the groups is about."""
    return frozenset(key for group in groups for key in group.about)


def lost_of(outcomes: Iterable[GroupOutcome]) -> Counter[str]:
    """Return how many requests for each trade were proven never to have been carried out, since a person's retry.

    Those for an entry are under ``""``; what a group is about is counted with its first request.
    """
    lost = (outcome for outcome in outcomes if outcome.proven_not_executed and not outcome.is_told)
    return Counter(key for outcome in lost for key in outcome.about)


def without(storage: Storage, account_id: str, decision: Act, kept: Sequence[GroupOutcome]) -> Act:
    """Leave out of a decision what is kept of earlier ones; what replaced a trade counts as that trade.

    A group goes by what its actions are about, whatever it calls itself, and as a whole: of one that is about several
    trades, nobody can tell what would be done twice.
    """
    if not kept:
        return decision
    keys = about(kept) | {outcome.new_trade_id for outcome in kept if outcome.new_trade_id}
    now = lineage.ancestors(storage, account_id, about(decision.groups) - {""})
    over = keys | {now[key] for key in keys if key in now}
    return replace(decision, groups=tuple(group for group in decision.groups if over.isdisjoint(group.about)))


def older_outcomes(storage: Storage, run: Execution, ledger: Sequence[LedgerAction]) -> list[GroupOutcome]:
    """Return what became of the groups of which something was sent before the present plan, one plan after the other.

    What failed before a person had the execution tried again is decided anew, and not among them; nor is what was lost
    for a trade that a later plan has under the id that it goes on as.
    """
    if all(action.plan_version == run.plan_version for action in ledger):
        return []
    plans = {
        stored["version"]: plan
        for stored in executions.old_plans(storage, run.id)
        if (plan := _plan_of(run, stored)) is not None and stored["version"] < run.plan_version
    }
    older = [outcome for version, plan in plans.items() for outcome in outcomes_of(plan, ledger, version)]
    plans[run.plan_version] = present_plan(run)
    return [
        outcome
        for outcome in older
        if (outcome.touched or (outcome.was_tried and not outcome.is_told))
        and not (outcome.proven_not_executed and _goes_on(storage, outcome, plans))
    ]


def _goes_on(storage: Storage, lost: GroupOutcome, plans: Mapping[int, Act]) -> bool:
    """Whether a later plan has the trade of a lost action under another id: what comes of that is to be told."""
    sent = lost.steps[0]
    later = about(group for version, plan in plans.items() if version > sent.plan_version for group in plan.groups)
    others = later - lost.about - {""}
    return not lost.about.isdisjoint(lineage.ancestors(storage, sent.account_id, others))


def ledger_of(storage: Storage, run: Execution) -> list[LedgerAction]:
    """Return all actions of an execution, those marked that were told before a person had it tried again."""
    ledger = actions.of(storage, run.id)
    plans = [run.plan, *(executions.old_plans(storage, run.id) if run.plan_version > 1 else ())]
    told = {seq for plan in plans if plan is not None for seq in plan.get(TOLD, ())}
    return [replace(action, is_told=action.seq in told) for action in ledger] if told else ledger


def is_untold(run: Execution) -> bool:
    """Whether an execution has ended without a word of what it did."""
    return bool(((run.error or {}).get("details") or {}).get(UNTOLD))


def as_told(run: Execution, ledger: Iterable[LedgerAction]) -> Execution:
    """Return an ended execution with what its end has told noted in its plan."""
    if run.plan is None or is_untold(run):
        return run
    told = [action.seq for action in ledger if action.was_tried and not action.is_unsettled]
    return replace(run, plan={**run.plan, TOLD: told})


def present_plan(run: Execution) -> Act:
    """Return the plan that is followed now; one without groups where there is none."""
    plan = None if run.plan is None else _plan_of(run, run.plan)
    return plan or Act(groups=(), action=str(run.job.get("action") or run.automation_type), lists_trades=True)


def _plan_of(run: Execution, stored: Mapping[str, Any]) -> Act | None:
    try:
        return Act.from_dict(stored) if stored["decision"] == "act" else None
    except actions.UNREADABLE as error:
        raise actions.unreadable(run.id, error) from None


def merged_outcomes(storage: Storage, run: Execution) -> tuple[Act, list[GroupOutcome]]:
    """Return the present plan and what became of every group of all plans."""
    plan = present_plan(run)
    ledger = ledger_of(storage, run)
    return plan, merge(older_outcomes(storage, run, ledger), outcomes_of(plan, ledger, run.plan_version))


def _outcome(group: Group, index: int, steps: tuple[LedgerAction, ...]) -> GroupOutcome:
    if not group.actions:
        status: GroupStatus = "completed"
        if group.status in ("pending", "failed"):
            status = "pending" if group.status == "pending" else "failed"
        error = group.facts.get("error") if status == "failed" else None
        return GroupOutcome(group, index, status, error=error)
    if not steps:
        return GroupOutcome(group, index, "open")  # a later plan has taken its place
    for step in steps:
        if step.is_unsettled:
            return GroupOutcome(group, index, "uncertain", steps, error=step.error)
        if step.status == "rejected":
            return GroupOutcome(group, index, "failed", steps, error=step.error)
        if step.status == "superseded":
            facts = _superseded(step)
            return GroupOutcome(group, index, "completed", steps, facts=facts)
        if step.status == "planned" and not step.is_rehearsed:
            return GroupOutcome(group, index, "open", steps)
    return GroupOutcome(group, index, "completed", steps)


def _superseded(step: LedgerAction) -> dict[str, Any]:
    if isinstance(step.action, (ClosePosition, CloseCrossPosition)):
        return {"alreadyClosed": True, "reason": (step.error or {}).get("message")}
    return {"superseded": True, "reason": (step.error or {}).get("message")}
