"""Dry run: the same path up to the request, which is recorded as it would have left; it does not leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, cast

import pytest

from axisor_executor.automation import (
    AccountContext,
    Act,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    Decision,
    Group,
    OpenPosition,
    SetStopLoss,
    act,
)
from axisor_executor.errors import Rejected
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from axisor_executor.hookspecs import hookimpl
from axisor_executor.limits.gate import CHANGING
from axisor_executor.run import points
from axisor_executor.run.patience import Patience
from axisor_executor.run.send import Sender
from axisor_executor.storage.connection import Storage
from axisor_executor.switching import pause, resume
from tests.harness.cross import Owner
from tests.harness.world import Account, World, plugin
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

ENTRY = {"side": "b", "quantity": 100}
AT_RISK = 45_900
HALVE = {"action": "reduce_position", "reduce_percentage": 50}
Play = Callable[[World, Account], tuple[str, str | None]]


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


def dry(world: World) -> None:
    """Go on as a process with AXISOR_MODE=dry_run."""
    world.restart(mode="dry_run")


def set_config(storage: Storage, automation_id: str, config: dict[str, Any]) -> None:
    storage.run('UPDATE "Automation" SET config = ? WHERE id = ?', config, automation_id)


def guard(world: World, account: Account, config: dict[str, Any], **trade: Any) -> tuple[str, str]:
    return world.automation(account, "margin_guard", config), world.open_trade(account, **trade)


def _tp_sl(world: World, account: Account, config: dict[str, Any], **trade: Any) -> tuple[str, str]:
    return world.automation(account, "tp_sl", config), world.open_trade(account, **trade)


def _entry(world: World, account: Account, config: dict[str, Any]) -> tuple[str, None]:
    return world.automation(account, "auto_entry", {**ENTRY, **config}), None


def _cross(world: World, account: Account, config: dict[str, Any]) -> tuple[str, None]:
    Owner(world, account).hold(100)
    return world.automation(account, "margin_guard", {**config, "margin_mode": "cross"}), None


PLAYS: dict[str, tuple[Play, int]] = {
    "close": (lambda w, a: guard(w, a, {"action": "close_position"}), 1),
    "add margin": (lambda w, a: guard(w, a, {"action": "add_margin", "add_margin_amount": 5_000}), 1),
    "reduce": (lambda w, a: guard(w, a, HALVE, stoploss=46_000, takeprofit=60_000), 2),
    "take profit": (lambda w, a: _tp_sl(w, a, {"action": "update_tp", "new_takeprofit": 60_000.5}), 1),
    "stop loss": (lambda w, a: _tp_sl(w, a, {"action": "update_sl", "new_stoploss": 47_000}), 1),
    "close by tp_sl": (lambda w, a: _tp_sl(w, a, {"action": "close_sl"}), 1),
    "market entry": (lambda w, a: _entry(w, a, {"stoploss": 46_000.5, "leverage": 7.25}), 1),
    "limit entry": (lambda w, a: _entry(w, a, {"trigger_price": 48_000, "trigger_type": "limit"}), 1),
    "close cross": (lambda w, a: _cross(w, a, {"action": "close_position"}), 1),
    "reduce cross": (lambda w, a: _cross(w, a, HALVE), 1),
}


@pytest.mark.parametrize(("play", "count"), PLAYS.values(), ids=PLAYS)
def test_what_is_recorded_is_what_leaves_when_live(world: World, account: Account, play: Play, count: int) -> None:
    """Byte for byte, but for the client id, which is the execution's own."""
    automation_id, trade_id = play(world, account)
    rows = len(world.trade_log())
    dry(world)
    with world.changes() as changes:
        result = world.run(automation_id, trade_id=trade_id)
    assert (changes.sent, changes.effects) == ([], [])
    assert (result["status"], result["dryRun"]) == ("completed", True)
    assert len(world.trade_log()) == rows
    recorded = [action.request for action in world.actions(result["executionId"])]
    assert len(recorded) == count

    world.restart(mode="live")
    with world.changes() as changes:
        live = world.run(automation_id, trade_id=trade_id)
    assert live["status"] == "completed"
    assert "dryRun" not in live
    assert [_unnamed(one["method"], one["path"], one["body"]) for one in changes.sent] == [
        _unnamed(one["method"], one["path"], one["body"]) for one in recorded if one
    ]
    assert all(one and one["host"] == world.paper.url.split("/")[2] for one in recorded)


def _unnamed(method: str, path: str, body: str) -> tuple[str, str, str]:
    """Return a request with its client id, checked to be there and a text, replaced by a word."""
    own = json.loads(body).get("clientId") if body else None
    assert own is None or len(own) > 8
    return method, path, body.replace(own, "CLIENT") if own else body


