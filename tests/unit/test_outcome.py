"""What became of a plan, told from the ledger's actions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from axisor_executor.automation import (
    Act,
    AddMargin,
    CloseCrossPosition,
    ClosePosition,
    Group,
    OpenPosition,
    SetTakeProfit,
)
from axisor_executor.run.outcome import GroupOutcome, lost_of, merge, outcomes_of
from axisor_executor.storage.actions import ActionStatus, LedgerAction
from tests.unit.ledger_values import make_action

CLOSE = ClosePosition("trade-1")
REOPEN = OpenPosition("buy", 50, Decimal(10), replaces="trade-1")
ENTRY = OpenPosition("buy", 100, Decimal(10))
REDUCE = Act(groups=(Group("reduce_position", (CLOSE, REOPEN), "trade-1"),), action="reduce_position")
LOST = {"code": "not_executed", "message": "m"}


def reduce(close: ActionStatus, reopen: ActionStatus, **errors: dict[str, str]) -> GroupOutcome:
    ledger = [
        make_action(CLOSE, close, error=errors.get("close_error")),
        make_action(REOPEN, reopen, seq=2, step_index=1, error=errors.get("reopen_error")),
    ]
    (outcome,) = outcomes_of(REDUCE, ledger, 1)
    return outcome


class TestStatus:
    @pytest.mark.parametrize(
        ("close", "reopen", "status"),
        [
            ("planned", "planned", "open"),
            ("sending", "planned", "uncertain"),
            ("unknown", "planned", "uncertain"),
            ("rejected", "planned", "failed"),
            ("superseded", "planned", "completed"),
            ("confirmed", "planned", "open"),
            ("confirmed", "sending", "uncertain"),
            ("confirmed", "unknown", "uncertain"),
            ("confirmed", "rejected", "failed"),
            ("confirmed", "confirmed", "completed"),
        ],
    )
    def test_the_first_step_that_is_not_done_decides(
        self, close: ActionStatus, reopen: ActionStatus, status: str
    ) -> None:
        assert reduce(close, reopen).status == status

    @pytest.mark.parametrize(("status", "expected"), [("completed", "completed"), ("pending", "pending")])
    def test_a_group_without_actions_is_what_its_handler_says(self, status: str, expected: str) -> None:
        plan = Act(groups=(Group("x", trade_id="t", status=status),), action="x")
        assert outcomes_of(plan, [], 1)[0].status == expected

    def test_one_that_its_handler_could_not_decide_on_has_its_error(self) -> None:
        error = {"code": "trade_not_found", "message": "m"}
        plan = Act(groups=(Group("x", trade_id="t", status="failed", facts={"error": error}),), action="x")
        (outcome,) = outcomes_of(plan, [], 1)
        assert (outcome.status, outcome.error) == ("failed", error)

    def test_a_close_that_someone_else_made_is_said_to_be_one(self) -> None:
        error = {"code": "already_closed", "message": "closed by hand"}
        outcome = reduce("superseded", "planned", close_error=error)
        assert outcome.facts == {"alreadyClosed": True, "reason": "closed by hand"}
        take = SetTakeProfit("trade-1", Decimal(60_000))
        plan = Act(groups=(Group("tp", (take,), "trade-1"),), action="tp")
        (other,) = outcomes_of(plan, [make_action(take, "superseded")], 1)
        assert other.facts["superseded"] is True


class TestHalfDone:
    def test_a_reduce_that_closed_and_did_not_reopen_is(self) -> None:
        assert reduce("confirmed", "rejected").is_half_done

    @pytest.mark.parametrize(
        ("close", "reopen"), [("rejected", "planned"), ("confirmed", "confirmed"), ("confirmed", "planned")]
    )
    def test_others_are_not(self, close: ActionStatus, reopen: ActionStatus) -> None:
        assert not reduce(close, reopen).is_half_done


class TestBinding:
    @pytest.mark.parametrize(
        ("close", "touched"),
        [
            ("planned", False),
            ("rejected", False),
            ("sending", True),
            ("unknown", True),
            ("confirmed", True),
            ("superseded", True),
        ],
    )
    def test_what_may_have_taken_effect_is_touched(self, close: ActionStatus, touched: bool) -> None:
        assert reduce(close, "planned").touched is touched

    def test_only_a_first_step_that_was_proven_lost_is_decided_again(self) -> None:
        assert reduce("rejected", "planned", close_error=LOST).proven_not_executed
        assert not reduce("rejected", "planned", close_error={"code": "exchange_rejected"}).proven_not_executed
        assert not reduce("confirmed", "rejected", reopen_error=LOST).proven_not_executed

    def test_the_latest_attempt_at_a_step_counts(self) -> None:
        ledger = [
            make_action(CLOSE),
            make_action(REOPEN, "rejected", seq=2, step_index=1, error=LOST),
            make_action(REOPEN, "confirmed", seq=3, step_index=1, new_trade_id="trade-2"),
        ]
        (outcome,) = outcomes_of(REDUCE, ledger, 1)
        assert (outcome.status, outcome.new_trade_id) == ("completed", "trade-2")

    def test_actions_of_another_version_do_not_count(self) -> None:
        (outcome,) = outcomes_of(REDUCE, [make_action(CLOSE, plan_version=2)], 1)
        assert outcome.steps == ()


class TestTold:
    """What an end has told already, before a person had the execution tried again."""

    def test_all_of_it_or_not(self) -> None:
        close = make_action(CLOSE, is_told=True)
        plan = Act(groups=(*REDUCE.groups, Group("look", trade_id="trade-2", status="failed")), action="both")
        (half, looked) = outcomes_of(plan, [close, make_action(REOPEN, "planned", seq=2, step_index=1)], 1)
        assert (half.is_told, looked.is_told) == (True, True)
        (reopened, _) = outcomes_of(plan, [close, make_action(REOPEN, seq=3, step_index=1)], 1)
        assert not reopened.is_told

    def test_a_plan_of_which_nothing_was_told_is_news(self) -> None:
        outcomes = outcomes_of(REDUCE, [make_action(CLOSE, plan_version=2), make_action(CLOSE, is_told=True)], 2)
        assert not outcomes[0].is_told

    def test_it_is_no_lost_attempt_any_more(self) -> None:
        lost = [make_action(CLOSE, "rejected", error=LOST, plan_version=version) for version in (1, 2)]
        ledger = [replace(lost[0], is_told=True), lost[1]]
        assert lost_of([*outcomes_of(REDUCE, ledger, 1), *outcomes_of(REDUCE, ledger, 2)]) == {"trade-1": 1}


class TestAbout:
    """What tells groups apart is what their actions change, whatever a plugin calls them."""

    @pytest.mark.parametrize(
        ("group", "about"),
        [
            (Group("add", (AddMargin("t", 5),), "t"), {"t"}),
            (Group("add", (AddMargin("t", 5),), "a name of its own"), {"t"}),
            (Group("add", (AddMargin("t", 5),)), {"t"}),
            (Group("enter", (ENTRY,)), {""}),
            (Group("enter", (ENTRY,), "a name of its own"), {""}),
            (Group("reduce", (CLOSE, REOPEN), "trade-1"), {"trade-1"}),
            (Group("turn", (CLOSE, ENTRY), "trade-1"), {"trade-1", ""}),
            (Group("close", (CloseCrossPosition("c", "buy", 10),), "c"), {"c"}),
            (Group("look", (), "t", "pending"), {"t"}),
            (Group("look", (), None, "pending"), {""}),
        ],
        ids=range(10),
    )
    def test_is_what_the_actions_change(self, group: Group, about: set[str]) -> None:
        plan = Act(groups=(group,), action="x")
        assert outcomes_of(plan, [], 1)[0].about == about

    def test_what_is_lost_is_counted_under_any_name(self) -> None:
        outcomes = [
            GroupOutcome(Group("x", (CLOSE, ENTRY), name), 0, "failed", (make_action(CLOSE, "rejected", error=LOST),))
            for name in ("one", "another")
        ]
        assert lost_of(outcomes) == {"trade-1": 2, "": 2}


class TestMerge:
    def outcome(self, trade_id: str | None, *steps: LedgerAction) -> GroupOutcome:
        action = ENTRY if trade_id is None else ClosePosition(trade_id)
        return GroupOutcome(Group("x", (action,), trade_id), 0, "completed", steps)

    def test_what_an_older_plan_touched_stays_and_the_newer_decides_the_rest(self) -> None:
        done = self.outcome("trade-1", make_action(CLOSE))
        lost = self.outcome("trade-2", make_action(CLOSE, "rejected"))
        newer = [self.outcome(f"trade-{number}", make_action(CLOSE)) for number in (1, 2, 3)]
        assert merge([done, lost], newer) == [done, newer[1], newer[2]]

    def test_and_so_does_what_failed_and_the_newer_does_not_decide_on(self) -> None:
        failed = self.outcome("trade-1", make_action(CLOSE, "rejected"))
        newer = self.outcome("trade-2", make_action(CLOSE))
        assert merge([failed], [newer]) == [failed, newer]

    def test_of_older_plans_the_later_counts_but_for_what_was_touched(self) -> None:
        first, second = (self.outcome("trade-1", make_action(CLOSE, "rejected", seq=seq)) for seq in (1, 2))
        assert merge([first, second], []) == [second]
        done = self.outcome("trade-1", make_action(CLOSE))
        assert merge([first, done], [self.outcome("trade-1")]) == [done]

    def test_an_entry_has_a_place_of_its_own(self) -> None:
        old, new = self.outcome(None, make_action(ENTRY)), self.outcome(None, make_action(ENTRY))
        trade = self.outcome("trade-1", make_action(CLOSE))
        assert merge([old], [new, trade]) == [old, trade]

    def test_of_several_trades_in_one_group_each_counts(self) -> None:
        both = GroupOutcome(Group("turn", (CLOSE, ENTRY), "trade-1"), 0, "completed", (make_action(CLOSE),))
        assert merge([both], [self.outcome("trade-1"), self.outcome(None)]) == [both]
        assert merge([self.outcome(None, make_action(ENTRY))], [both]) == [self.outcome(None, make_action(ENTRY))]

    def test_nothing_that_was_touched_is_left_untold(self) -> None:
        """Not even where a plan of an earlier release has two groups for one trade, under two names."""
        done = [
            GroupOutcome(Group("x", (CLOSE,), name), 0, "completed", (make_action(CLOSE),)) for name in ("one", "two")
        ]
        assert merge(done, []) == done
