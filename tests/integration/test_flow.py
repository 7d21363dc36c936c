"""From a job to its account: who may run what, on which account, with which keys."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor import enqueue, get_result
from axisor_executor.automation import ClosePosition, Decision, OpenPosition, act
from axisor_executor.errors import Rejected
from tests.harness.world import Account, World
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet, StubExchange

ENTRY = {"side": "b", "quantity": 100}
CLOSE = {"action": "close_position"}


def rebind(world: World, automation_id: str, account: Account | None) -> None:
    world.storage.run(
        'UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', account and account.id, automation_id
    )


def bound_to(world: World, automation_id: str) -> str | None:
    row = world.storage.one('SELECT user_exchange_account_id FROM "Automation" WHERE id = ?', automation_id)
    assert row is not None
    return row[0]


def put_credentials(world: World, account: Account, row: Mapping[str, Any] | str) -> None:
    value = row if isinstance(row, str) else dict(row)
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", value, account.id)


def refused(world: World, automation_id: str, **job: Any) -> dict[str, Any]:
    """Run a job of which nothing may reach the exchange, and return its error."""
    with world.changes() as changes:
        result = world.run(automation_id, **job)
    assert result["status"] == "failed"
    assert changes.sent == []
    return dict(result["error"])


class TestWhoseAutomation:
    def test_an_unknown_one_is_not_found(self, world: World) -> None:
        result = world.run("no-such-automation")
        assert result["status"] == "failed"
        assert (result["error"]["status"], result["error"]["code"]) == (404, "automation_not_found")
        assert result["accountId"] is None
        assert world.trade_log() == [], "its foreign key forbids a row"

    def test_anothers_one_looks_just_like_an_unknown_one(self, world: World) -> None:
        foreign = world.automation(world.account("user456"), "auto_entry", ENTRY)
        shown = world.run(foreign)
        unknown = world.run("no-such-automation")
        for result in (shown, unknown):
            del result["timestamp"], result["executionId"]
        text = repr(shown).replace(foreign, "no-such-automation")
        assert text == repr(unknown)

    def test_anothers_one_leaves_nothing_in_its_owners_log(self, world: World) -> None:
        foreign = world.automation(world.account("user456"), "auto_entry", ENTRY)
        world.run(foreign)
        assert world.trade_log() == []

    def test_anothers_one_reaches_no_account(self, world: World) -> None:
        foreign = world.automation(world.account("user456"), "auto_entry", ENTRY)
        with world.changes() as changes:
            world.run(foreign)
        assert (changes.asked, changes.sent) == (set(), [])

    def test_the_same_job_of_its_owner_runs(self, world: World) -> None:
        own = world.automation(world.account("user456"), "auto_entry", ENTRY)
        assert world.run(own, user_id="user456")["status"] == "completed"


class TestWhichAccount:
    def test_one_that_is_bound_to_anothers_account_is_not_found(self, world: World) -> None:
        foreign = world.account("user456")
        mine = world.automation(foreign, "auto_entry", ENTRY, user_id="user123")
        error = refused(world, mine)
        assert (error["status"], error["code"]) == (404, "account_not_found")
        assert foreign.name not in error["message"]

    def test_an_unbound_one_of_a_user_with_one_account_is_bound_to_it(self, world: World, said: Said) -> None:
        account = world.account()
        unbound = world.automation(None, "auto_entry", ENTRY)
        with world.changes() as changes:
            result = world.run(unbound)
        assert (result["status"], result["accountId"]) == ("completed", account.id)
        assert changes.effects == [("Main Account", "open")]
        assert bound_to(world, unbound) == account.id
        assert [line for line in said.problems if unbound in line and "Main Account" in line]

    def test_but_not_where_that_is_switched_off(self, world: World) -> None:
        world.restart(auto_migrate=False)
        world.account()
        unbound = world.automation(None, "auto_entry", ENTRY)
        error = refused(world, unbound)
        assert (error["status"], error["code"]) == (400, "account_missing")
        assert error["message"] == f"Automation {unbound} has no associated account"
        assert bound_to(world, unbound) is None

    @pytest.mark.parametrize("names", [(), ("Main Account", "Second Account")])
    def test_nor_where_there_is_no_account_or_a_choice(self, world: World, names: tuple[str, ...]) -> None:
        for name in names:
            world.account(name=name)
        unbound = world.automation(None, "auto_entry", ENTRY)
        assert refused(world, unbound)["code"] == "account_missing"
        assert bound_to(world, unbound) is None

    def test_one_that_was_bound_to_another_account_since_it_was_queued_is_cancelled(self, world: World) -> None:
        queued = world.automation(world.account(name="Before"), "auto_entry", ENTRY)
        execution_id = enqueue(world.job(queued))
        rebind(world, queued, world.account(name="After"))
        with world.changes() as changes:
            result = world.go_on(execution_id)
        assert (result["status"], result["reason"]) == ("cancelled", "rebound")
        assert changes.asked == set()
        assert world.trade_log() == []

    def test_one_whose_account_went_to_another_user_since_it_was_queued_fails(self, world: World) -> None:
        account = world.account()
        queued = world.automation(account, "auto_entry", ENTRY)
        execution_id = enqueue(world.job(queued))
        world.storage.run("UPDATE user_exchange_accounts SET user_id = ? WHERE id = ?", "user456", account.id)
        with world.changes() as changes:
            result = world.go_on(execution_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "account_not_found")
        assert changes.asked == set()

    def test_one_that_was_unbound_when_it_was_queued_runs_where_it_is_bound_by_then(self, world: World) -> None:
        world.account(name="Second Account")
        account = world.account()
        unbound = world.automation(None, "auto_entry", ENTRY)
        execution_id = enqueue(world.job(unbound))
        rebind(world, unbound, account)
        world.go_on(execution_id)  # takes the account, and from there on its lease
        result = world.go_on(execution_id)
        assert (result["status"], result["accountId"]) == ("completed", account.id)


class TestSwitchedOff:
    def test_an_automation(self, world: World) -> None:
        off = world.automation(world.account(), "auto_entry", ENTRY, is_active=False)
        with world.changes() as changes:
            result = world.run(off)
        assert (result["status"], result["reason"]) == ("cancelled", "disabled")
        assert off in result["message"]
        assert (changes.asked, world.trade_log()) == (set(), [])

    def test_an_exchange(self, world: World) -> None:
        off = world.automation(world.account(), "auto_entry", ENTRY)
        world.storage.run("UPDATE exchanges SET is_active = ?", False)
        with world.changes() as changes:
            result = world.run(off)
        assert (result["status"], result["reason"]) == ("cancelled", "disabled")
        assert "LN Markets" in result["message"]
        assert changes.asked == set()

    @pytest.mark.parametrize("switched_off", ["exchanges", '"Automation"'])
    def test_what_is_switched_off_while_it_is_decided(self, world: World, puppet: Puppet, switched_off: str) -> None:
        def decide(_: object) -> Decision:
            world.storage.run(f"UPDATE {switched_off} SET is_active = ?", False)
            return act(OpenPosition("buy", 100, Decimal(10)))

        puppet.decision = decide
        world.restart(puppet.plugin)
        decided = world.automation(world.account(), "puppet", CONFIG)
        with world.changes() as changes:
            result = world.run(decided)
            result = world.go_on(result["executionId"])
        assert (result["status"], result["reason"]) == ("cancelled", "disabled")
        assert changes.sent == []

    def test_what_has_begun_is_ended_on_an_exchange_that_is_switched_off(self, world: World, puppet: Puppet) -> None:
        world.restart(puppet.plugin)
        account = world.account()
        trade_id = world.open_trade(account)
        reopen = OpenPosition("buy", 50, Decimal(10), replaces=trade_id)
        puppet.decision = act(ClosePosition(trade_id), reopen, trade_id=trade_id)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=503, count=1)
        begun = world.run(world.automation(account, "puppet", CONFIG))
        assert begun["status"] == "waiting"
        world.storage.run("UPDATE exchanges SET is_active = ?", False)
        assert world.go_on(begun["executionId"])["status"] == "completed"


class TestInactiveAccount:
    @pytest.fixture
    def account(self, world: World) -> Account:
        return world.account(is_active=False)

    @pytest.fixture
    def trade_id(self, world: World, account: Account) -> str:
        """A trade from when the account was active."""
        world.storage.run("UPDATE user_exchange_accounts SET is_active = ?", True)
        trade_id = world.open_trade(account)
        world.storage.run("UPDATE user_exchange_accounts SET is_active = ?", False)
        return trade_id

    @pytest.mark.parametrize(
        "config", [CLOSE, {"action": "add_margin", "add_margin_amount": 100}, {"action": "reduce_position"}]
    )
    def test_reduce_only_lets_guards_act_and_alerts(
        self, world: World, account: Account, trade_id: str, config: dict[str, Any]
    ) -> None:
        guard = world.automation(account, "margin_guard", {**config, "reduce_percentage": 50})
        result = world.run(guard, trade_id=trade_id)
        assert (result["status"], result["action"]) == ("completed", config["action"])
        assert world.alerts == ["inactive_account"]
        assert world.watcher.alerts[0].account_id == account.id

    def test_reduce_only_refuses_entries(self, world: World, account: Account) -> None:
        error = refused(world, world.automation(account, "auto_entry", ENTRY))
        assert (error["status"], error["code"], error["accountId"]) == (400, "account_inactive", account.id)
        assert world.alerts == ["inactive_account"]

    def test_refuse_refuses_all(self, world: World, account: Account, trade_id: str) -> None:
        world.restart(inactive_accounts="refuse")
        guard = world.automation(account, "margin_guard", CLOSE)
        assert refused(world, guard, trade_id=trade_id)["code"] == "account_inactive"
        assert refused(world, world.automation(account, "auto_entry", ENTRY))["code"] == "account_inactive"
        assert world.alerts == ["inactive_account"], "one stands for both"

    def test_allow_allows_all(self, world: World, account: Account, trade_id: str) -> None:
        world.restart(inactive_accounts="allow")
        guard = world.automation(account, "margin_guard", CLOSE)
        assert world.run(guard, trade_id=trade_id)["status"] == "completed"
        assert world.run(world.automation(account, "auto_entry", ENTRY))["status"] == "completed"
        assert world.alerts == ["inactive_account"], "one stands for both"


class TestCredentials:
    @pytest.fixture
    def account(self, world: World) -> Account:
        return world.account()

    @pytest.fixture
    def automation_id(self, world: World, account: Account) -> str:
        return world.automation(account, "auto_entry", ENTRY)

    @pytest.mark.parametrize(
        ("row", "code"),
        [
            ({}, "credentials_missing"),
            ({"API Key": "", "API Secret": " ", "Passphrase": "\t"}, "credentials_missing"),
            ({"API Key": "00" * 16 + ":" + "11" * 16, "API Secret": "s", "Passphrase": "p"}, "credentials_unreadable"),
            ("[1, 2]", "credentials_unreadable"),
        ],
        ids=["missing", "blank", "undecryptable", "no object"],
    )
    def test_unusable_ones_are_refused_with_an_alert(
        self, world: World, account: Account, automation_id: str, row: Any, code: str
    ) -> None:
        put_credentials(world, account, row)
        error = refused(world, automation_id)
        assert (error["status"], error["code"], error["accountId"]) == (400, code, account.id)
        assert world.alerts == ["credential_failure"]

    def test_plain_text_is_read_and_warned_of_once(
        self, world: World, account: Account, automation_id: str, said: Said
    ) -> None:
        put_credentials(world, account, account.paper.credentials())
        assert [world.run(automation_id)["status"] for _ in range(2)] == ["completed", "completed"]
        warnings = [line for line in said.problems if "plain_text" in line and account.name in line]
        assert len(warnings) == len(set(warnings)) == 3

    def test_new_ones_are_used_by_the_very_next_job(self, world: World, account: Account, automation_id: str) -> None:
        world.run(automation_id)
        rotated = world.account(name="Rotated")
        put_credentials(world, account, {**world.written(rotated)})
        with world.changes() as changes:
            result = world.run(automation_id)
        assert result["status"] == "completed"
        assert (changes.asked, changes.effects) == ({"Rotated"}, [("Rotated", "open")])

    def test_removed_ones_stop_the_very_next_job(self, world: World, account: Account, automation_id: str) -> None:
        world.run(automation_id)
        put_credentials(world, account, {})
        assert refused(world, automation_id)["code"] == "credentials_missing"

    def test_keys_that_the_exchange_refuses_are_an_alert(
        self, world: World, account: Account, automation_id: str
    ) -> None:
        put_credentials(world, account, {"API Key": "gone", "API Secret": "gone", "Passphrase": "gone"})
        error = refused(world, automation_id)
        assert error["code"] == "exchange_unauthorized"
        assert world.alerts == ["credential_failure"]

    def test_sealed_ones_do_not_fit_another_account(self, world: World, automation_id: str, account: Account) -> None:
        rich = world.account(name="Rich", format="sealed")
        put_credentials(world, account, world.written(rich, "sealed"))
        assert refused(world, automation_id)["code"] == "credentials_unreadable"

    def test_sealed_ones_work_on_their_own(self, world: World) -> None:
        sealed = world.account(name="Sealed", format="sealed")
        assert world.run(world.automation(sealed, "auto_entry", ENTRY))["status"] == "completed"


class TestTypeActionConfig:
    @pytest.fixture
    def account(self, world: World) -> Account:
        return world.account()

    def test_an_unknown_type_names_the_installed_ones(self, world: World, account: Account) -> None:
        error = refused(world, world.automation(account, "moon_shot", {}))
        assert (error["status"], error["code"]) == (400, "unknown_automation_type")
        assert "moon_shot" in error["message"]
        names = error["message"].rpartition(": ")[2].split(", ")
        assert names == sorted(names)
        assert {"auto_entry", "margin_guard", "tp_sl"} <= set(names)

    def test_an_unknown_action_names_the_types_own(self, world: World, account: Account) -> None:
        error = refused(world, world.automation(account, "margin_guard", CLOSE), action="close_tp", trade_id="t")
        assert (error["status"], error["code"]) == (400, "unknown_action")
        assert "add_margin, close_position, reduce_position" in error["message"]

    def test_every_problem_of_a_config_is_named(self, world: World, account: Account) -> None:
        error = refused(world, world.automation(account, "auto_entry", {"side": "up", "leverage": 0, "quantity": 1.5}))
        assert (error["status"], error["code"]) == (400, "invalid_config")
        assert all(f"{key}:" in error["message"] for key in ("side", "leverage", "quantity"))

    def test_a_misspelt_key_is_refused_with_a_hint(self, world: World, account: Account) -> None:
        error = refused(world, world.automation(account, "auto_entry", {**ENTRY, "stop_loss": 45_000}))
        assert "stop_loss: unknown key; did you mean stoploss?" in error["message"]

    @pytest.mark.parametrize("config", ["null", "[]", '"text"', "3"])
    def test_a_config_that_is_no_object_is_refused(self, world: World, account: Account, config: str) -> None:
        broken = world.automation(account, "auto_entry", ENTRY)
        world.storage.run('UPDATE "Automation" SET config = ? WHERE id = ?', config, broken)
        assert refused(world, broken)["code"] == "invalid_config"

    def test_keys_from_old_rows_are_accepted_and_said_once(self, world: World, account: Account, said: Said) -> None:
        old = {**ENTRY, "enabled": True, "plan_type": "pro", "notifications": {}, "protection_mode": "x"}
        automation_id = world.automation(account, "auto_entry", old)
        assert [world.run(automation_id)["status"] for _ in range(2)] == ["completed", "completed"]
        (warning,) = [line for line in said.problems if automation_id in line]
        assert "enabled, notifications, plan_type, protection_mode" in warning


class TestAnUnusualExchange:
    def test_a_slug_without_a_client_names_the_installed_ones(self, world: World) -> None:
        unknown = world.account(exchange_id=world.exchange("kraken", "Kraken"))
        error = refused(world, world.automation(unknown, "auto_entry", ENTRY))
        assert (error["status"], error["code"]) == (400, "unknown_exchange")
        assert "lnmarkets" in error["message"]

    @pytest.mark.parametrize(
        ("flag", "base_url"),
        [("true", "https://api.signet.lnmarkets.com/v3"), ("false", "https://api.lnmarkets.com/v3")],
    )
    def test_keys_of_the_test_network_never_go_to_mainnet(self, world: World, flag: str, base_url: str) -> None:
        stub = StubExchange(Rejected("seen enough"))
        world.restart(stub.plugin, exchange_url="https://API.lnmarkets.com")
        account = world.account(exchange_id=world.exchange("stub", "Stub"))
        put_credentials(world, account, {**world.written(account), "isTestnet": flag})
        assert refused(world, world.automation(account, "auto_entry", ENTRY))["message"] == "seen enough"
        assert {options.base_url.lower() for options in stub.asked} == {base_url}

    def test_one_whose_plugin_is_broken_fails_its_jobs_only(self, world: World) -> None:
        world.restart(StubExchange(KeyError("oops")).plugin)
        broken = world.account(name="Broken", exchange_id=world.exchange("stub", "Stub"))
        error = refused(world, world.automation(broken, "auto_entry", ENTRY))
        assert error["status"] == 500
        assert world.run(world.automation(world.account(), "auto_entry", ENTRY))["status"] == "completed"

    def test_paper_trading_is_the_exchange_row_alone(self, world: World) -> None:
        account = world.account(exchange_id=world.exchange("paper", "Paper"))
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        assert result["status"] == "completed"


def test_a_result_can_be_asked_for_again(world: World) -> None:
    entry = world.automation(world.account(), "auto_entry", ENTRY)
    result = world.run(entry)
    assert get_result(result["executionId"]) == result