class TestTheRecord:
    def test_it_holds_the_request_and_neither_key_nor_signature(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, {"action": "close_position"})
        dry(world)
        result = world.run(automation_id, trade_id=trade_id)
        (action,) = world.actions(result["executionId"])
        assert (action.status, action.dry_run, action.was_tried, action.timestamp_ms) == ("planned", True, False, None)
        assert action.request is not None
        assert action.request.pop("timestampMs") > 1_700_000_000_000
        assert action.request == {
            "method": "POST",
            "host": world.paper.url.split("/")[2],
            "path": "/v3/futures/isolated/trade/close",
            "body": f'{{"id":"{trade_id}"}}',
        }
        (told,) = result["requests"]
        assert (told["action"], told["tradeId"], told["path"]) == ("close_position", trade_id, action.request["path"])
        kept = str(world.storage.rows("SELECT * FROM axisor_actions")) + str(result)
        keys = account.paper
        assert not any(secret in kept for secret in (keys.key, keys.secret, keys.passphrase))

    def test_what_was_there_before_is_kept_as_for_a_live_one(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, {"action": "add_margin", "add_margin_amount": 5_000})
        dry(world)
        (action,) = world.actions(world.run(automation_id, trade_id=trade_id)["executionId"])
        assert action.baseline is not None
        assert action.baseline["margin"] == 20_000
        assert action.exchange_user_id == account.paper.id
        assert len(str(action.key_fingerprint)) == 16

    def test_no_line_says_that_something_was_done(self, world: World, account: Account, said: Said) -> None:
        automation_id, trade_id = guard(world, account, {"action": "close_position"})
        dry(world)
        said.clear()
        world.run(automation_id, trade_id=trade_id)
        lines = said.text()
        assert "Dry run: close_position was not sent for account Main Account" in lines
        assert "Successfully closed" not in lines
        assert "Closing position" not in lines

    def test_a_condition_that_is_not_reached_is_pending_as_ever(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, {"action": "close_position", "margin_threshold": 90})
        dry(world)
        result = world.run(automation_id, trade_id=trade_id)
        assert (result["status"], result["dryRun"], "requests" in result) == ("pending", True, False)

    def test_a_pass_over_several_trades(self, world: World, account: Account) -> None:
        config = {"action": "close_position", "scope": "all", "margin_threshold": 90}
        automation_id, first = guard(world, account, config)
        second, safe = world.open_trade(account), world.open_trade(account, leverage=2)
        world.move_price(AT_RISK)
        dry(world)
        with world.changes() as changes:
            result = world.run(automation_id)
        assert changes.sent == []
        listed = {one["tradeId"]: (one["status"], one.get("dryRun")) for one in result["trades"]}
        assert listed == {first: ("completed", True), second: ("completed", True), safe: ("pending", None)}
        assert {one["tradeId"] for one in result["requests"]} == {first, second}


class TestTheSamePath:
    """What would keep a request from leaving keeps it from being recorded."""

    def test_a_failure_is_one_and_leaves_no_trade_log(self, world: World) -> None:
        entry, _ = _entry(world, world.account(), {"stoploss": 51_000})
        dry(world)
        result = world.run(entry)
        assert (result["status"], result["error"]["code"]) == ("failed", "stoploss_invalid")
        assert result["dryRun"] is True
        assert world.trade_log() == []

    def test_a_pause_holds_it(self, world: World, account: Account) -> None:
        entry, _ = _entry(world, account, {})
        dry(world)
        pause(world.storage, "all", "", window_seconds=30)
        held = world.run(entry)
        assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
        resume(world.storage, "all", "")
        assert world.go_on(held["executionId"])["dryRun"] is True

    def test_a_trade_that_is_closed_already(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, {"action": "close_position"})
        world.run(automation_id, trade_id=trade_id)
        dry(world)
        rows = len(world.trade_log())
        result = world.run(automation_id, trade_id=trade_id)
        assert result["result"]["alreadyClosed"] is True
        assert result["dryRun"] is True
        assert len(world.trade_log()) == rows

    def test_a_client_whose_clock_is_off_records_nothing(self, world: World, account: Account) -> None:
        entry, _ = _entry(world, account, {})
        dry(world)
        world.paper.settings(clockOffsetSeconds=12)
        result = world.run(entry)
        assert (result["status"], result["error"]["code"]) == ("waiting", "clock_skew")
        assert all(one.request is None for one in world.actions(result["executionId"]))


