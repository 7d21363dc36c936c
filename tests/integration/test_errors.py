"""What goes wrong is told with status, code and account: in the result, in the log, in the TradeLog."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from axisor_executor.automation import act
from axisor_executor.hookspecs import hookimpl
from axisor_executor.run import patience
from axisor_executor.settings import RetryPolicy
from tests.harness.world import Account, World, plugin
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

ENTRY = {"side": "b", "quantity": 100}
ONE_TRY = RetryPolicy(tries=1, first_delay_seconds=1, limit_seconds=1, max_age_seconds=60)


@dataclass
class Case:
    """A way to fail: what is set up, and what must be told."""

    type: str
    config: dict[str, Any]
    status: int
    code: str
    log: str = "app_error"
    job: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[World, Account], Any] = lambda world, account: None


def fault(kind: str, **options: Any) -> Callable[[World, Account], Any]:
    return lambda world, account: world.paper.add_fault(kind, mutating=True, **options)


def inactive(world: World, account: Account) -> None:
    world.storage.run("UPDATE user_exchange_accounts SET is_active = ?", False)


def without_keys(world: World, account: Account) -> None:
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", {})


CASES = {
    "a trade that is not there": Case(
        "margin_guard", {"action": "close_position"}, 404, "trade_not_found", job={"trade_id": "none"}
    ),
    "no keys": Case("auto_entry", ENTRY, 400, "credentials_missing", prepare=without_keys),
    "an inactive account": Case("auto_entry", ENTRY, 400, "account_inactive", prepare=inactive),
    "an invalid config": Case("auto_entry", {}, 400, "invalid_config"),
    "an unknown action": Case("auto_entry", ENTRY, 400, "unknown_action", job={"action": "jump"}),
    "an unknown type": Case("moon_shot", {}, 400, "unknown_automation_type"),
    "an exchange that says no": Case(
        "auto_entry", ENTRY, 400, "exchange_rejected", "exchange_error", prepare=fault("status_before", status=400)
    ),
    "an exchange that refuses the key": Case(
        "auto_entry", ENTRY, 403, "exchange_forbidden", "exchange_error", prepare=fault("status_before", status=403)
    ),
    "an exchange that is away": Case(
        "auto_entry", ENTRY, 503, "exchange_unavailable", "exchange_error", prepare=fault("status_before", status=503)
    ),
    "a plugin that raises": Case("puppet", CONFIG, 500, "plugin_error"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def account(world: World) -> Account:
    puppet = Puppet()
    puppet.decision = RuntimeError("oh no")
    world.restart(puppet.plugin, retries={"auto_entry": ONE_TRY})
    return world.account()


def test_a_failure_says_what_where_and_to_whom(world: World, account: Account, case: Case, said: Said) -> None:
    automation_id = world.automation(account, case.type, case.config)
    case.prepare(world, account)
    result = world.run(automation_id, **case.job)

    assert result["status"] == "failed"
    error = result["error"]
    assert (error["status"], error["code"]) == (case.status, case.code)
    assert (error["accountId"], error["accountName"]) == (account.id, "Main Account")
    assert (result["accountId"], result["accountName"]) == (account.id, "Main Account")

    (row,) = world.trade_log()
    assert (row.status, row.error_message) == (case.log, error["message"])
    assert (row.automation_id, row.trade_id) == (automation_id, case.job.get("trade_id", ""))

    assert said.problems
    assert [line for line in said.problems if account.name not in line and account.id not in line] == []
    (run,) = said.runs
    assert (run["status"], run["accountId"], run["error"]) == ("error", account.id, error["message"])


class TestAlertsOfGuards:
    """What failed to protect a trade is told, whatever else failed on its account a moment before."""

    def test_a_refused_guard_is_hidden_by_no_other_refusal(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        trades = [world.open_trade(account) for _ in range(2)]
        world.paper.add_fault("status_before", mutating=True, status=400, count=4)
        world.run(entry)
        for trade_id in (*trades, trades[0]):
            assert world.run(guard, trade_id=trade_id)["error"]["code"] == "exchange_rejected"
        assert world.alerts == ["api_error"] * 3
        told = [(one.automation_id, one.details.get("tradeId")) for one in world.watcher.alerts]
        assert told == [(entry, None), (guard, trades[0]), (guard, trades[1])]

    def test_nor_is_one_that_came_too_late_hidden_by_an_entry(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        for automation_id in (entry, guard, entry, guard):
            late = world.enqueue(world.job(automation_id, trade_id="t", max_age=1))
            world.make_older(late, seconds=2)
            assert world.go_on(late)["status"] == "expired"
        assert world.alerts == ["timeout"] * 2
        assert [one.automation_id for one in world.watcher.alerts] == [entry, guard]


class TestExpired:
    def test_a_job_that_is_too_old_is_not_begun(self, world: World, account: Account) -> None:
        late = world.job(world.automation(account, "auto_entry", ENTRY), max_age=1)
        execution_id = world.enqueue(late)
        world.make_older(execution_id, seconds=2)
        with world.changes() as changes:
            result = world.go_on(execution_id)
        assert result["status"] == "expired"
        assert (result["error"]["code"], result["error"]["accountId"]) == ("expired", account.id)
        assert changes.sent == []
        assert world.alerts == ["timeout"]
        assert [row.status for row in world.trade_log()] == ["app_error"]

    def test_the_limit_is_the_types_where_the_job_has_none(self, world: World, account: Account) -> None:
        execution_id = world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
        world.make_older(execution_id, seconds=61)
        assert world.go_on(execution_id)["status"] == "expired"

    def test_no_job_is_too_old_because_a_machines_clock_is_ahead(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Ahead(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(hours=1)

        monkeypatch.setattr(patience, "datetime", Ahead)
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        assert world.run(guard, trade_id=world.open_trade(account))["status"] == "completed"


class TestRetries:
    @pytest.fixture
    def patient(self, world: World) -> Account:
        policy = RetryPolicy(tries=3, first_delay_seconds=4, limit_seconds=6, max_age_seconds=600)
        world.restart(retries={"auto_entry": policy})
        return world.account()

    def test_an_exchange_that_is_away_is_asked_again_later_and_later(
        self, world: World, patient: Account, said: Said
    ) -> None:
        world.paper.add_fault("status_before", mutating=True, status=503)
        entry = world.automation(patient, "auto_entry", ENTRY)
        first = world.run(entry)
        assert (first["status"], first["waitingFor"]) == ("waiting", "retry")
        execution_id = first["executionId"]
        assert 0 < world.due_in(execution_id) <= 5
        assert world.go_on(execution_id)["status"] == "waiting"
        last = world.go_on(execution_id)
        assert (last["status"], last["error"]["code"]) == ("failed", "exchange_unavailable")
        assert world.paper.effects() == []
        assert len(world.trade_log()) == 1
        first_delay, second_delay = said.delays
        assert 3 <= first_delay <= 5, "4 s and a quarter either way"
        assert 4.5 <= second_delay <= 7.5, "8 s, cut to 6"

    def test_it_is_decided_again_each_time(self, world: World, patient: Account) -> None:
        fault_id = world.paper.add_fault("status_before", mutating=True, status=503)
        entry = world.automation(patient, "auto_entry", {**ENTRY, "trigger_price": 50_000})
        waiting = world.run(entry)
        world.paper.clear_faults()
        world.move_price(51_000)
        result = world.go_on(waiting["executionId"])
        assert (fault_id, result["status"], result["result"]["reason"]) == (
            fault_id,
            "pending",
            "price_not_triggered",
        )

    def test_when_it_is_back_the_effect_happens_once(self, world: World, patient: Account) -> None:
        world.paper.add_fault("status_before", mutating=True, status=503, count=1)
        waiting = world.run(world.automation(patient, "auto_entry", ENTRY))
        with world.changes() as changes:
            result = world.go_on(waiting["executionId"])
        assert result["status"] == "completed"
        assert changes.kinds == ["open"]

    def test_the_exchanges_own_retry_after_is_kept(self, world: World, patient: Account, said: Said) -> None:
        world.paper.add_fault("status_before", mutating=True, status=429, retryAfter=30)
        world.run(world.automation(patient, "auto_entry", ENTRY))
        assert said.delays == [30]

    def test_a_failing_read_is_retried_too(self, world: World, patient: Account) -> None:
        world.paper.add_fault("status_before", route="GET /v3/account", status=500)
        result = world.run(world.automation(patient, "auto_entry", ENTRY))
        assert (result["status"], result["error"]["code"]) == ("waiting", "exchange_unavailable")


class TestPlugins:
    @pytest.fixture
    def puppet(self, world: World) -> Puppet:
        puppet = Puppet()
        world.restart(puppet.plugin)
        return puppet

    @pytest.mark.parametrize(
        ("decision", "told"),
        [
            (RuntimeError("oh no"), "RuntimeError: oh no"),
            (SystemExit(3), "SystemExit: 3"),
            (None, "NoneType"),
            ("close it", "str"),
            ({"decision": "act"}, "dict"),
            (lambda context: act(name="x", facts={"price": object()}), "TypeError"),
            (lambda context: act(name="x", facts={"price": float("nan")}), "Error"),
            (lambda context: act("close", name="x"), "AttributeError"),
        ],
        ids=["raises", "exits", "nothing", "text", "dict", "strange facts", "not a number", "no action"],
    )
    def test_one_that_misbehaves_fails_its_job_with_its_name_and_version(
        self, world: World, puppet: Puppet, decision: Any, told: str
    ) -> None:
        account = world.account()
        puppet.decision = decision
        result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")
        assert result["error"]["message"].startswith("axisor-puppet 1.0 [puppet]: ")
        assert told in result["error"]["message"]
        assert world.alerts == ["plugin_failure"]
        assert world.run(world.automation(account, "auto_entry", ENTRY))["status"] == "completed"

    @pytest.mark.parametrize("poison", ["a\x00b", "\ud800"], ids=["NUL", "half a surrogate pair"])
    def test_an_error_that_no_database_can_store_still_ends_the_run(
        self, world: World, puppet: Puppet, poison: str
    ) -> None:
        puppet.decision = RuntimeError(poison)
        result = world.run(world.automation(world.account(), "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")
        assert len(world.trade_log()) == 1

    def test_one_that_hangs_fails_its_job_in_time(self, world: World, puppet: Puppet) -> None:
        world.restart(puppet.plugin, decide_seconds=0.2)
        released = threading.Event()
        puppet.decision = lambda context: released.wait(30)
        result = world.run(world.automation(world.account(), "puppet", CONFIG))
        released.set()
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_timeout")
        assert "axisor-puppet 1.0" in result["error"]["message"]

    def test_an_interrupt_of_its_own_making_fails_its_job_only(self, world: World, puppet: Puppet) -> None:
        puppet.decision = KeyboardInterrupt()
        result = world.run(world.automation(world.account(), "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")

    def test_observers_that_raise_change_nothing(self, world: World, said: Said) -> None:
        class Broken:
            @hookimpl
            def axisor_execution_finished(self, finished: Any) -> None:
                raise RuntimeError("can't look")

            @hookimpl
            def axisor_alert(self, alert: Any) -> None:
                raise SystemExit(1)

        world.restart(plugin("broken", Broken()))
        account = world.account(is_active=False)
        refused = world.run(world.automation(account, "auto_entry", ENTRY))
        assert refused["error"]["code"] == "account_inactive"
        assert world.alerts == ["inactive_account"]
        assert len(world.finished) == 1
        blamed = [line for line in said.problems if "axisor-broken 1.0 [broken]" in line]
        assert len(blamed) == 2
