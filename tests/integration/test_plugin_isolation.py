"""P7: whatever one plugin does in its handler, its own jobs fail by name, and all others go on."""

from __future__ import annotations

import decimal
import os
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from axisor_executor import Act, ClosePosition, Group, OpenPosition, Wait, act, enqueue, get_result, hookimpl, wait
from axisor_executor.automation import AccountContext
from axisor_executor.errors import Held, InvalidConfig, LeaseLost, PluginError, Refused, StaleData, StorageError
from axisor_executor.limits.breaker import PluginRef
from axisor_executor.run.deciding import MOST_HUNG
from tests.harness.waiting import until
from tests.harness.world import Account, World, plugin
from tests.integration.puppet import CONFIG, Puppet

GUARD = {"action": "close_position", "scope": "all", "margin_threshold": 90}
CLOSE = {"action": "close_position"}
NAMED = "axisor-puppet 1.0 [puppet]: "
PUPPET = PluginRef("axisor-puppet", "1.0", "another")
OPENING = "POST /v3/futures/isolated/trade"


@pytest.fixture
def puppet(world: World) -> Puppet:
    puppet = Puppet()
    world.restart(puppet.plugin)
    return puppet


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    return world.account()


class Liar(Act):
    """Shows the checks that there is nothing to do, and would have the ledger keep an entry."""

    looks: ClassVar[int] = 0

    def as_dict(self) -> dict[str, Any]:
        type(self).looks += 1
        entry = act(OpenPosition("buy", 100, Decimal(10)), name="go")
        return Act.as_dict(entry) if type(self).looks > 1 else Act.as_dict(act(name="go"))


class Wrong(Refused):
    """Breaks where it is shown."""

    def as_dict(self) -> dict[str, Any]:
        raise RuntimeError("can't be shown")


def raising(error: BaseException) -> Callable[[Any], Any]:
    def decide(context: Any) -> Any:
        raise error

    return decide


def groups(*made: Any) -> Act:
    return Act(groups=made, action="go")


async def promise(context: Any) -> Wait:
    return wait("later")


JUNK: dict[str, tuple[Any, str]] = {
    "a promise": (promise, "returned coroutine, not a decision"),
    "a trade id that can't be hashed": (lambda _: groups(Group("go", (ClosePosition("t"),), ["t"])), "trade_id ['t']"),  # type: ignore[arg-type]
    "an entry under a name of its own": (
        lambda _: groups(Group("go", (OpenPosition("buy", 100, Decimal(10)),), "ladder-1")),
        "a group with the trade_id 'ladder-1', which none of its actions is about",
    ),
    "a failure without an error": (
        lambda _: groups(Group("go", status="failed", facts={"error": "x"})),
        "failed group",
    ),
    "a name with NUL": (lambda _: act(ClosePosition("t\0")), "no database keeps"),
    "a huge decision": (lambda _: wait("x", notes="x" * 3_000_000), "2000000 are the most"),
    "the core's own error": (raising(LeaseLost("mine")), "raised LeaseLost, which only the core raises"),
    "an error that holds a run": (raising(Held("mine")), "raised Held, which only the core raises"),
    "an error of the database": (raising(StorageError("mine")), "raised StorageError, which only the core raises"),
    "another plugin's error": (raising(PluginError("axisor-other 9 [other]: x")), "raised PluginError, which only"),
    "a status that is none": (raising(Refused("x", status="no")), "with a code, status or account"),  # type: ignore[arg-type]
    "details that are none": (raising(Refused("x", details={"a": {1}})), "details that are not JSON"),
}


