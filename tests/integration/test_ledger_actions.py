"""The ledger's actions: plans and their versions, what may be sent, what becomes of it, and the lineage."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.errors import Held, LeaseLost
from axisor_executor.storage import actions, executions, history, lineage, switches
from axisor_executor.storage.executions import Execution
from tests.integration.ledger import ENTRY, Ledger

REOPEN = OpenPosition("buy", 50, Decimal(10), replaces="trade-1")
REDUCING = [
    ClosePosition("trade-1"),
    AddMargin("trade-1", 5),
    SetTakeProfit("trade-1", Decimal(60_000)),
    SetStopLoss("trade-1", Decimal(40_000)),
    CancelOrder("trade-1"),
    CloseCrossPosition("position-1", "buy", 100),
    ReduceCrossPosition("position-1", "buy", 100, 50),
    REOPEN,
]
ADDING = [ENTRY, CashIn("trade-1", 5)]
kinds = {"ids": lambda action: type(action).__name__}


@pytest.fixture
def run(ledger: Ledger) -> Execution:
    return ledger.running(automation_id="automation-a")


class TestPlans:
    def test_a_plan_has_its_actions_in_order(self, ledger: Ledger, run: Execution) -> None:
        planned = ledger.plan(run, ClosePosition("trade-1"), REOPEN)
        assert [action.action for action in planned] == [ClosePosition("trade-1"), REOPEN]
        assert [(action.status, action.plan_version) for action in planned] == [("planned", 1)] * 2

    def test_a_plan_of_which_nothing_was_sent_gives_way_to_the_next(self, ledger: Ledger, run: Execution) -> None:
        ledger.plan(run, ClosePosition("trade-1"))
        (second,) = ledger.plan(run, ClosePosition("trade-2"))
        assert (second.plan_version, second.action.target) == (2, "trade-2")
        assert ledger.get(run.id).plan_version == 2
        assert [old["version"] for old in executions.old_plans(ledger.storage, run.id)] == [1]

    def test_of_many_of_which_nothing_was_sent_the_first_are_kept(self, ledger: Ledger, run: Execution) -> None:
        """One that is held is decided anew every few seconds, and each time all are written that are kept."""
        many = executions.MOST_UNSENT_PLANS + 3
        for _ in range(many):
            (held,) = ledger.plan(run, ClosePosition("trade-1"))
        ledger.send(run, held)
        ledger.plan(run, ClosePosition("trade-2"))
        kept = [old["version"] for old in executions.old_plans(ledger.storage, run.id)]
        assert kept == [*range(1, executions.MOST_UNSENT_PLANS + 1), many], "and of which something was"
        assert ledger.get(run.id).plan_version == many + 1

    def test_what_was_sent_stays_when_the_rest_is_planned_anew(self, ledger: Ledger, run: Execution) -> None:
        first, _ = ledger.plan(run, ClosePosition("trade-1"), REOPEN)
        actions.settle(ledger.storage, ledger.send(run, first), "rejected", error={"code": "not_executed"})
        assert [(one.plan_version, one.status) for one in ledger.plan(run, ClosePosition("trade-1"))] == [
            (1, "rejected"),
            (2, "planned"),
        ]

    def test_a_step_that_is_planned_again_keeps_its_client_id(self, ledger: Ledger, run: Execution) -> None:
        _, reopen = ledger.plan(run, ClosePosition("trade-1"), REOPEN)
        again = actions.plan_again(ledger.storage, run, reopen)
        assert (again.client_id, again.seq > reopen.seq) == (reopen.client_id, True)
        assert again.client_id is not None

    def test_client_ids_fit_the_exchange_and_tell_steps_trades_and_executions_apart(self) -> None:
        asked = [
            (execution, trade, step)
            for execution in ("01a20000-0000-7000-8000-000000000000", "01a20000-0000-7000-8000-000000000001")
            for trade in (None, "trade-1", "trade-2")
            for step in (0, 1, 99)
        ]
        made = [actions.client_id(*one) for one in asked]
        assert len(set(made)) == len(asked)
        assert max(map(len, made)) <= 64
        assert made == [actions.client_id(*one) for one in asked]


class TestSending:
    def test_everything_needed_to_recognise_the_effect_is_committed_first(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run)[0])
        assert (sent.status, sent.timestamp_ms, sent.baseline) == ("sending", 1_700_000_000_000, {"state": "running"})
        assert (sent.exchange_user_id, sent.key_fingerprint) == ("exchange-user", "fingerprint")
        assert (sent.account_id, sent.automation_id) == ("account-1", "automation-a")
        assert sent.sent_at is not None

    def test_an_action_is_sent_once(self, ledger: Ledger, run: Execution) -> None:
        (planned,) = ledger.plan(run)
        ledger.send(run, planned)
        with pytest.raises(LeaseLost, match="not planned any more"):
            ledger.send(run, planned)

    def test_what_was_not_processed_may_be_sent_again(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run)[0])
        actions.unsend(ledger.storage, sent, {"code": "exchange_unavailable"})
        (planned,) = ledger.actions(run)
        assert (planned.status, planned.timestamp_ms, planned.was_tried) == ("planned", None, False)
        assert ledger.send(run, planned).status == "sending"

    @pytest.mark.parametrize("final", ["confirmed", "rejected", "superseded"])
    def test_what_is_settled_is_final(self, ledger: Ledger, run: Execution, final: Any) -> None:
        sent = ledger.send(run, ledger.plan(run)[0])
        actions.settle(ledger.storage, sent, final)
        for later in ("confirmed", "rejected", "unknown"):
            actions.settle(ledger.storage, sent, later)  # type: ignore[arg-type]
        actions.unsend(ledger.storage, sent, {})
        assert ledger.actions(run)[0].status == final

    def test_what_is_unknown_can_still_be_settled(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run)[0])
        actions.settle(ledger.storage, sent, "unknown", error={"code": "outcome_unknown"})
        actions.settle(ledger.storage, sent, "confirmed", new_trade_id="trade-9")
        (action,) = ledger.actions(run)
        assert (action.status, action.new_trade_id, action.error) == ("confirmed", "trade-9", None)


SCOPES = [("all", ""), ("exchange", "lnmarkets"), ("account", "account-1"), ("automation", "automation-a")]
OTHERS = [("exchange", "paper"), ("account", "account-2"), ("automation", "automation-b")]


class TestSwitches:
    @pytest.mark.parametrize(("scope", "scope_id"), SCOPES)
    @pytest.mark.parametrize("action", [ENTRY, ClosePosition("trade-1")], **kinds)
    def test_a_pause_holds_everything_in_its_scope(
        self, ledger: Ledger, run: Execution, scope: Any, scope_id: str, action: Action
    ) -> None:
        (planned,) = ledger.plan(run, action)
        switches.put(ledger.storage, scope, scope_id, "paused", "maintenance")
        with pytest.raises(Held) as caught:
            ledger.send(run, planned)
        assert (caught.value.code, caught.value.account_id) == ("paused", "account-1")
        assert ledger.actions(run)[0].status == "planned"
        switches.remove(ledger.storage, scope, scope_id)
        assert ledger.send(run, planned).status == "sending"

    @pytest.mark.parametrize(("scope", "scope_id"), OTHERS)
    def test_but_nothing_outside_of_it(self, ledger: Ledger, run: Execution, scope: Any, scope_id: str) -> None:
        switches.put(ledger.storage, scope, scope_id, "paused", None)
        assert ledger.send(run, ledger.plan(run)[0]).status == "sending"

    @pytest.mark.parametrize("action", REDUCING, **kinds)
    def test_reduce_only_lets_pass_what_reduces_risk(self, ledger: Ledger, run: Execution, action: Action) -> None:
        switches.put(ledger.storage, "all", "", "reduce_only", None)
        assert ledger.send(run, ledger.plan(run, action)[0]).status == "sending"

    @pytest.mark.parametrize("action", ADDING, **kinds)
    def test_and_holds_what_adds_to_it(self, ledger: Ledger, run: Execution, action: Action) -> None:
        switches.put(ledger.storage, "all", "", "reduce_only", None)
        with pytest.raises(Held) as caught:
            ledger.send(run, ledger.plan(run, action)[0])
        assert caught.value.code == "reduce_only"


class TestUnresolved:
    """While nobody knows what became of an action on ``trade-1``, other executions are held from some."""

    @pytest.fixture(params=["sending", "unknown"])
    def unresolved(self, ledger: Ledger, run: Execution, request: pytest.FixtureRequest) -> Execution:
        sent = ledger.send(run, ledger.plan(run, AddMargin("trade-1", 5))[0])
        if request.param == "unknown":
            actions.settle(ledger.storage, sent, "unknown")
        ledger.wait(run, "reconcile", seconds=60)
        return run

    @pytest.mark.parametrize("action", [AddMargin("trade-1", 7), CashIn("trade-1", 7)], **kinds)
    def test_money_to_and_from_that_trade_is_held(self, ledger: Ledger, unresolved: Execution, action: Action) -> None:
        other = ledger.running()
        with pytest.raises(Held) as caught:
            ledger.send(other, ledger.plan(other, action)[0])
        assert caught.value.code == "unresolved_action"
        assert caught.value.details == {"executionId": unresolved.id}

    @pytest.mark.parametrize(
        "action",
        [
            ClosePosition("trade-1"),
            SetStopLoss("trade-1", Decimal(40_000)),
            AddMargin("trade-2", 7),
            ENTRY,
        ],
        **kinds,
    )
    def test_everything_else_is_not(self, ledger: Ledger, unresolved: Execution, action: Action) -> None:
        other = ledger.running()
        assert ledger.send(other, ledger.plan(other, action)[0]).status == "sending"

    def test_another_account_with_the_same_trade_id_is_not(self, ledger: Ledger, unresolved: Execution) -> None:
        other = ledger.running("account-2")
        assert ledger.send(other, ledger.plan(other, AddMargin("trade-1", 7))[0]).status == "sending"

    def test_the_trade_that_replaced_it_is_held_too(self, ledger: Ledger, unresolved: Execution) -> None:
        lineage.replaced(ledger.storage, "account-1", "trade-1", "trade-9", "execution")
        other = ledger.running()
        with pytest.raises(Held):
            ledger.send(other, ledger.plan(other, AddMargin("trade-9", 7))[0])

    @pytest.mark.parametrize(
        "first",
        [ReduceCrossPosition("position-1", "buy", 100, 50), CloseCrossPosition("position-1", "buy", 100)],
        **kinds,
    )
    def test_of_a_cross_position_a_reduce_is_held_and_a_close_is_not(
        self, ledger: Ledger, run: Execution, first: Action
    ) -> None:
        ledger.send(run, ledger.plan(run, first)[0])
        ledger.wait(run, "reconcile", seconds=60)
        second = ledger.running()
        with pytest.raises(Held):
            ledger.send(second, ledger.plan(second, ReduceCrossPosition("position-1", "buy", 100, 10))[0])
        close = ledger.plan(second, CloseCrossPosition("position-1", "buy", 100))[0]
        assert ledger.send(second, close).status == "sending"

    def test_an_unknown_entry_holds_its_automations_further_entries_only(self, ledger: Ledger) -> None:
        first = ledger.running(automation_id="automation-x")
        actions.settle(ledger.storage, ledger.send(first, ledger.plan(first)[0]), "unknown")
        ledger.finish(first, "uncertain")
        same = ledger.running(automation_id="automation-x")
        with pytest.raises(Held):
            ledger.send(same, ledger.plan(same)[0])
        ledger.wait(same, "reconcile", seconds=60)
        other = ledger.running(automation_id="automation-y")
        assert ledger.send(other, ledger.plan(other)[0]).status == "sending"

    def test_a_settled_one_holds_nothing(self, ledger: Ledger, run: Execution) -> None:
        actions.settle(ledger.storage, ledger.send(run, ledger.plan(run, AddMargin("trade-1", 5))[0]), "confirmed")
        ledger.finish(run)
        other = ledger.running()
        assert ledger.send(other, ledger.plan(other, AddMargin("trade-1", 7))[0]).status == "sending"


class TestCrossOrders:
    """A close of the cross position is recognised by its order, which two executions must not both count."""

    CLOSE = CloseCrossPosition("position-1", "buy", 100)

    def test_another_executions_order_is_known(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run, self.CLOSE)[0])
        actions.settle(ledger.storage, sent, "confirmed", answer={"id": "order-1"})
        assert not history.cross_order_of_another(ledger.storage, sent, "order-1"), "it is our own"
        ledger.finish(run)
        other = ledger.running()
        second = ledger.send(other, ledger.plan(other, self.CLOSE)[0])
        assert history.cross_order_of_another(ledger.storage, second, "order-1")
        assert not history.cross_order_of_another(ledger.storage, second, "order-2")

    def test_what_is_recognised_by_an_id_of_ours_gets_one(self, ledger: Ledger, run: Execution) -> None:
        reduce = ReduceCrossPosition("position-1", "buy", 100, 50)
        planned = ledger.plan(run, reduce, self.CLOSE, ENTRY, ClosePosition("trade-1"))
        assert [one.client_id is not None for one in planned] == [True, False, True, False]
        assert [one.action for one in ledger.actions(run)][:2] == [reduce, self.CLOSE]


class TestLineage:
    def test_a_confirmed_reopen_continues_it(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run, REOPEN)[0])
        actions.settle(ledger.storage, sent, "confirmed", new_trade_id="trade-2")
        assert lineage.current_id(ledger.storage, "account-1", "trade-1") == "trade-2"

    def test_a_reopen_that_was_not_carried_out_does_not(self, ledger: Ledger, run: Execution) -> None:
        sent = ledger.send(run, ledger.plan(run, REOPEN)[0])
        actions.settle(ledger.storage, sent, "rejected", new_trade_id="trade-2")
        actions.settle(ledger.storage, sent, "confirmed", new_trade_id="trade-2")
        assert lineage.current_id(ledger.storage, "account-1", "trade-1") == "trade-1"

    def test_it_is_followed_to_its_end_on_its_own_account(self, ledger: Ledger) -> None:
        for number in range(1, 6):
            lineage.replaced(ledger.storage, "account-1", f"trade-{number}", f"trade-{number + 1}", "e")
        assert lineage.current_id(ledger.storage, "account-1", "trade-1") == "trade-6"
        assert lineage.current_id(ledger.storage, "account-1", "trade-4") == "trade-6"
        assert lineage.current_id(ledger.storage, "account-2", "trade-1") == "trade-1"
        assert lineage.original_id(ledger.storage, "account-1", "trade-6") == "trade-1"
        assert lineage.original_id(ledger.storage, "account-1", "trade-3") == "trade-1"
        assert lineage.original_id(ledger.storage, "account-1", "trade-1") == "trade-1"
        assert lineage.original_id(ledger.storage, "account-2", "trade-6") == "trade-6"
        origin = lineage.ancestors(ledger.storage, "account-1", ["trade-6", "other"])
        assert origin == {**{f"trade-{number}": "trade-6" for number in range(1, 7)}, "other": "other"}

    def test_recording_it_twice_changes_nothing(self, ledger: Ledger) -> None:
        lineage.replaced(ledger.storage, "account-1", "trade-1", "trade-2", "e")
        lineage.replaced(ledger.storage, "account-1", "trade-1", "trade-3", "e")
        assert lineage.current_id(ledger.storage, "account-1", "trade-1") == "trade-2"
