"""Executions of which the ledger or an answer can't be read: they come to an end, and who may act hears of it."""

from __future__ import annotations

import copy
import dataclasses
import json
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from axisor_executor import interventions
from axisor_executor.automation import Act, AddMargin, ClosePosition, Group, OpenPosition, act, wait
from axisor_executor.errors import AxisorError, Rejected, Unavailable
from axisor_executor.exchange.client import LNMarketsClient
from axisor_executor.explain import explain
from axisor_executor.run.patience import LONGEST_ASKED_SECONDS, asked_for
from axisor_executor.run.reads import LiveReads
from axisor_executor.run.send import Sender
from axisor_executor.run.settle import Settler
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.plans import Plan
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet

OPENING = "POST /v3/futures/isolated/trade"
CLOSING = f"{OPENING}/close"
TOPPING_UP = f"{OPENING}/add-margin"
ENTRY = OpenPosition("buy", 100, Decimal(10))
THREE_TRIES = RetryPolicy(tries=3, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    """An account on an exchange whose signatures outlive the test: what was lost is never proven not executed."""
    world.restart(puppet.plugin, retries={"puppet": THREE_TRIES})
    puppet.decision = act(ENTRY)
    return world.account()


@pytest.fixture
def puppets(world: World, account: Account) -> str:
    return world.automation(account, "puppet", CONFIG)


@pytest.fixture
def odd_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client, as a third party's may be, that leaves out what the answer to an entry has to have."""
    open_trade = LNMarketsClient.open_trade

    def odd(self: LNMarketsClient, order: Any, *, timestamp_ms: int) -> Any:
        answer = open_trade(self, order, timestamp_ms=timestamp_ms)
        return dataclasses.replace(answer, value=dataclasses.replace(answer.value, margin=None))  # type: ignore[arg-type]

    monkeypatch.setattr(LNMarketsClient, "open_trade", odd)


def of_another_version(storage: Storage, where: str, execution_id: str, plan: dict[str, Any]) -> None:
    """Let an action, or the plan, be one that a later version has written."""
    if where == "action":
        params = {"kind": "HedgePosition"}
        storage.run("UPDATE axisor_actions SET params = ? WHERE execution_id = ?", params, execution_id)
        return
    for group in plan["groups"]:
        for action in group["actions"]:
            action["kind"] = "HedgePosition"
    storage.run("UPDATE axisor_executions SET plan = ? WHERE id = ?", plan, execution_id)


def to_its_end(world: World, execution_id: str) -> list[str]:
    """Let an execution go on until it is over, and return how every run left it."""
    seen = []
    while not world.execution(execution_id).is_over:
        seen.append(world.go_on(execution_id)["status"])
        assert len(seen) <= THREE_TRIES.tries, "it goes on for ever"
    return seen


@pytest.mark.parametrize("where", ["action", "plan"])
def test_what_another_version_wrote_is_tried_again_and_then_uncertain(world: World, puppets: str, where: str) -> None:
    world.paper.add_fault("drop_before", route=OPENING, count=1)
    lost = world.run(puppets)["executionId"]
    of_another_version(world.storage, where, lost, world.execution(lost).plan or {})
    with world.changes() as changes:
        assert to_its_end(world, lost) == ["waiting", "waiting", "uncertain"]
    assert changes.sent == []
    result = world.execution(lost).result or {}
    assert result["error"]["code"] == "ledger_unreadable"
    assert "unknown action kind 'HedgePosition'" in result["error"]["message"]
    with pytest.raises(AxisorError, match="can't be read by this version"):
        interventions.retry(world.parts.opener, lost, max_age_seconds=300)
    assert world.execution(lost).status == "uncertain"
    assert world.alerts == ["uncertain_outcome"]


@pytest.mark.usefixtures("odd_answers")
def test_an_answer_that_can_not_be_told_is_not_asked_for_twice(
    world: World, account: Account, puppets: str, puppet: Puppet
) -> None:
    with world.changes() as changes:
        execution_id = world.run(puppets)["executionId"]
        assert to_its_end(world, execution_id) == ["waiting", "uncertain"]
    assert changes.kinds == ["open"]
    assert [one.status for one in world.actions(execution_id)] == ["confirmed"]
    assert world.alerts == ["uncertain_outcome"]
    assert [(row.status, row.action) for row in world.trade_log()] == [("app_error", "puppet")]
    puppet.decision = wait("not yet")
    assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "pending", "the account is free again"


@pytest.mark.parametrize("told_by", ["a retry", "a person"])
def test_what_could_not_be_told_is_told_once_it_is_known(
    world: World, account: Account, puppet: Puppet, told_by: str
) -> None:
    lost_one, done_one = world.open_trade(account), world.open_trade(account)
    groups = tuple(Group("top_up", (AddMargin(one, 100),), one) for one in (lost_one, done_one))
    puppet.decision = Act(groups=groups, action="top_up", lists_trades=True)
    world.paper.add_fault("drop_after", route=TOPPING_UP, count=1)
    lost = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
    plan = world.execution(lost).plan or {}
    of_another_version(world.storage, "plan", lost, copy.deepcopy(plan))
    to_its_end(world, lost)
    world.storage.run("UPDATE axisor_executions SET plan = ? WHERE id = ?", plan, lost)
    if told_by == "a retry":
        interventions.retry(world.parts.opener, lost, max_age_seconds=300)
        assert world.settle(lost)["status"] == "completed"
    else:
        assert interventions.resolve(world.parts.opener, lost, "executed")["status"] == "completed"
    told = [(row.trade_id, row.status) for row in world.trade_log() if row.action == "top_up"]
    assert sorted(told) == sorted([(lost_one, "success"), (done_one, "success")])


@pytest.mark.parametrize(
    ("verdict", "fault", "status", "action"),
    [("executed", "drop_after", "completed", "confirmed"), ("not_executed", "drop_before", "failed", "rejected")],
)
def test_one_of_whose_plan_nothing_is_left_can_be_resolved(
    world: World, puppets: str, verdict: Any, fault: str, status: str, action: str
) -> None:
    world.paper.add_fault(fault, route=OPENING, count=1)
    lost = world.run(puppets)["executionId"]
    of_another_version(world.storage, "plan", lost, copy.deepcopy(world.execution(lost).plan or {}))
    to_its_end(world, lost)
    world.storage.run("UPDATE axisor_executions SET plan = NULL WHERE id = ?", lost)
    world.storage.run("UPDATE axisor_actions SET sent_at = {later}", -3_700)
    assert interventions.resolve(world.parts.opener, lost, verdict)["status"] == status
    assert [one.status for one in world.actions(lost)] == [action]


def test_what_nothing_was_sent_of_fails_at_once(world: World, puppet: Puppet, puppets: str) -> None:
    puppet.decision = Unavailable("away")
    execution_id = world.run(puppets)["executionId"]
    world.storage.run(
        "UPDATE axisor_executions SET plan = ?, plan_version = 1 WHERE id = ?",
        {"decision": "act", "version": 1, "groups": [{"actions": [{"kind": "HedgePosition"}]}]},
        execution_id,
    )
    result = world.go_on(execution_id)
    assert (result["status"], result["error"]["code"]) == ("failed", "ledger_unreadable")
    assert "uncertain_outcome" not in world.alerts


@pytest.mark.parametrize("where", ["action", "plan"])
def test_whoever_is_called_can_look_at_it(world: World, puppets: str, where: str) -> None:
    world.paper.add_fault("drop_before", route=OPENING, count=1)
    lost = world.run(puppets)["executionId"]
    before = explain(world.storage, world.execution(lost))
    of_another_version(world.storage, where, lost, world.execution(lost).plan or {})
    told = explain(world.storage, world.execution(lost))
    (action,) = told["actions"]
    (plan,) = told["plans"]
    named = action["action"] if where == "action" else plan["groups"][0]["actions"][0]
    assert named["kind"] == "HedgePosition"
    assert {**action, "action": None} == {**before["actions"][0], "action": None}


class TestOneThatCanNotBeJudged:
    """An action of another version, or of another's client, beside a trade that is closed and not open again."""

    @pytest.fixture
    def trades(self, world: World, account: Account) -> list[str]:
        return [world.open_trade(account), world.open_trade(account)]

    @pytest.fixture
    def lost(self, world: World, account: Account, puppet: Puppet, trades: list[str]) -> str:
        reduced, topped_up = trades
        reopen = OpenPosition("buy", 50, Decimal(10), replaces=reduced)
        reduce = Group("reduce", (ClosePosition(reduced), reopen), reduced)
        top_up = Group("top_up", (AddMargin(topped_up, 100),), topped_up)
        puppet.decision = Act(groups=(reduce, top_up), action="go", lists_trades=True)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        world.paper.add_fault("drop_after", route=TOPPING_UP, count=1)
        execution_id = str(world.run(world.automation(account, "puppet", CONFIG))["executionId"])
        world.storage.run("UPDATE axisor_actions SET baseline = ? WHERE kind = 'AddMargin'", {})
        return execution_id

    def test_keeps_no_other_from_what_it_is_owed(self, world: World, account: Account, lost: str) -> None:
        with world.changes() as changes:
            held = world.go_on(lost)
        assert (held["status"], held["waitingFor"]) == ("waiting", "reconcile")
        assert changes.kinds == ["open"]
        assert {one.action.kind: one.status for one in world.actions(lost)} == {
            "close_position": "confirmed",
            "open_position": "confirmed",
            "add_margin": "unknown",
        }

    def test_ends_uncertain_once_its_request_is_dead(self, world: World, lost: str) -> None:
        assert world.go_on(lost)["status"] == "waiting"
        world.storage.run("UPDATE axisor_actions SET timestamp_ms = timestamp_ms - 100000 WHERE status = 'unknown'")
        assert world.go_on(lost)["status"] == "uncertain"
        assert world.alerts == ["uncertain_outcome"]
        told = {row.action: row.status for row in world.trade_log()}
        assert (told["reduce"], told["top_up"]) == ("success", "exchange_error")


def test_a_refused_close_of_which_nothing_more_can_be_read_is_refused(
    world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade_id = world.open_trade(account)
    puppet.decision = act(ClosePosition(trade_id), trade_id=trade_id)

    def odd(*_: Any) -> Any:
        raise KeyError("of a third party's client")

    monkeypatch.setattr(LiveReads, "finished", odd)
    world.paper.add_fault("status_before", route=CLOSING, status=400, count=1)
    result = world.run(world.automation(account, "puppet", CONFIG))
    assert (result["status"], result["error"]["status"]) == ("failed", 400)
    assert [one.status for one in world.actions(result["executionId"])] == ["rejected"]
    assert "uncertain_outcome" not in world.alerts


def test_what_goes_wrong_behind_a_request_is_asked_of_the_exchange(
    world: World, account: Account, puppets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent: neither is it refused, nor does a person have to look."""
    with monkeypatch.context() as patch, world.changes() as changes:

        def odd(*_: Any) -> Any:
            raise KeyError("of ours")

        patch.setattr(Plan, "confirmed", odd)
        result = world.run(puppets)
        assert (result["status"], result["waitingFor"]) == ("waiting", "reconcile")
    with world.changes() as later:
        assert world.go_on(result["executionId"])["status"] == "completed"
    assert (changes.kinds, later.sent, world.alerts) == (["open"], [], [])


@pytest.mark.parametrize("asked", [1e12, 1e300])
def test_who_asks_to_be_left_alone_for_ever_is_asked_again(
    world: World, puppet: Puppet, puppets: str, asked: float
) -> None:
    puppet.decision = Unavailable("away", retry_after=asked)
    result = world.run(puppets)
    assert (result["status"], result["error"]["code"]) == ("failed", "exchange_unavailable"), "it would be too late"
    assert THREE_TRIES.max_age_seconds < LONGEST_ASKED_SECONDS == asked_for(puppet.decision)


@pytest.mark.parametrize("asked", [1e12, 1e300])
def test_nor_is_it_for_ever_that_nobody_knows_what_became_of_a_request(
    world: World, puppets: str, monkeypatch: pytest.MonkeyPatch, asked: float
) -> None:
    world.paper.add_fault("drop_after", route=OPENING, count=1)
    lost = world.run(puppets)["executionId"]

    def away(*_: Any) -> Any:
        raise Unavailable("away", retry_after=asked)

    with monkeypatch.context() as patch:
        patch.setattr(Settler, "_look", away)
        assert world.go_on(lost)["waitingFor"] == "reconcile"
    assert LONGEST_ASKED_SECONDS - 60 < world.due_in(lost) <= LONGEST_ASKED_SECONDS
    assert world.go_on(lost)["status"] == "completed"


def test_what_is_told_of_a_remainder_that_is_held_can_be_stored(
    world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade_id = world.open_trade(account)
    reopen = OpenPosition("buy", 50, Decimal(10), replaces=trade_id)
    puppet.decision = act(ClosePosition(trade_id), reopen, trade_id=trade_id)
    check = Sender._check_clock

    def refused(self: Sender, client: Any) -> None:
        if world.storage.rows("SELECT 1 FROM axisor_actions WHERE status = 'confirmed' AND kind = 'ClosePosition'"):
            raise Rejected("no", details={"limit": Decimal(5)})
        check(self, client)

    monkeypatch.setattr(Sender, "_check_clock", refused)
    held = world.run(world.automation(account, "puppet", CONFIG))
    assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
    assert held["error"]["details"] == {"limit": "5", "halfDone": True}


class Unspeakable(dict[str, Any]):
    def items(self) -> Any:
        raise KeyError

    def __str__(self) -> str:
        raise ValueError


class Mute(Enum):
    MUTE = 1

    def __str__(self) -> str:
        raise ValueError


@dataclasses.dataclass
class Keys:
    secret: str


def test_whatever_an_error_is_given_can_be_stored() -> None:
    circle: dict[str, Any] = {}
    circle["circle"] = circle
    details = {
        "circle": circle,
        ("a", 1): 1,
        "unspeakable": Unspeakable(a=1),
        "deeper": [{"at": {Decimal("1.5")}}],
        "long": 10**5000,
        Mute.MUTE: 2,
    }
    error = Unavailable("away", details=details)
    told = json.loads(json.dumps(error.as_dict()))["details"]
    assert told["deeper"] == [{"at": ["1.5"]}]
    assert (told["(tuple)"], told["unspeakable"], told["long"], told["(Mute)"]) == (1, "(Unspeakable)", "(int)", 2)
    assert "(dict)" in json.dumps(told["circle"])


def test_of_what_may_hold_keys_only_the_class_is_told() -> None:
    canary = "canary-of-a-key"
    details = {"keys": Keys(canary), "sent": {"body": canary.encode()}, Keys: 1, "error": ValueError(canary)}
    told = json.dumps(Unavailable("away", details=details).as_dict())
    assert canary not in told
    assert "(Keys)" in told


class Code(Enum):
    AWAY = "away"


def test_an_error_of_which_not_all_can_be_stored_is_stored_as_texts(
    world: World, puppets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        details = {"seen": {1}, "rate": float("nan"), "tries": 2.5, "deeper": {"price": Decimal("1.5")}}
        raise Unavailable("away", code=Code.AWAY, details=details)  # type: ignore[arg-type]  a third party's may

    monkeypatch.setattr(LNMarketsClient, "open_trade", away)
    result = world.run(puppets)
    assert (result["status"], result["error"]["code"]) == ("waiting", "Code.AWAY")
    told = {"seen": [1], "rate": "nan", "tries": 2.5, "deeper": {"price": "1.5"}}
    assert result["error"]["details"] == told
    monkeypatch.undo()
    assert world.go_on(result["executionId"])["status"] == "completed"