class TestNothingIsConsumed:
    def test_a_cooldown_does_not_begin(self, world: World, account: Account) -> None:
        config = {"action": "add_margin", "add_margin_amount": 5_000, "cooldown_seconds": 300}
        automation_id, trade_id = guard(world, account, config)
        dry(world)
        for _ in range(2):
            assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        world.restart(mode="live")
        with world.changes() as changes:
            assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        assert changes.kinds == ["add_margin"]
        dry(world)
        again = world.run(automation_id, trade_id=trade_id)
        assert (again["status"], again["result"]["reason"]) == ("pending", "cooldown"), "a real one counts in a dry run"

    def test_nor_does_a_days_margin(self, world: World, account: Account) -> None:
        config = {"action": "add_margin", "add_margin_amount": 5_000, "max_daily_add_margin": 5_000}
        automation_id, trade_id = guard(world, account, config)
        dry(world)
        for _ in range(3):
            assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"

    def test_nor_a_place_among_the_open_trades(self, world: World, account: Account) -> None:
        entry, _ = _entry(world, account, {"max_open_trades": 1})
        dry(world)
        for _ in range(2):
            assert world.run(entry)["status"] == "completed"

    def test_nor_the_lineage(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, HALVE)
        dry(world)
        result = world.run(automation_id, trade_id=trade_id)
        assert result["tradeId"] == trade_id
        assert world.storage.rows("SELECT 1 FROM axisor_trade_lineage") == []


