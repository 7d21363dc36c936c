"""A decision on its way into the ledger: committed together with its first ``sending``, or alone.

Until then nothing of it was sent: of a worker that dies before, no trace is left, and the execution is decided again.
In the same way the outcome of its last action is committed together with the execution's end: who dies in between
leaves a ``sending`` behind, as by dying before the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from axisor_executor.automation import Act, OpenPosition
from axisor_executor.storage import actions, executions
from axisor_executor.storage.actions import LedgerAction, Place
from axisor_executor.storage.connection import Statement, Storage
from axisor_executor.storage.executions import Execution


class Plan:
    """One decision of a run, its actions ``planned``. Those of an earlier plan of which nothing was sent are dropped.

    What is planned as a ``dry_run`` is never sent, whoever carries it on.

    Args:
        storage: the database.
        run: the run that decided, before it.
        decision: what it decided.
        record: who decided, on which config, and what was seen.
        ledger: the execution's actions so far.
        config_text: the config that it was decided on, as it is stored.
        dry_run: whether it is only rehearsed.
    """

    def __init__(
        self,
        storage: Storage,
        run: Execution,
        decision: Act,
        record: Mapping[str, Any],
        ledger: Sequence[LedgerAction],
        *,
        config_text: str | None = None,
        dry_run: bool = False,
    ) -> None:
        self._storage = storage
        self.config_text = config_text
        self._run = run
        self.version = run.plan_version + 1
        self.document = {**decision.as_dict(), "version": self.version, **record}
        self.is_kept = False
        self.owed: LedgerAction | None = None
        self.actions = self._drafts(decision, max((one.seq for one in ledger), default=0), dry_run)

    def _drafts(self, decision: Act, seq: int, dry_run: bool) -> list[LedgerAction]:
        steps = [
            (group_index, step_index, group.trade_id, action)
            for group_index, group in enumerate(decision.groups)
            for step_index, action in enumerate(group.actions)
        ]
        now = datetime.now(UTC)
        return [
            actions.draft(
                self._run,
                action,
                Place(number, self.version, group_index, step_index, trade_id),
                created_at=now,
                dry_run=dry_run,
            )
            for number, (group_index, step_index, trade_id, action) in enumerate(steps, start=seq + 1)
        ]

    def keep(self) -> None:
        """Commit the plan by itself, where it is not in the ledger yet.

        Raises:
            LeaseLost: the run was given up for dead in the meantime.
        """
        if self.is_kept:
            return
        if self._storage.together(*self.statements()) is None:
            raise executions.lost(self._run)
        self.is_kept = True

    def write(self) -> None:
        """Write the plan inside the caller's transaction.

        Raises:
            LeaseLost: the run was given up for dead in the meantime.
        """
        plan, *rest = self.statements()
        if self._storage.run(*plan) != 1:
            raise executions.lost(self._run)
        for statement in rest:
            self._storage.run(*statement)

    def statements(self, instead: Mapping[int, Statement] | None = None, *only_if: Any) -> list[Statement]:
        """Return what writes the plan, in a transaction that fails where the run was given up.

        Args:
            instead: by ``seq``, what writes an action that does not begin as planned.
            only_if: a condition, and its parameters, without which nothing is to be written.
        """
        written = [executions.plan_statement(self._storage, self._run, self.document, self.version, *only_if)]
        if self._run.plan_version:
            written.append(actions.drop_planned(self._run))
        return written + [(instead or {}).get(action.seq) or actions.insertion(action) for action in self.actions]

    def confirmed(self, sent: LedgerAction, answer: Mapping[str, Any], new_trade_id: str | None) -> None:
        """Hear that an action is done, and commit that: at once, or, where it completes the plan, with the end."""
        done = replace(sent, status="confirmed", answer=dict(answer), new_trade_id=new_trade_id)
        self.actions = [done if one.seq == done.seq else one for one in self.actions]
        is_reopen = isinstance(sent.action, OpenPosition) and sent.action.replaces is not None
        if self.is_carried_out and not is_reopen:
            self.owed = done
        else:
            actions.settle(self._storage, sent, "confirmed", answer=answer, new_trade_id=new_trade_id)

    def settle(self) -> None:
        """Commit the outcome that is owed by itself: the end was not what it was to be committed with."""
        done, self.owed = self.owed, None
        if done is not None:
            actions.settle(self._storage, done, "confirmed", answer=done.answer, new_trade_id=done.new_trade_id)

    @property
    def is_carried_out(self) -> bool:
        """Whether every action is confirmed."""
        return all(action.status == "confirmed" for action in self.actions)