class TestItsOwnJob:
    @pytest.mark.parametrize("kind", JUNK)
    @pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
    def test_junk_fails_it_by_name(self, world: World, account: Account, puppet: Puppet, kind: str) -> None:
        puppet.decision, told = JUNK[kind]
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")
        assert result["error"]["message"].startswith(NAMED)
        assert told in result["error"]["message"]
        assert changes.sent == []
        assert world.alerts == ["plugin_failure"]

    def test_an_error_that_breaks_where_it_is_shown_is_shown_as_ours(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        puppet.decision = Wrong("not today")
        result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["error"]["code"], result["error"]["message"]) == ("refused", "not today")

    def test_what_is_checked_is_what_is_carried_out(self, world: World, account: Account, puppet: Puppet) -> None:
        Liar.looks = 0
        puppet.decision = Liar(groups=(), action="go")
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], changes.sent) == ("completed", [])

    @pytest.mark.parametrize("method", ["choose_action", "parse_config", "ignored"])
    @pytest.mark.parametrize("answer", [None, [["go"]], 7], ids=str)
    def test_junk_made_of_its_config_fails_it_by_name(
        self, world: World, account: Account, puppet: Puppet, method: str, answer: Any
    ) -> None:
        setattr(puppet, method, lambda *_, **__: answer)
        puppet.decision = wait("never asked")
        result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")
        assert result["error"]["message"].startswith(NAMED)
        assert puppet.asked == 0

    def test_a_choice_of_the_action_that_exits_or_hangs_holds_up_no_one_who_hands_a_job_over(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axisor_executor.run.resolve.LANE_SECONDS", 0.05)
        automation, released = world.automation(account, "puppet", CONFIG), threading.Event()
        monkeypatch.setattr(Puppet, "choose_action", lambda *_: released.wait(30))
        hanging = world.enqueue(world.job(automation))
        released.set()
        monkeypatch.setattr(Puppet, "choose_action", raising(SystemExit(3)))
        exiting = world.enqueue(world.job(automation))
        assert [world.execution(one).lane for one in (hanging, exiting)] == ["default", "default"]

    @pytest.mark.parametrize(("side", "quantity", "leverage"), [("sell", 50, 2), ("buy", 101, 2), ("buy", 50, "2.01")])
    def test_a_remainder_that_is_none_closes_nothing(
        self, world: World, account: Account, puppet: Puppet, side: Any, quantity: int, leverage: Any
    ) -> None:
        """It would pass where new risk may not: on an account that is inactive, or under reduce-only."""
        trade_id = world.open_trade(account, quantity=100, leverage=2)
        reopen = OpenPosition(side, quantity, Decimal(leverage), replaces=trade_id)
        puppet.decision = act(ClosePosition(trade_id), reopen, name="go", trade_id=trade_id)
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
        assert result["error"]["code"] == "plugin_error"
        assert "is no remainder of it" in result["error"]["message"]
        assert changes.sent == []

    @pytest.mark.parametrize("change", [{"details": {"a": {1}}}, {"code": {1}}, {"account_id": object()}], ids=list)
    def test_an_error_of_a_read_that_it_changed_is_recorded_as_it_was(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
    ) -> None:
        def spoil(context: AccountContext[Any]) -> Any:
            try:
                context.price()
            except StaleData as error:
                vars(error).update(change)
                raise

        puppet.decision = spoil
        monkeypatch.setattr("axisor_executor.run.reads.LiveReads.price_now", raising_for_any(StaleData("too old")))
        result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], result["waitingFor"]) == ("waiting", "retry")
        assert (result["error"]["code"], result["error"]["message"]) == (StaleData.default_code, "too old")

    def test_what_the_database_refuses_while_it_reads_is_not_its_fault(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hiccup must not end a guard's job as the plugin's failure: the run is taken up again."""
        automation = world.automation(account, "puppet", CONFIG)
        puppet.decision = lambda context: wait(context.current_id("t1"))
        execution_id = world.enqueue(world.job(automation))
        with monkeypatch.context() as patch:
            patch.setattr("axisor_executor.storage.lineage.current_id", raising_for_any(StorageError("away")))
            with pytest.raises(StorageError, match="away"):
                world.parts.executor.run(execution_id)
        assert world.execution(execution_id).error is None


def raising_for_any(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class TestOthers:
    def vandal(self, context: AccountContext[Any]) -> Any:
        """Change everything that was read, as far as Python lets it; leave a thread behind."""
        for read in (context.reads.running, context.reads.own_trades, context.reads.open_orders):
            found: Any = read()
            for change in (lambda found=found: found.clear(), lambda found=found: found.pop()):
                with pytest.raises(AttributeError):
                    change()
        for trade in context.running_trades():
            with pytest.raises(AttributeError):
                trade.liquidation = Decimal(1)  # type: ignore[misc]
        for name in ("account", "job", "config", "reads"):
            object.__setattr__(context, name, None)
        threading.Thread(target=self.go_on.wait, args=(30,)).start()
        return wait("vandalised")

    @pytest.fixture(autouse=True)
    def _release(self) -> Iterator[None]:
        self.go_on = threading.Event()
        yield
        self.go_on.set()

    def test_the_next_in_line_on_the_account_sees_the_trades_as_they_are(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        """It goes on with what the run before has read."""
        trade_id = world.open_trade(account)
        world.move_price(liquidation(world, account, trade_id) + 1)
        puppet.decision = self.vandal
        first = world.enqueue(world.job(world.automation(account, "puppet", CONFIG)))
        guard = world.enqueue(world.job(world.automation(account, "margin_guard", GUARD)))
        world.parts.executor.run(first)
        assert get_result(first)["result"]["reason"] == "vandalised"
        until(lambda: world.go_on(guard)["status"] not in ("queued", "waiting"))
        assert [(one["tradeId"], one["status"]) for one in get_result(guard)["trades"]] == [(trade_id, "completed")]
        assert world.trade(account, trade_id)["closed"] is True

    def test_one_that_registers_the_cores_own_exchange_stops_neither_the_start_nor_a_job(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        class Usurper:
            @hookimpl
            def axisor_register_exchanges(self, register: Callable[[str, Any], None]) -> None:
                register("lnmarkets", raising(AssertionError("asked for a client")))

        world.restart(plugin("usurper", Usurper()), puppet.plugin)
        puppet.decision = wait("later")
        assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "pending"
        guard = world.automation(account, "margin_guard", CLOSE)
        assert world.run(guard, trade_id=world.open_trade(account))["status"] == "completed"

    def test_while_one_hangs_a_guard_of_another_plugin_on_the_account_gets_its_turn(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trade_id = world.open_trade(account)
        world.restart(puppet.plugin, decide_seconds=3)
        puppet.decision = lambda context: self.go_on.wait(30)
        hung = world.run(world.automation(account, "puppet", CONFIG))
        closed = world.run(world.automation(account, "margin_guard", CLOSE), trade_id=trade_id)
        assert (hung["error"]["code"], closed["status"]) == ("plugin_timeout", "completed")

    def test_a_slow_exchange_is_no_failure_of_the_plugin(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A guard whose reads take too long is tried again, and held back on no other account."""
        other = world.account(name="Second Account")
        trade_id = world.open_trade(other)
        world.restart(puppet.plugin, decide_seconds=1, plugin_breaker_failures=1)
        automation = world.automation(account, "margin_guard", GUARD)
        with monkeypatch.context() as patch:
            patch.setattr("axisor_executor.run.reads.LiveReads.running", lambda _: self.go_on.wait(30) and ())
            results = [world.run(automation) for _ in range(MOST_HUNG + 1)]
        assert {(one["status"], one["error"]["code"]) for one in results} == {("waiting", "exchange_unavailable")}
        closed = world.run(world.automation(other, "margin_guard", CLOSE), trade_id=trade_id)
        assert (world.settle(closed["executionId"])["status"], world.parts.breakers.states()) == ("completed", [])

    def test_its_arithmetic_is_its_own(self, world: World, account: Account, puppet: Puppet) -> None:
        def coarse(context: Any) -> Any:
            decimal.getcontext().prec = 2
            return wait("coarse")

        puppet.decision = coarse
        before = Decimal(1) / 3
        world.run(world.automation(account, "puppet", CONFIG))
        assert Decimal(1) / 3 == before


def liquidation(world: World, account: Account, trade_id: str) -> float:
    return float(world.trade(account, trade_id)["liquidation"])


class TestBreaker:
    """A plugin that fails again and again: ``puppet``, beside ``margin_guard`` on the same account."""

    @pytest.fixture
    def account(self, world: World, puppet: Puppet) -> Account:
        world.restart(puppet.plugin, plugin_breaker_probe_seconds=60)
        return world.account()

    def broken(self, world: World, account: Account, puppet: Puppet) -> list[str]:
        """Let two automations of it fail until the breaker opens."""
        puppet.decision = ZeroDivisionError("oh no")
        automations = [world.automation(account, "puppet", CONFIG) for _ in range(2)]
        for number in range(5):
            result = world.run(automations[number % 2])
            assert result["error"]["code"] == "plugin_error"
        return automations

    def test_its_automations_wait_and_cost_nothing(self, world: World, account: Account, puppet: Puppet) -> None:
        automation, _ = self.broken(world, account, puppet)
        asked = puppet.asked
        held = world.run(automation)
        assert (held["status"], held["waitingFor"], held["error"]["code"]) == (
            "waiting",
            "retry",
            "plugin_circuit_open",
        )
        assert (world.execution(held["executionId"]).tries, puppet.asked) == (0, asked)
        assert world.alerts.count("plugin_circuit_open") == 1

    def test_other_plugins_go_on_on_the_same_account(self, world: World, account: Account, puppet: Puppet) -> None:
        trade_id = world.open_trade(account)
        automation, _ = self.broken(world, account, puppet)
        assert world.run(automation)["status"] == "waiting"
        guard = world.automation(account, "margin_guard", CLOSE)
        assert world.run(guard, trade_id=trade_id)["status"] == "completed"

    def test_they_go_on_when_it_was_closed_by_hand(self, world: World, account: Account, puppet: Puppet) -> None:
        automation, _ = self.broken(world, account, puppet)
        held = world.run(automation)
        puppet.decision = wait("repaired")
        assert world.go_on(held["executionId"])["status"] == "waiting"
        world.parts.breakers.reset("axisor-puppet")
        assert world.go_on(held["executionId"])["result"]["reason"] == "repaired"

    def test_or_when_a_probe_has_decided(self, world: World, account: Account, puppet: Puppet) -> None:
        world.restart(puppet.plugin, plugin_breaker_probe_seconds=0.1)
        automation, other = self.broken(world, account, puppet)
        puppet.decision = wait("repaired")
        first = world.run(automation)
        if first["status"] == "waiting":
            first = world.settle(first["executionId"])
        assert first["result"]["reason"] == "repaired"
        assert world.run(other)["result"]["reason"] == "repaired"

    def test_until_they_are_too_old(self, world: World, account: Account, puppet: Puppet) -> None:
        automation, _ = self.broken(world, account, puppet)
        held = world.run(automation)
        world.make_older(held["executionId"], seconds=3600)
        assert world.go_on(held["executionId"])["status"] == "expired"

    @pytest.mark.parametrize("error", [Refused("no"), InvalidConfig("no")], ids=lambda error: error.code)
    def test_what_it_refuses_on_purpose_does_not_open_it(
        self, world: World, account: Account, puppet: Puppet, error: Exception
    ) -> None:
        puppet.decision = error
        automation = world.automation(account, "puppet", CONFIG)
        for _ in range(20):
            assert world.run(automation)["error"]["message"] == "no"

    def test_what_has_begun_goes_on(self, world: World, account: Account, puppet: Puppet) -> None:
        """P1: a position that is closed has its remainder opened, whatever has become of the plugin since."""
        trade_id = world.open_trade(account, quantity=100)
        remainder = OpenPosition("buy", 50, Decimal(10), replaces=trade_id)
        puppet.decision = act(ClosePosition(trade_id), remainder, name="halve", trade_id=trade_id)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        begun = world.run(world.automation(account, "puppet", CONFIG))
        assert begun["status"] == "waiting"
        self.broken(world, account, puppet)
        asked = puppet.asked
        with world.changes() as changes:
            done = world.settle(begun["executionId"])
        assert (done["status"], changes.kinds) == ("completed", ["open"])
        assert puppet.asked == asked
        assert [one.kind for one in world.parts.breakers.states()] == ["plugin"]

    def test_a_run_that_ends_before_it_is_asked_gives_its_probe_back(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        world.restart(puppet.plugin, plugin_breaker_probe_seconds=0.1)
        automation, _ = self.broken(world, account, puppet)
        unreadable = world.automation(world.account(credentials={"API Key": "no"}), "puppet", CONFIG)
        puppet.decision = wait("repaired")
        refused = world.settle(world.run(unreadable)["executionId"])
        assert refused["error"]["code"].startswith("credentials_")
        assert [one.state for one in world.parts.breakers.states()] == ["half_open"]
        assert world.run(automation)["result"]["reason"] == "repaired"


NASTY = """
import threading

from axisor_executor import AutomationConfig, AutomationHandler, hookimpl, wait

axisor_hook_api = "1.0"


class Config(AutomationConfig):
    how: str


class Nasty(AutomationHandler[Config]):
    type, title, actions, config_model = "nasty", "Nasty", {"go": "protect"}, Config

    def decide(self, context):
        how = context.config.how
        if how == "exits":
            raise SystemExit(1)
        if how == "interrupts":
            raise KeyboardInterrupt
        if how == "hangs":
            threading.Event().wait()
        if how == "spins":
            while True:
                pass
        if how == "recurses":
            return self.decide(context)
        return object()


@hookimpl
def axisor_register_automations(register):
    register(Nasty())
"""
METADATA = "Metadata-Version: 2.1\nName: nasty\nVersion: 6.6\n"
ENTRY_POINTS = "[axisor_executor]\nnasty = nasty_plugin\n"


@pytest.fixture
def nasty(tmp_path: Path) -> str:
    """A folder for ``PYTHONPATH`` in which the plugin is installed."""
    site = tmp_path / "site"
    (site / "nasty-6.6.dist-info").mkdir(parents=True)
    (site / "nasty_plugin.py").write_text(NASTY)
    (site / "nasty-6.6.dist-info" / "METADATA").write_text(METADATA)
    (site / "nasty-6.6.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    return os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


class TestInAWorker:
    def test_a_worker_survives_it_all_and_guards_meanwhile(self, world: World, nasty: str, tmp_path: Path) -> None:
        account = world.account()
        trades = [world.open_trade(account) for _ in range(2)]
        guard = world.automation(account, "margin_guard", CLOSE)
        kinds = ("exits", "interrupts", "recurses", "returns junk", "hangs", "spins")
        automations = {how: world.automation(account, "nasty", {"how": how}) for how in kinds}
        settings = {"AXISOR_DECIDE_SECONDS": "2", "AXISOR_PLUGIN_BREAKER_FAILURES": "100"}
        with world.worker(tmp_path / "worker.log", threads=2, PYTHONPATH=nasty, **settings):
            first = get_result(enqueue(world.job(guard, trade_id=trades[0])), wait=60)
            ends = {how: get_result(enqueue(world.job(one)), wait=60) for how, one in automations.items()}
            last = get_result(enqueue(world.job(guard, trade_id=trades[1])), wait=60)
        assert (first["status"], last["status"]) == ("completed", "completed")
        assert {how: end["error"]["code"] for how, end in ends.items()} == {
            **dict.fromkeys(kinds[:4], "plugin_error"),
            **dict.fromkeys(kinds[4:], "plugin_timeout"),
        }
        assert {end["error"]["message"].partition(":")[0] for end in ends.values()} == {"nasty 6.6 [nasty]"}