def test_one_that_expires_midway_keeps_what_was_rehearsed(
    world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.restart(puppet.plugin)
    groups = tuple(Group("top_up", (AddMargin(one, 100),), one) for one in (world.open_trade(account) for _ in "ab"))
    puppet.decision = Act(groups, "top_up", lists_trades=True)
    world.restart(puppet.plugin, mode="dry_run")
    rehearsed = "SELECT 1 FROM axisor_actions WHERE request IS NOT NULL"
    monkeypatch.setattr(Patience, "_is_late", lambda *_: bool(world.storage.rows(rehearsed)))
    result = world.run(world.automation(account, "puppet", CONFIG))
    assert result["status"] == "expired"
    first, second = world.actions(result["executionId"])
    assert (first.status, first.is_rehearsed) == ("planned", True)
    assert second.status == "rejected"


def test_one_of_which_a_read_is_refused_midway_holds_nothing(
    world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.restart(puppet.plugin)
    trade_id = world.open_trade(account)
    reopen = OpenPosition("buy", 50, Decimal(10), replaces=trade_id)
    puppet.decision = act(ClosePosition(trade_id), reopen, trade_id=trade_id)
    world.restart(puppet.plugin, mode="dry_run")
    check = Sender._check_clock

    def refused(self: Sender, client: Any) -> None:
        if world.storage.rows("SELECT 1 FROM axisor_actions WHERE request IS NOT NULL"):
            raise Rejected("no", code="exchange_forbidden")
        check(self, client)

    monkeypatch.setattr(Sender, "_check_clock", refused)
    result = world.run(world.automation(account, "puppet", CONFIG))
    assert (result["status"], result["error"]["code"]) == ("failed", "exchange_forbidden")
    assert "half_done_reduce" not in world.alerts


class TestOfOneAutomation:
    def test_its_config_says_so(self, world: World, account: Account) -> None:
        quiet, trade_id = guard(world, account, {"action": "close_position", "dry_run": True})
        with world.changes() as changes:
            result = world.run(quiet, trade_id=trade_id)
        assert (result["status"], result["dryRun"], changes.sent) == ("completed", True, [])
        set_config(world.storage, quiet, {"action": "close_position", "dry_run": False})
        with world.changes() as changes:
            assert "dryRun" not in world.run(quiet, trade_id=trade_id)
        assert changes.kinds == ["close"]

    def test_it_can_not_make_a_dry_process_live(self, world: World, account: Account) -> None:
        entry, _ = _entry(world, account, {"dry_run": False})
        dry(world)
        with world.changes() as changes:
            assert world.run(entry)["dryRun"] is True
        assert changes.sent == []

    @pytest.mark.parametrize("value", ["true", 1, "yes", [], 0])
    def test_what_is_neither_true_nor_false_sends_nothing(self, world: World, account: Account, value: Any) -> None:
        entry, _ = _entry(world, account, {"dry_run": value})
        with world.changes() as changes:
            result = world.run(entry)
        assert (result["status"], result["error"]["code"]) == ("failed", "invalid_config")
        assert changes.sent == []


class TestSwitching:
    """From live to dry run and back while something is under way."""

    def test_what_is_unknown_is_reconciled_by_reads(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, {"action": "close_position"})
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(automation_id, trade_id=trade_id)["executionId"]
        dry(world)
        with world.changes() as changes:
            result = world.settle(lost)
        assert (result["status"], changes.sent) == ("completed", [])
        assert "dryRun" not in result, "it was sent for real"
        assert [row.status for row in world.trade_log() if row.action == "close_position"] == ["success"]

    def test_a_remainder_that_is_owed_waits_with_an_alert_until_the_process_is_live(
        self, world: World, account: Account
    ) -> None:
        automation_id, trade_id = guard(world, account, HALVE)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=503, count=1)
        half = world.run(automation_id, trade_id=trade_id)
        assert half["status"] == "waiting"
        dry(world)
        with world.changes() as changes:
            held = world.go_on(half["executionId"])
        assert (held["status"], held["waitingFor"], held["error"]["code"]) == ("waiting", "paused", "dry_run")
        assert changes.sent == []
        assert world.alerts.count("half_done_reduce") == 1
        world.restart(mode="live")
        with world.changes() as changes:
            done = world.go_on(half["executionId"])
        assert (done["status"], changes.kinds) == ("completed", ["open"])
        assert "dryRun" not in done

    def test_and_is_given_up_with_an_alert_when_it_is_too_late(self, world: World, account: Account) -> None:
        automation_id, trade_id = guard(world, account, HALVE)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=503, count=1)
        half = world.run(automation_id, trade_id=trade_id)["executionId"]
        dry(world)
        world.make_older(half, seconds=700)
        world.storage.run("UPDATE axisor_actions SET created_at = {later}", -400)
        with world.changes() as changes:
            result = world.go_on(half)
        assert (result["status"], result["error"]["code"]) == ("failed", "reopen_too_late")
        assert result["result"]["reopened"] is False
        assert "dryRun" not in result
        assert changes.sent == []
        assert "half_done_reduce" in world.alerts

    def test_an_automation_that_becomes_dry_behind_its_first_request_ends_what_it_has_begun(
        self, world: World, account: Account
    ) -> None:
        automation_id, trade_id = guard(world, account, HALVE)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=503, count=1)
        half = world.run(automation_id, trade_id=trade_id)["executionId"]
        set_config(world.storage, automation_id, {**HALVE, "dry_run": True})
        with world.changes() as changes:
            assert world.go_on(half)["status"] == "completed"
        assert changes.kinds == ["open"]

    @pytest.mark.parametrize("value", [True, "true"])
    def test_an_automation_that_becomes_dry_before_its_first_request_sends_nothing(
        self, world: World, account: Account, value: Any
    ) -> None:
        """Its plan is live already, and only waits to be sent."""
        automation_id, trade_id = guard(world, account, {"action": "close_position"})

        def become_dry(point: str) -> None:
            if point == "planned":
                set_config(world.storage, automation_id, {"action": "close_position", "dry_run": value})

        points.listeners.append(become_dry)
        try:
            with world.changes() as changes:
                result = world.run(automation_id, trade_id=trade_id)
                result = world.go_on(result["executionId"]) if result["status"] == "waiting" else result
        finally:
            points.listeners.remove(become_dry)
        assert changes.sent == []
        assert result["status"] == "completed" if value is True else "failed"
        assert result.get("dryRun", False) is (value is True)

    def test_a_dry_plan_that_was_left_behind_is_decided_again_and_never_sent(
        self, world: World, account: Account
    ) -> None:
        """The worker dies between its plan and its end; the one that takes over is live."""
        automation_id, trade_id = guard(world, account, {"action": "close_position", "margin_threshold": 90})
        world.move_price(AT_RISK)
        dry(world)
        with _dying_at("planned"), pytest.raises(_Killed):
            world.run(automation_id, trade_id=trade_id)
        ((execution_id,),) = world.storage.rows("SELECT id FROM axisor_executions WHERE status = 'running'")
        world.move_price(50_000)
        world.restart(mode="live")
        world.storage.run("UPDATE axisor_leases SET until = {later}", -1)
        with world.changes() as changes:
            result = world.go_on(execution_id)
        assert (result["status"], changes.sent) == ("pending", [])

    def test_a_pass_that_was_live_in_part(self, world: World, account: Account) -> None:
        """The first trade was closed for real; the second is only rehearsed, and each is told as what it is."""
        config = {"action": "close_position", "scope": "all", "margin_threshold": 90}
        automation_id, _ = guard(world, account, config)
        world.open_trade(account)
        world.move_price(AT_RISK)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade/close", status=503, count=1)
        half = world.run(automation_id)
        assert half["status"] == "waiting"
        rows = len(world.trade_log())
        dry(world)
        with world.changes() as changes:
            result = world.go_on(half["executionId"])
        assert (result["status"], changes.sent) == ("completed", [])
        assert "dryRun" not in result
        assert sorted(one.get("dryRun", False) for one in result["trades"]) == [False, True]
        (request,) = result["requests"]
        assert [one["tradeId"] for one in result["trades"] if one.get("dryRun")] == [request["tradeId"]]
        assert len(world.trade_log()) == rows + 1


