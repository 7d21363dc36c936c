"""`automations`: a config is checked before it is written, and a preview tells what a run then does."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import arithmetic
from axisor_executor.switching import pause
from tests.cli.conftest import Commands
from tests.harness.cross import Owner
from tests.harness.world import Account, World

GUARD = {"action": "close_position", "margin_threshold": 90}
ENTRY = {"side": "b", "quantity": 100}
HALVE = {"action": "reduce_position", "reduce_percentage": 50}


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


def add(account: Account, type_: str, config: Any, *more: str) -> tuple[str, ...]:
    text = config if isinstance(config, str) else json.dumps(config)
    own = ("--user", account.user_id, "--account", account.id, "--type", type_, "--config", text)
    return ("automations", "add", *own, *more)


class TestAdd:
    def test_it_is_written_and_runs(self, commands: Commands, world: World, account: Account) -> None:
        made = commands.json(*add(account, "auto_entry", ENTRY))
        assert (made["added"], made["isActive"], made["config"], made["riskLevel"]) == (True, True, ENTRY, "medium")
        assert made["account"]["id"] == account.id
        assert world.run(made["id"])["status"] == "completed"

    def test_from_a_file_and_switched_off(self, commands: Commands, account: Account, tmp_path: Path) -> None:
        file = tmp_path / "guard.json"
        file.write_text(json.dumps(GUARD))
        own = ("--user", "user123", "--account", account.id[:8], "--type", "margin_guard")
        made = commands.json("automations", "add", *own, "--config-file", str(file), "--inactive")
        assert (made["isActive"], made["config"]) == (False, GUARD)
        told = commands("automations", "add", *own, "--config-file", "-", given=json.dumps(GUARD)).stdout
        assert "automations preview" in told

    @pytest.mark.parametrize(
        ("type_", "config", "problems"),
        [
            (
                "margin_guard",
                {"action": "close_position", "margin_treshold": 1, "scope": "some"},
                ["treshold", "scope"],
            ),
            (
                "margin_guard",
                {"action": "clse", "margin_threshold": 2, "wrong": 1},
                ["action:", "margin_thr", "wrong:"],
            ),
            ("margin_guard", {"margin_threshold": 0.9}, ["action: missing", "ambiguous"]),
            ("auto_entry", {"side": "x", "quantity": 0, "leverage": 101}, ["side:", "quantity:", "leverage:"]),
            ("tp_sl", {"action": "update_sl"}, ["new_stoploss: missing"]),
            ("auto_entry", {**ENTRY, "dry_run": "yes"}, ["dry_run: must be true or false"]),
            ("auto_entry", "[]", ["must be a JSON object"]),
            ("auto_entry", "{", ["is not JSON"]),
        ],
    )
    def test_every_problem_is_listed_and_nothing_written(
        self, commands: Commands, world: World, account: Account, type_: str, config: Any, problems: list[str]
    ) -> None:
        told = commands.error(*add(account, type_, config))
        assert told.endswith("[invalid_config]\n")
        for problem in problems:
            assert problem in told
        assert world.storage.rows('SELECT 1 FROM "Automation"') == []

    def test_a_type_that_nobody_has(self, commands: Commands, account: Account) -> None:
        told = commands.error(*add(account, "moon", {}))
        assert told.endswith("[unknown_automation_type]\n")
        assert "margin_guard" in told

    def test_an_account_of_somebody_else_is_not_found(self, commands: Commands, world: World, account: Account) -> None:
        foreign = world.account("user456", "Foreign")
        own = ("--user", "user123", "--type", "auto_entry", "--config", json.dumps(ENTRY))
        for wanted in (foreign.id, "nonsense"):
            told = commands.error("automations", "add", *own, "--account", wanted)
            assert told.endswith("[account_not_found]\n")

    def test_with_an_id_the_same_again_changes_nothing(self, commands: Commands, account: Account) -> None:
        assert commands.json(*add(account, "auto_entry", ENTRY, "--id", "auto789"))["added"] is True
        assert commands.json(*add(account, "auto_entry", ENTRY, "--id", "auto789"))["added"] is False
        told = commands.error(*add(account, "auto_entry", {**ENTRY, "quantity": 200}, "--id", "auto789"))
        assert told.endswith("[automation_exists]\n")

    @pytest.mark.parametrize("options", [[], ["--config", "{}", "--config-file", "-"]])
    def test_the_config_is_given_once(self, commands: Commands, account: Account, options: list[str]) -> None:
        own = ("--user", "user123", "--account", account.id, "--type", "auto_entry")
        assert "Give either --config or --config-file." in commands("automations", "add", *own, *options, code=2).stderr


class TestListShowAndSwitch:
    @pytest.fixture
    def guard(self, world: World, account: Account) -> str:
        foreign = world.account("user456", "Foreign")
        world.automation(foreign, "auto_entry", ENTRY)
        world.automation(account, "auto_entry", ENTRY, is_active=False)
        world.automation(None, "auto_entry", ENTRY)
        return world.automation(account, "margin_guard", {**GUARD, "plan_type": "pro"})

    def test_filters(self, commands: Commands, account: Account, guard: str) -> None:
        def count(*options: str) -> int:
            return len(commands.json("automations", "list", *options))

        assert (count(), count("--user", "user123"), count("--account", account.id)) == (4, 3, 2)
        assert (count("--account", account.id[:8]), count("--account", "gone")) == (2, 0)
        assert (count("--type", "margin_guard"), count("--inactive"), count("--user", "x")) == (1, 1, 0)
        told = commands("automations", "list", "--account", account.id, "--active").stdout
        assert guard in told
        assert "margin_threshold 90" in told
        assert commands("automations", "list", "--user", "x").stdout == "No automation found\n"

    def test_show(self, commands: Commands, world: World, guard: str) -> None:
        world.run(guard, trade_id="t")
        shown = commands.json("automations", "show", guard)
        assert (shown["problem"], shown["ignored"]) == (None, ["plan_type"])
        assert [one["status"] for one in shown["executions"]] == ["failed"]
        told = commands("automations", "show", guard[:8]).stdout
        for part in (guard, "Main Account", "ignored   plan_type", "failed"):
            assert part in told

    def test_what_is_wrong_with_it_is_shown_and_keeps_it_from_being_switched_on(
        self, commands: Commands, world: World, account: Account
    ) -> None:
        broken = world.automation(account, "margin_guard", {"action": "close"}, is_active=False)
        assert commands.json("automations", "show", broken)["problem"]["code"] == "invalid_config"
        assert "[invalid_config]" in commands("automations", "show", broken).stdout
        assert commands.error("automations", "enable", broken).endswith("[invalid_config]\n")
        assert commands.json("automations", "show", broken)["isActive"] is False
        text = world.automation(account, "margin_guard", "no object")
        assert commands.json("automations", "show", text)["problem"]["code"] == "invalid_config"

    def test_off_and_on(self, commands: Commands, world: World, guard: str) -> None:
        assert commands("automations", "disable", guard).stdout.endswith("was switched off.\n")
        assert commands.json("automations", "disable", guard)["changed"] is False
        assert world.run(guard, trade_id="t")["status"] == "cancelled"
        assert commands.json("automations", "enable", guard)["isActive"] is True
        assert commands("automations", "enable", guard).stdout.endswith("is switched on already.\n")

    @pytest.mark.parametrize("command", ["show", "enable", "disable", "run", "preview"])
    def test_what_is_not_there(self, commands: Commands, guard: str, command: str) -> None:
        del guard
        assert commands.error("automations", command, "nonsense").endswith("[automation_not_found]\n")

    def test_a_beginning_that_several_have(self, commands: Commands, account: Account) -> None:
        for number in "12":
            commands(*add(account, "auto_entry", ENTRY, "--id", f"723e4567-e89b-12d3-a456-42661417400{number}"))
        assert commands.error("automations", "show", "723e").endswith("[ambiguous_id]\n")

    @pytest.mark.parametrize("command", ["show", "enable", "disable", "run", "preview"])
    def test_the_id_of_one_that_is_gone_is_not_taken_for_the_beginning_of_another(
        self, commands: Commands, world: World, account: Account, command: str
    ) -> None:
        commands(*add(account, "auto_entry", ENTRY, "--id", "auto12"))
        assert commands.error("automations", command, "auto1").endswith("[automation_not_found]\n")
        assert commands.json("automations", "show", "auto12")["isActive"] is True
        assert world.storage.rows("SELECT 1 FROM axisor_executions") == []


class TestRun:
    def test_a_job_is_taken(self, commands: Commands, world: World, account: Account) -> None:
        guard = world.automation(account, "margin_guard", GUARD)
        taken = commands("automations", "run", guard[:8], "--trade", "t1").stdout.strip()
        found = world.execution(taken)
        assert (found.status, found.trade_id, found.user_id) == ("queued", "t1", "user123")
        key = ("automations", "run", guard, "--trade", "t2", "--idempotency-key", "k")
        assert commands(*key).stdout == commands(*key).stdout

    def test_and_waited_for(self, commands: Commands, world: World, account: Account, tmp_path: Path) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        with world.worker(tmp_path / "worker.log"):
            done = json.loads(commands("automations", "run", entry, "--wait", "20").stdout)
            assert (done["status"], done["action"]) == ("completed", "auto_entry_executed")
        result = commands("automations", "run", entry, "--wait", "0", code=1)
        assert json.loads(result.stdout)["status"] == "queued"


class TestPreview:
    def test_what_would_be_done_is_what_is_done(self, commands: Commands, world: World, account: Account) -> None:
        trade = world.open_trade(account, stoploss=46_000)
        halve = world.automation(account, "margin_guard", HALVE)
        before = world.storage.rows("SELECT id FROM axisor_executions")
        with world.changes() as changes:
            seen = commands.json("automations", "preview", halve, "--trade", trade)
        assert changes.sent == []
        assert world.storage.rows("SELECT id FROM axisor_executions") == before
        with world.changes() as changes:
            assert world.run(halve, trade_id=trade)["status"] == "completed"
        assert seen["decision"]["status"] == "act"
        previewed = [
            (one["request"]["method"], one["request"]["path"], _unnamed(one["request"]["body"]))
            for one in seen["actions"]
        ]
        assert previewed == [(one["method"], one["path"], _unnamed(one["body"])) for one in changes.sent]

    def test_what_an_entry_costs_is_enough(self, commands: Commands, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", {**ENTRY, "leverage": 7})
        seen = commands.json("automations", "preview", entry)
        before = world.paper.balance(account.paper)
        trade = world.trade(account, world.run(entry)["tradeId"])
        (action,) = seen["actions"]
        assert (action["cost"]["margin"], action["cost"]["fees"]) == (trade["margin"], trade["openingFee"])
        assert action["cost"]["liquidation"] == trade["liquidation"]
        assert 0 < before - world.paper.balance(account.paper) <= seen["cost"]["fromBalance"]

    def test_what_a_close_gives_back(self, commands: Commands, world: World, account: Account) -> None:
        trade = world.open_trade(account)
        world.move_price(49_000)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        seen = commands.json("automations", "preview", guard, "--trade", trade)
        before = world.paper.balance(account.paper)
        world.run(guard, trade_id=trade)
        (action,) = seen["actions"]
        closed = world.trade(account, trade)
        assert (action["cost"]["pl"], action["cost"]["fees"]) == (closed["pl"], closed["closingFee"])
        assert world.paper.balance(account.paper) - before >= -seen["cost"]["fromBalance"] > 0

    def test_the_price_at_which_it_triggers_is_the_one_at_which_it_acts(
        self, commands: Commands, world: World, account: Account
    ) -> None:
        trade = world.open_trade(account)
        guard = world.automation(account, "margin_guard", GUARD)
        seen = commands.json("automations", "preview", guard, "--trade", trade)
        assert (seen["decision"]["status"], seen["actions"], seen["trigger"]["above"]) == ("wait", [], [])
        (change,) = seen["trigger"]["below"]
        assert change == {
            "price": 45_909,
            "decision": "act",
            "actions": ["close_position"],
            "tradeIds": [trade],
        }
        world.move_price(45_909.5)
        assert world.run(guard, trade_id=trade)["status"] == "pending"
        world.move_price(45_909)
        assert world.run(guard, trade_id=trade)["status"] == "completed"

    def test_for_people(self, commands: Commands, world: World, account: Account) -> None:
        trade = world.open_trade(account)
        guard = world.automation(account, "margin_guard", GUARD)
        told = commands("automations", "preview", guard, "--trade", trade).stdout
        for part in (
            "decided   to wait",
            "margin_threshold_not_reached",
            "at or below 45909 it would act: close_position",
        ):
            assert part in told
        close = world.automation(account, "margin_guard", {"action": "close_position"})
        told = commands("automations", "preview", close, "--trade", trade).stdout
        for part in ("decided   to act", f"POST 127.0.0.1:{world.paper.url.rpartition(':')[2]}", f'{{"id":"{trade}"}}'):
            assert part in told
        assert "gives back" in told
        assert "no price between a tenth and the tenfold changes this" in told

    def test_a_failure_is_told_with_where_it_would_be_none(
        self, commands: Commands, world: World, account: Account
    ) -> None:
        world.open_trade(account)
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 51_000})
        seen = commands.json("automations", "preview", stop)
        assert seen["decision"]["status"] == "fail"
        assert seen["decision"]["error"]["code"] == "stoploss_invalid"
        assert seen["trigger"]["above"][-1]["price"] == 51_000.5
        told = commands("automations", "preview", stop).stdout
        assert "it fails" in told
        assert "at or above 51000.5 it would act: set_stoploss" in told

    def test_what_would_hold_it_back_is_told(self, commands: Commands, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY, is_active=False)
        pause(world.storage, "all", "", window_seconds=30)
        world.storage.run("UPDATE user_exchange_accounts SET is_active = ?", False)
        seen = commands.json("automations", "preview", entry)
        assert [one["code"] for one in seen["holds"]] == ["disabled", "paused", "account_inactive"]
        assert seen["decision"]["status"] == "act"
        told = commands("automations", "preview", entry).stdout
        assert told.count("held by") == 3

    def test_reduce_only_holds_an_entry(self, commands: Commands, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        pause(world.storage, "all", "", mode="reduce_only", window_seconds=30)
        assert [one["code"] for one in commands.json("automations", "preview", entry)["holds"]] == ["reduce_only"]

    def test_a_cooldown_counts(self, commands: Commands, world: World, account: Account) -> None:
        trade = world.open_trade(account)
        config = {"action": "add_margin", "add_margin_amount": 5_000, "cooldown_seconds": 300}
        guard = world.automation(account, "margin_guard", config)
        assert commands.json("automations", "preview", guard, "--trade", trade)["cost"]["fromBalance"] == 5_000
        world.run(guard, trade_id=trade)
        seen = commands.json("automations", "preview", guard, "--trade", trade)
        assert seen["decision"]["reason"] == "cooldown"

    def test_a_dry_run_says_so(self, commands: Commands, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", {**ENTRY, "dry_run": True})
        assert commands.json("automations", "preview", entry)["mode"] == "dry_run"
        assert "dry run: a run would record this" in commands("automations", "preview", entry).stdout
        live = world.automation(account, "auto_entry", ENTRY)
        assert commands.json("automations", "preview", live)["mode"] == "live"
        assert commands.json("automations", "preview", live, AXISOR_MODE="dry_run")["mode"] == "dry_run"

    def test_what_a_run_would_bind_is_not_bound(self, commands: Commands, world: World, account: Account) -> None:
        unbound = world.automation(None, "auto_entry", ENTRY)
        assert commands.json("automations", "preview", unbound)["accountId"] == account.id
        assert commands.json("automations", "show", unbound)["account"] is None
        world.account(name="Second")
        assert commands.error("automations", "preview", unbound).endswith("[account_missing]\n")

    def test_a_price_that_is_not_known(self, commands: Commands, world: World, account: Account) -> None:
        trade = world.open_trade(account)
        world.forget_price()
        world.paper.settings(tickerAgeSeconds=60)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        seen = commands.json("automations", "preview", guard, "--trade", trade)
        assert seen["decision"]["status"] == "act"
        assert seen["actions"][0]["cost"]["fees"] is None
        assert seen["cost"] == {"fees": None, "fromBalance": None}
        assert seen["trigger"]["error"]["code"] == "price_stale"
        told = commands("automations", "preview", guard, "--trade", trade).stdout
        assert "fees not known" in told
        assert "trigger   not found" in told

    def test_a_cross_position(self, commands: Commands, world: World, account: Account) -> None:
        Owner(world, account).hold(100)
        config = {**HALVE, "margin_mode": "cross", "margin_threshold": 90}
        guard = world.automation(account, "margin_guard", config)
        seen = commands.json("automations", "preview", guard)
        assert seen["trigger"]["below"][-1]["actions"] == ["reduce_cross_position"]
        world.storage.run('UPDATE "Automation" SET config = ?', {**HALVE, "margin_mode": "cross"})
        (action,) = commands.json("automations", "preview", guard)["actions"]
        assert action["request"]["path"] == "/v3/futures/cross/order"
        assert action["cost"]["fees"] == arithmetic.trading_fee(50, Decimal(50_000))

    def test_keys_that_are_refused(self, commands: Commands, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        world.paper.revoke_keys(account.paper)
        assert commands.error("automations", "preview", entry).endswith("[exchange_unauthorized]\n")


def _unnamed(body: str) -> str:
    own = json.loads(body).get("clientId") if body else None
    return body.replace(own, "CLIENT") if own else body
