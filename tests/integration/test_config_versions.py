"""Automations of older config versions are carried out as their handler reads them; their rows stay as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import pytest

from axisor_executor import automations
from axisor_executor.automation import (
    AccountContext,
    AutomationConfig,
    AutomationHandler,
    Decision,
    Lane,
    OpenPosition,
    Whole,
    act,
    wait,
)
from axisor_executor.hookspecs import hookimpl
from axisor_executor.integrity import look
from axisor_executor.jobs import parse_job
from axisor_executor.preview import preview
from axisor_executor.storage.models import AutomationRow
from tests.harness.world import Account, World, plugin


class BuyConfig(AutomationConfig):
    """The second form: in the first, the quantity was called ``amount``."""

    action: str
    quantity: Annotated[int, Whole(above=0, unit="USD")]


class Buy(AutomationHandler[BuyConfig]):
    """Buys. In the first version, the action was called ``enter``."""

    type = "buy"
    title = "Buy"
    actions: ClassVar[Mapping[str, Lane]] = {"buy": "protect", "wait": "default"}
    config_model = BuyConfig
    config_version = 2

    def __init__(self) -> None:
        self.step: Callable[[dict[str, Any]], Any] = self.from_1

    @staticmethod
    def from_1(raw: dict[str, Any]) -> dict[str, Any]:
        raw["quantity"] = raw.pop("amount")
        raw["action"] = {"enter": "buy"}[raw["action"]]
        return raw

    def upgrade_config(self, raw: dict[str, Any], version: int) -> Mapping[str, Any]:
        result: Mapping[str, Any] = self.step(raw)
        return result

    def decide(self, context: AccountContext[BuyConfig]) -> Decision:
        if context.job.action == "wait":
            return wait("told_to")
        return act(OpenPosition("buy", context.config.quantity, Decimal(10)))

    @hookimpl
    def axisor_register_automations(self, register: Callable[[AutomationHandler[Any]], None]) -> None:
        """Register the automation type ``buy``."""
        register(self)


FIRST = {"action": "enter", "amount": 100}
SECOND = {"action": "buy", "quantity": 100, "config_version": 2}


@pytest.fixture
def buy(world: World) -> Buy:
    handler = Buy()
    world.restart(plugin("buy", handler), decide_seconds=2.0)
    return handler


@pytest.fixture
def account(world: World, buy: Buy) -> Account:
    return world.account()


def config_of(world: World, automation_id: str) -> Any:
    with world.storage.connection():
        return AutomationRow.get_by_id(automation_id).config


@pytest.mark.parametrize(("config", "version"), [(FIRST, 1), ({**FIRST, "config_version": 1}, 1), (SECOND, 2)])
def test_each_version_is_carried_out_and_the_plan_tells_which_it_was(
    world: World, account: Account, config: dict[str, Any], version: int
) -> None:
    automation = world.automation(account, "buy", config)
    with world.changes() as changes:
        result = world.run(automation)
    assert result["status"] == "completed", result
    assert changes.effects == [("Main Account", "open")]
    plan = world.execution(result["executionId"]).plan
    assert plan is not None
    assert (plan["configVersion"], plan["handlerConfigVersion"]) == (version, 2)
    assert config_of(world, automation) == config


def test_a_job_goes_to_the_lane_of_the_action_that_its_config_means_now(world: World, account: Account) -> None:
    first = world.enqueue(world.job(world.automation(account, "buy", FIRST)))
    assert world.execution(first).lane == "protect"


def test_a_newer_version_than_the_handlers_is_refused(world: World, account: Account) -> None:
    automation = world.automation(account, "buy", {**SECOND, "config_version": 3})
    with world.changes() as changes:
        result = world.run(automation)
    assert (result["status"], result["error"]["code"]) == ("failed", "config_too_new")
    assert changes.sent == []


def test_it_is_validated_as_any_config(world: World, account: Account) -> None:
    result = world.run(world.automation(account, "buy", {**FIRST, "amount": 0}))
    assert result["error"]["code"] == "invalid_config"
    assert "quantity: must be a whole number above 0 (USD), got 0" in result["error"]["message"]


def test_a_row_that_is_dry_stays_dry_whatever_the_step_makes_of_it(world: World, account: Account, buy: Buy) -> None:
    one, other = (world.automation(account, "buy", {**FIRST, "dry_run": True}) for _ in range(2))
    with world.changes() as changes:
        assert world.run(one)["dryRun"] is True
        buy.step = lambda raw: {"action": "buy", "quantity": raw["amount"]}
        failed = world.run(other)
    assert changes.sent == []
    assert (failed["status"], failed["error"]["code"]) == ("failed", "plugin_error")
    assert "axisor-buy 1.0" in failed["error"]["message"]
    assert "dry_run" in failed["error"]["message"]


def trips(raw: dict[str, Any]) -> Any:
    raise RuntimeError("canary of the step")


@pytest.mark.parametrize("step", [trips, lambda _: None, lambda _: [1]])
def test_a_step_that_fails_costs_its_own_job_only(
    world: World, account: Account, buy: Buy, step: Callable[[dict[str, Any]], Any]
) -> None:
    old, new = world.automation(account, "buy", FIRST), world.automation(account, "buy", SECOND)
    buy.step = step
    failed = world.run(old)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "plugin_error")
    assert failed["error"]["message"].startswith("axisor-buy 1.0")
    assert world.run(new)["status"] == "completed"


def test_a_step_that_hangs_is_given_up(world: World, account: Account, buy: Buy) -> None:
    world.restart(plugin("buy", buy), decide_seconds=3)
    go_on = threading.Event()
    buy.step = lambda raw: go_on.wait() and raw
    old, new = world.automation(account, "buy", FIRST), world.automation(account, "buy", SECOND)
    try:
        assert world.run(old)["error"]["code"] == "plugin_timeout"
        assert world.run(new)["status"] == "completed"
    finally:
        go_on.set()


def test_previews_and_checks_read_it_the_same_way(world: World, account: Account, buy: Buy) -> None:
    ids = [world.automation(account, "buy", config) for config in (FIRST, {**SECOND, "config_version": 3}, {})]
    job = parse_job(world.job(ids[0]))
    assert preview(world.parts, job)["actions"][0]["action"] == "open_position"
    problems = [automations.explained(world.parts, one)["problem"] for one in ids]
    assert problems[0] is None
    assert problems[1]["code"] == "config_too_new"
    with world.storage.connection():
        found = look(world.storage, world.settings, world.parts.registry)
    (invalid,) = [problem for problem in found.problems if problem.kind == "config_invalid"]
    assert {item["automationId"] for item in invalid.items} == set(ids[1:])


class TestAdding:
    def add(self, world: World, account: Account, config: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        return automations.add(
            world.parts, user_id="user123", account=account.id, type="buy", config=config, automation_id="one"
        )

    def test_what_is_added_by_hand_is_of_the_newest_version(self, world: World, account: Account) -> None:
        given = {"action": "buy", "quantity": 100}
        added, is_new = self.add(world, account, given)
        assert (added["config"], is_new) == (SECOND, True)
        assert self.add(world, account, given) == (added, False)
        assert world.run("one")["status"] == "completed"

    def test_one_that_names_its_version_is_left_as_it_is(self, world: World, account: Account) -> None:
        added, _ = self.add(world, account, {**FIRST, "config_version": 1})
        assert added["config"] == {**FIRST, "config_version": 1}