class _Killed(BaseException):
    pass


class _dying_at:  # noqa: N801  a context manager
    """Raises at a marked point what no `except Exception` catches."""

    def __init__(self, point: str) -> None:
        self.point = point

    def __enter__(self) -> None:
        points.listeners.append(self._reached)

    def __exit__(self, *_: object) -> None:
        points.listeners.remove(self._reached)

    def _reached(self, point: str) -> None:
        if point == self.point:
            raise _Killed


class _Any(AutomationHandler[AutomationConfig]):
    """Does whatever its test has told it."""

    type = "anything"
    title = "Anything"
    actions = {"anything": "default"}  # noqa: RUF012
    config_model = AutomationConfig
    decision: Decision = act(name="nothing")

    def decide(self, context: AccountContext[AutomationConfig]) -> Decision:
        del context
        return type(self).decision


class _ThirdParty:
    """A plugin with an exchange whose client can't rehearse, and counts what changes something."""

    def __init__(self) -> None:
        self.changes: list[str] = []

    @hookimpl
    def axisor_register_automations(self, register: Callable[[AutomationHandler[Any]], None]) -> None:
        register(_Any())

    @hookimpl
    def axisor_register_exchanges(self, register: Callable[[str, Any], None]) -> None:
        register("theirs", lambda options, credentials: _TheirClient(self, options, credentials))


class _TheirClient:
    def __init__(self, owner: _ThirdParty, options: ExchangeOptions, credentials: Any) -> None:
        self._owner = owner
        self._inner = LNMarketsClient(options, credentials)

    def __getattr__(self, name: str) -> Any:
        if name == "rehearse":
            raise AttributeError(name)
        found = getattr(self._inner, name)
        if name in CHANGING:
            self._owner.changes.append(name)
        return found


class TestThirdParties:
    @pytest.fixture
    def theirs(self, world: World) -> Iterator[_ThirdParty]:
        made = _ThirdParty()
        world.restart(plugin("theirs", made), mode="dry_run")
        yield made
        _Any.decision = act(name="nothing")

    def test_a_client_that_can_not_rehearse_is_never_asked_to_change_anything(
        self, world: World, theirs: _ThirdParty
    ) -> None:
        account = world.account(exchange_id=world.exchange("theirs", "Their Exchange"))
        entry, _ = _entry(world, account, {"stoploss": 46_000})
        with world.changes() as changes:
            result = world.run(entry)
        assert (result["status"], changes.sent, theirs.changes) == ("completed", [], [])
        (request,) = result["requests"]
        assert request["call"] == "open_trade"
        (order,) = request["arguments"]
        assert (order["side"], order["quantity"], order["leverage"], order["stoploss"]) == ("buy", 100, "10", "46000")
        assert order["client_id"]

    def test_whatever_a_plugin_decides(self, world: World, account: Account, theirs: _ThirdParty) -> None:
        world.restart(mode="live")
        trade = world.open_trade(account)
        world.restart(plugin("theirs", theirs), mode="dry_run")
        group = Group(
            "everything",
            (
                AddMargin(trade, 1_000),
                SetStopLoss(trade, Decimal(46_000)),
                CashIn(trade, 500),
                ClosePosition(trade),
                OpenPosition("buy", 40, Decimal(10), replaces=trade),
            ),
            trade,
        )
        _Any.decision = cast(Decision, Act((group,), "everything"))
        anything = world.automation(account, "anything", {})
        with world.changes() as changes:
            result = world.run(anything)
        assert (result["status"], changes.sent) == ("completed", [])
        paths = [one["path"].rpartition("/")[2] for one in result["requests"]]
        assert paths == ["add-margin", "stoploss", "cash-in", "close", "trade"]

    def test_a_cross_position_that_is_not_there(self, world: World, account: Account, theirs: _ThirdParty) -> None:
        del theirs
        Owner(world, account).client.set_cross_leverage(Decimal(10))
        _Any.decision = act(CloseCrossPosition("position", "buy", 100))
        result = world.run(world.automation(account, "anything", {}))
        assert result["result"]["alreadyClosed"] is True
