"""The lines that the monolith's people know, each in a run that says it; and one machine line for each run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.harness.world import Account, World
from tests.integration.conftest import Said

FIELDS = {
    "timestamp",
    "userId",
    "accountId",
    "accountName",
    "automationId",
    "automationType",
    "action",
    "status",
    "duration",
    "error",
}
ENTRY = {"side": "b", "quantity": 100, "leverage": 10}


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


def line(mark: str, text: str) -> str:
    return f"{mark} AUTOMATION EXECUTOR - {text}"


def in_order(expected: list[str], lines: list[str]) -> bool:
    """Whether all the expected lines were said, in this order."""
    rest = iter(lines)
    return all(one in rest for one in expected)


class TestHumanLines:
    def test_an_entry(self, world: World, account: Account, said: Said) -> None:
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        assert in_order(
            [
                line("✅", "Found account: Main Account (LN Markets)"),
                line("🔍", f"Getting credentials for user user123 and account {account.id}"),
                line("🎯", "Executing Auto Entry action for user user123 on account Main Account"),
                line("📈", "Creating LONG position: 100 contracts at 10x leverage for account Main Account"),
                line(
                    "✅",
                    f"Auto entry executed successfully for account Main Account. Trade ID: {result['tradeId']}",
                ),
            ],
            said.lines,
        )

    def test_a_short_entry_with_a_broken_leverage(self, world: World, account: Account, said: Said) -> None:
        world.run(world.automation(account, "auto_entry", {**ENTRY, "side": "s", "leverage": 2.5}))
        text = "Creating SHORT position: 100 contracts at 2.5x leverage for account Main Account"
        assert line("📈", text) in said.lines

    def test_a_guard_that_closes(self, world: World, account: Account, said: Said) -> None:
        trade_id = world.open_trade(account)
        said.clear()
        world.run(world.automation(account, "margin_guard", {"action": "close_position"}), trade_id=trade_id)
        assert in_order(
            [
                line("✅", "Found account: Main Account (LN Markets)"),
                line("🔍", f"Getting credentials for user user123 and account {account.id}"),
                line("✅", "Credentials found in cache for account Main Account"),
                line("🎯", "Executing Margin Guard action for user user123 on account Main Account"),
                line("📋", "Action: close_position"),
                line("🛑", f"Closing position {trade_id} for user user123 on account Main Account"),
                line("✅", f"Successfully closed position {trade_id} on account Main Account"),
            ],
            said.lines,
        )

    def test_a_failure(self, world: World, account: Account, said: Said) -> None:
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        result = world.run(guard, trade_id="trade123")
        text = f"Failed to execute Margin Guard action for account Main Account: {result['error']['message']}"
        assert line("❌", text) in said.lines

    @pytest.mark.parametrize(
        ("type_", "config", "expected"),
        [
            ("margin_guard", {"action": "add_margin", "add_margin_amount": 500}, "Adding 500 sats margin to position"),
            ("tp_sl", {"action": "update_tp", "new_takeprofit": 60_000}, "to 60000 for user user123"),
            ("tp_sl", {"action": "update_sl", "new_stoploss": 48_000}, "to 48000 for user user123"),
        ],
    )
    def test_every_change_names_trade_user_and_account(
        self, world: World, account: Account, said: Said, type_: str, config: dict[str, Any], expected: str
    ) -> None:
        trade_id = world.open_trade(account)
        said.clear()
        world.run(world.automation(account, type_, config), trade_id=trade_id)
        (change,) = [one for one in said.lines if expected in one]
        assert trade_id in change
        assert change.endswith("for user user123 on account Main Account")

    def test_every_request_is_a_debug_line(self, world: World, account: Account, said: Said) -> None:
        world.run(world.automation(account, "auto_entry", ENTRY))
        asked = [one for one in said.records if str(one.get("event")).startswith("Request open_trade to lnmarkets@")]
        (line_of_it,) = asked
        assert (line_of_it["level"], line_of_it["logger"]) == ("debug", "axisor_executor.exchange.observed")
        assert ": answered after " in line_of_it["event"]

    def test_a_pending_run(self, world: World, account: Account, said: Said) -> None:
        world.run(world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 40_000}))
        assert [one for one in said.lines if "Main Account" in one and "price_not_triggered" in one]


class TestMachineLines:
    def test_each_run_has_one_with_exactly_its_fields(self, world: World, account: Account, said: Said) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        world.run(entry)
        (run,) = said.runs
        assert set(run) == FIELDS
        assert datetime.fromisoformat(run.pop("timestamp")).tzinfo is not None
        assert 0 <= run.pop("duration") < 60_000
        assert run == {
            "userId": "user123",
            "accountId": account.id,
            "accountName": "Main Account",
            "automationId": entry,
            "automationType": "auto_entry",
            "action": "auto_entry_executed",
            "status": "success",
            "error": None,
        }

    def test_a_failed_one_has_its_error(self, world: World, account: Account, said: Said) -> None:
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        result = world.run(guard, trade_id="trade123")
        (run,) = said.runs
        assert set(run) == FIELDS
        assert (run["status"], run["error"]) == ("error", result["error"]["message"])

    def test_pending_and_cancelled_count_as_success(self, world: World, account: Account, said: Said) -> None:
        world.run(world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 40_000}))
        world.run(world.automation(account, "auto_entry", ENTRY, is_active=False))
        assert [run["status"] for run in said.runs] == ["success", "success"]

    def test_one_without_an_account_has_the_same_fields(self, world: World, said: Said) -> None:
        world.run("no-such-automation")
        (run,) = said.runs
        assert set(run) == FIELDS
        assert (run["accountId"], run["status"]) == (None, "error")

    def test_a_run_that_waits_is_told_when_it_has_ended(self, world: World, account: Account, said: Said) -> None:
        world.paper.add_fault("status_before", mutating=True, status=503, count=1)
        waiting = world.run(world.automation(account, "auto_entry", ENTRY))
        assert said.runs == []
        world.go_on(waiting["executionId"])
        assert len(said.runs) == 1

    def test_all_lines_of_a_run_say_whose_it_is(self, world: World, account: Account, said: Said) -> None:
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        own = [one for one in said.records if one.get("executionId") == result["executionId"]]
        assert len(own) >= 5
        assert {(one["userId"], one["accountId"]) for one in own} == {("user123", account.id)}


def test_observers_are_told_what_the_result_says(world: World, account: Account) -> None:
    result = world.run(world.automation(account, "auto_entry", ENTRY))
    (finished,) = world.finished
    assert (finished.execution_id, finished.status) == (result["executionId"], "completed")
    assert finished.result == result
    assert finished.duration_seconds > 0


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_workers_write_each_line_once_and_all_of_them_before_they_end(
    world: World, account: Account, tmp_path: Path
) -> None:
    entry = world.automation(account, "auto_entry", ENTRY)
    log = tmp_path / "worker.log"
    with world.worker(log, processes=2) as worker:
        ids = [world.enqueue(world.job(entry), key=str(number)) for number in range(6)]
        worker.wait_until(lambda: all(world.execution(one).is_over for one in ids), timeout=30, what="their ends")
    text = log.read_text()
    for trade in world.paper.trades(account.paper):
        assert text.count(f"Trade ID: {trade['id']}") == 1
    assert text.count('"status": "success"') == 6
    assert text.count("Worker stopped") == 2
