"""What a run returns, and what it leaves in the TradeLog."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.automation import (
    Act,
    Action,
    AddMargin,
    CloseCrossPosition,
    ClosePosition,
    Group,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    act,
    wait,
)
from axisor_executor.run import result as results
from axisor_executor.run.outcome import outcomes_of
from axisor_executor.run.result import Ended, Subject
from axisor_executor.storage.actions import LedgerAction
from tests.unit.ledger_values import make_action, make_execution

SUBJECT = Subject(make_execution(trade_id="trade-1"), automation_type="margin_guard")
CLOSE = ClosePosition("trade-1")
ENTRY = OpenPosition("buy", 100, Decimal(10))
REOPEN = OpenPosition("buy", 50, Decimal(10), replaces="trade-1")
POSITION = {"id": "position-1", "quantity": 100, "entry_price": "50000", "running_margin": 20_000}
ANSWER = {
    "pl": -120,
    "margin": 20_000,
    "entryPrice": "50000",
    "exitPrice": "49000.5",
    "price": "50000",
    "state": "open",
}


def acted(plan: Act, *ledger: LedgerAction) -> Ended:
    return results.acted(SUBJECT, plan, outcomes_of(plan, ledger, 1))


def one(action: Action, **given: Any) -> Ended:
    """The end of a run that carried out one action."""
    return acted(act(action), make_action(action, **{"answer": ANSWER, **given}))


class TestShapes:
    def test_every_result_begins_the_same(self) -> None:
        plain = results.failed(SUBJECT, {"code": "x", "message": "m"}, "close_position").result
        for ended in (
            results.waited(SUBJECT, wait("not_yet"), "close_position", {}),
            results.stopped(SUBJECT, "cancelled", "disabled", "switched off"),
            one(CLOSE),
        ):
            common = ended.result.keys() & plain.keys() - {"error"}
            assert {"status", "action", "timestamp", "executionId", "automationId", "userId"} <= common
            assert (ended.result["accountId"], ended.result["accountName"]) == ("account-1", "Main Account")

    def test_what_was_found_out_on_the_way_goes_before_what_was_known_at_the_start(self) -> None:
        found = Subject(SUBJECT.run, account_id="account-2", account_name="Other")
        result = results.stopped(found, "cancelled", "rebound", "m").result
        assert (result["accountId"], result["accountName"]) == ("account-2", "Other")

    def test_pending_has_its_reason_and_facts_as_json(self) -> None:
        decision = wait("price_not_triggered", currentPrice=Decimal("50000.5"), triggerPrice=Decimal(49_000))
        ended = results.waited(SUBJECT, decision, "close_position", {"decision": "wait"})
        assert ended.result["result"] == {
            "status": "pending",
            "reason": "price_not_triggered",
            "currentPrice": 50_000.5,
            "triggerPrice": 49_000,
        }
        assert (ended.status, ended.is_success, ended.trade_log) == ("pending", True, ())

    def test_an_entry_names_its_trade_and_a_limit_order_its_state(self) -> None:
        order = OpenPosition("buy", 100, Decimal(10), type="limit", price=Decimal(40_000))
        ended = one(order, new_trade_id="trade-9")
        assert ended.result["tradeId"] == "trade-9"
        assert ended.result["result"] == {"status": "completed", "tradeId": "trade-9", "order": "open"}

    def test_a_run_without_more_to_say_has_no_nested_result(self) -> None:
        assert "result" not in one(CLOSE).result

    def test_a_pass_lists_its_trades(self) -> None:
        plan = Act(
            groups=(Group("close_position", (CLOSE,), "trade-1"), Group("close_position", (), "trade-2", "pending")),
            action="close_position",
            lists_trades=True,
        )
        ended = acted(plan, make_action(CLOSE, answer=ANSWER))
        assert ended.result["trades"] == [
            {"tradeId": "trade-1", "status": "completed", "action": "close_position"},
            {"tradeId": "trade-2", "status": "pending", "action": "close_position"},
        ]
        assert "tradeId" not in ended.result
        assert [entry.trade_id for entry in ended.trade_log] == ["trade-1"]

    def test_no_fact_of_a_plugin_stands_for_how_it_ended(self) -> None:
        """``facts={"status": trade.state}`` comes easily, and would hide that nothing was closed."""
        waiting = results.waited(SUBJECT, wait("not_yet", status="completed"), "go", {}).result["result"]
        assert waiting == {"status": "pending", "reason": "not_yet"}
        refused = make_action(CLOSE, "rejected", error={"code": "x", "message": "m"})
        group = Group("go", (CLOSE,), "trade-1", facts={"status": "closed", "tradeId": "trade-2"})
        alone = acted(Act((group,), "go", facts={"status": "closed"}), refused).result
        assert (alone["result"]["status"], alone["result"]["tradeId"]) == ("failed", "trade-1")
        listed = acted(Act((group,), "go", lists_trades=True, facts={"status": "closed"}), refused).result
        assert listed["result"]["status"] == "failed"
        assert [(one["status"], one["tradeId"]) for one in listed["trades"]] == [("failed", "trade-1")]

    def test_a_half_done_reduce_says_so(self) -> None:
        plan = Act(groups=(Group("reduce_position", (CLOSE, REOPEN), "trade-1"),), action="reduce_position")
        refused = make_action(REOPEN, "rejected", seq=2, step_index=1, error={"code": "x", "message": "m"})
        ended = acted(plan, make_action(CLOSE, answer=ANSWER), refused)
        assert (ended.status, ended.result["result"]["reopened"]) == ("failed", False)


class TestOverall:
    @pytest.mark.parametrize(
        ("statuses", "overall"),
        [
            (["confirmed", "confirmed"], "completed"),
            (["confirmed", "superseded"], "completed"),
            (["confirmed", "rejected"], "failed"),
            (["rejected", "unknown"], "uncertain"),
        ],
    )
    def test_the_worst_group_decides(self, statuses: list[Any], overall: str) -> None:
        plan = Act(
            groups=tuple(Group("x", (ClosePosition(str(index)),), str(index)) for index, _ in enumerate(statuses)),
            action="x",
            lists_trades=True,
        )
        ledger = [
            make_action(ClosePosition(str(index)), status, group_index=index, answer=ANSWER)
            for index, status in enumerate(statuses)
        ]
        assert acted(plan, *ledger).status == overall

    @pytest.mark.parametrize(
        ("status", "success"),
        [
            ("completed", True),
            ("pending", True),
            ("cancelled", True),
            ("failed", False),
            ("uncertain", False),
            ("expired", False),
        ],
    )
    def test_what_counts_as_success(self, status: Any, success: bool) -> None:
        assert Ended(status, {}).is_success is success


class TestErrors:
    def test_each_names_its_account(self) -> None:
        error = {"status": 400, "code": "exchange_rejected", "message": "no"}
        for ended in (
            results.failed(SUBJECT, error, None),
            one(CLOSE, status="rejected", error=error),
            results.stopped(SUBJECT, "expired", "expired", "too old"),
        ):
            assert ended.error is not None
            assert (ended.error["accountId"], ended.error["accountName"]) == ("account-1", "Main Account")
            assert ended.result["error"] == ended.error

    def test_an_account_that_the_error_itself_names_stays(self) -> None:
        error = {"code": "x", "message": "m", "accountId": "account-7"}
        assert results.failed(SUBJECT, error, None).result["error"]["accountId"] == "account-7"

    def test_cancelled_is_none(self) -> None:
        ended = results.stopped(SUBJECT, "cancelled", "disabled", "m")
        assert (ended.error, ended.trade_log) == (None, ())


class TestTradeLog:
    def only(self, ended: Ended) -> Any:
        (entry,) = ended.trade_log
        return entry

    @pytest.mark.parametrize(
        ("action", "pnl", "amount", "price"),
        [
            (CLOSE, -120, 20_000, Decimal("49000.5")),
            (ENTRY, None, 20_000, Decimal(50_000)),
            (AddMargin("trade-1", 700), None, 700, Decimal(50_000)),
            (SetStopLoss("trade-1", Decimal("48000.5")), None, None, Decimal("48000.5")),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Action) else "",
    )
    def test_sats_and_dollars(self, action: Action, pnl: int | None, amount: int | None, price: Decimal) -> None:
        entry = self.only(one(action))
        assert (entry.pnl, entry.amount, entry.price) == (pnl, amount, price)
        assert (entry.status, entry.user_id, entry.automation_id) == ("success", "user-1", "automation-1")

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("exchange_rejected", "exchange_error"),
            ("exchange_unavailable", "exchange_error"),
            ("exchange_unauthorized", "exchange_error"),
            ("outcome_unknown", "exchange_error"),
            ("not_executed", "exchange_error"),
            ("uncertain", "exchange_error"),
            ("trade_not_found", "app_error"),
            ("invalid_config", "app_error"),
            ("plugin_error", "app_error"),
            ("internal_error", "app_error"),
        ],
    )
    def test_whose_fault_it_was(self, code: str, status: str) -> None:
        error = {"status": 500, "code": code, "message": "m"}
        assert self.only(results.failed(SUBJECT, error, None)).status == status
        assert self.only(one(CLOSE, status="rejected", error=error)).status == status

    @pytest.mark.parametrize(
        ("action", "filled", "pnl", "amount"),
        [
            (CloseCrossPosition("position-1", "buy", 100), 100, -4_082, 20_000),
            (ReduceCrossPosition("position-1", "buy", 100, 33), 33, -1_347, 6_600),
            (CloseCrossPosition("position-1", "buy", 100), 120, -4_898, 20_000),
        ],
        ids=["close", "reduce", "close of what was more by then"],
    )
    def test_of_a_cross_position_the_part_that_was_closed(
        self, action: Action, filled: int, pnl: int, amount: int
    ) -> None:
        order = {"id": "order-1", "quantity": filled, "price": "49000"}
        entry = self.only(one(action, answer=order, baseline=POSITION))
        assert (entry.trade_id, entry.pnl, entry.amount, entry.price) == ("position-1", pnl, amount, 49_000)

    def test_of_a_cross_position_without_an_entry_there_is_no_pnl(self) -> None:
        order = {"id": "order-1", "quantity": 100, "price": "49000"}
        baseline = {**POSITION, "entry_price": None}
        entry = self.only(one(CloseCrossPosition("position-1", "buy", 100), answer=order, baseline=baseline))
        assert (entry.pnl, entry.amount) == (None, 20_000)

    def test_a_close_of_a_cross_position_that_a_person_vouched_for_has_no_figures(self) -> None:
        ended = one(CloseCrossPosition("position-1", "buy", 100), answer=None, baseline=POSITION)
        entry = self.only(ended)
        assert (entry.status, entry.pnl, entry.amount, entry.price) == ("success", None, None, None)
        assert "orderId" not in ended.result.get("result", {})

    def test_where_there_is_no_trade_its_id_is_empty_text(self) -> None:
        without = Subject(make_execution(), automation_type="auto_entry")
        entry = self.only(results.failed(without, {"code": "x", "message": "m"}, None))
        assert (entry.trade_id, entry.action, entry.error_message) == ("", "auto_entry", "m")

    def test_a_run_in_which_nothing_was_done_leaves_none(self) -> None:
        already = act(name="close_position", trade_id="trade-1", facts={"alreadyClosed": True})
        ended = acted(already)
        assert (ended.status, ended.trade_log) == ("completed", ())

    def test_an_automation_of_another_user_leaves_none(self) -> None:
        error = {"status": 404, "code": "automation_not_found", "message": "m"}
        assert results.failed(SUBJECT, error, None).trade_log == ()
