"""`executions list` and `executions show`: every run can be found and explained."""

from __future__ import annotations

import json
from typing import Any

import pytest

from axisor_executor import api
from axisor_executor.cli import output
from tests.cli.conftest import Commands
from tests.harness.world import World


@pytest.fixture
def ran(world: World) -> dict[str, str]:
    """Ids of executions: one that closed a trade, one that waits for a price, one that failed."""
    account = world.account()
    world.account("user456", "Other Account")
    trade = world.open_trade(account)
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 10, "trigger_price": 1_000})
    unknown = world.automation(account, "grid_bot", {})
    return {
        "completed": str(world.run(guard, trade_id=trade)["executionId"]),
        "pending": str(world.run(entry)["executionId"]),
        "failed": str(world.run(unknown)["executionId"]),
        "guard": guard,
        "account": account.id,
        "trade": trade,
    }


def test_the_newest_stand_first(commands: Commands, ran: dict[str, str]) -> None:
    ids = [one["id"] for one in commands.json("executions", "list")]
    assert ids[:3] == [ran["failed"], ran["pending"], ran["completed"]]
    assert len(ids) == 4, "the trade was opened by an automation of its own"
    shown = commands("executions", "list").stdout
    assert shown.index(ran["failed"]) < shown.index(ran["completed"])
    assert "price_not_triggered" in shown
    assert "unknown_automation_type" in shown


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--status", "failed"], ["failed"]),
        (["--status", "failed", "--status", "pending"], ["failed", "pending"]),
        (["--automation", "guard"], ["completed"]),
        (["--account", "account", "--status", "completed", "--limit", "1"], ["completed"]),
        (["--account", "Main Account", "--limit", "3"], ["failed", "pending", "completed"]),
        (["--account", "Other Account"], []),
        (["--user", "user456"], []),
        (["--user", "user123", "--limit", "1"], ["failed"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_filters(commands: Commands, ran: dict[str, str], filters: list[str], found: list[str]) -> None:
    given = [ran[word] if word in ("guard", "account") else word for word in filters]
    assert [one["id"] for one in commands.json("executions", "list", *given)] == [ran[name] for name in found]


def test_an_ids_beginning_is_enough_for_a_filter(commands: Commands, world: World, ran: dict[str, str]) -> None:
    for option in ("account", "automation"):
        whole = ran["account" if option == "account" else "guard"]
        wanted = commands.json("executions", "list", f"--{option}", whole)
        assert wanted
        assert commands.json("executions", "list", f"--{option}", whole[:8]) == wanted


def test_an_automation_and_an_account_that_are_gone(commands: Commands, world: World, ran: dict[str, str]) -> None:
    """Their executions are there."""
    world.storage.run('DELETE FROM "TradeLog"')
    world.storage.run('DELETE FROM "Automation"')
    world.storage.run("DELETE FROM user_exchange_accounts")
    (found,) = commands.json("executions", "list", "--automation", ran["guard"])
    assert found["id"] == ran["completed"]
    by_account = commands.json("executions", "list", "--account", ran["account"])
    assert by_account == commands.json("executions", "list", "--account", "Main Account") != []


def test_a_name_goes_before_how_an_id_begins(commands: Commands, world: World, ran: dict[str, str]) -> None:
    world.account("user789", ran["account"][:4])
    assert commands.json("executions", "list", "--account", ran["account"][:4]) == []


@pytest.mark.parametrize("wrong", ["ffff", "%", ""])
@pytest.mark.parametrize("option", ["account", "automation"])
def test_an_id_that_is_not_known(commands: Commands, ran: dict[str, str], option: str, wrong: str) -> None:
    message = commands.error("executions", "list", f"--{option}", wrong)
    assert repr(wrong) in message
    assert message.endswith(f"[{option}_not_found]\n")


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_the_reason_can_be_read_on_a_narrow_terminal(
    commands: Commands, ran: dict[str, str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(output, "PLAIN_WIDTH", width)
    lines = commands("executions", "list").stdout.splitlines()
    assert all(len(line) <= width for line in lines)
    shown = "".join("".join(lines).split())
    assert all(ran[name] in shown for name in ("completed", "pending", "failed"))
    for reason in ("price_not_triggered", "unknown_automation_type", "grid_bot", "MainAccount"):
        assert reason in shown


def test_nothing_found_is_said(commands: Commands) -> None:
    assert commands("executions", "list").stdout == "No execution found\n"
    assert commands.json("executions", "list") == []


def test_show_explains_what_was_sent(commands: Commands, world: World, ran: dict[str, str]) -> None:
    found = commands.json("executions", "show", ran["completed"])
    (plan,), (action,) = found["plans"], found["actions"]
    assert found["job"]["tradeId"] == ran["trade"]
    assert plan["distribution"] == "axisor-margin-guard"
    assert ran["trade"] in plan["seen"]["trades"]
    assert action["action"] == {"kind": "ClosePosition", "trade_id": ran["trade"]}
    assert action["status"] == "confirmed"
    assert action["baseline"]["state"] == "running"
    assert action["answer"]["state"] == "closed"
    assert str(action["timestampMs"]) in {row["timestamp"] for row in world.paper.requests(mutating=True)}
    assert found["result"] == api.get_result(ran["completed"])


@pytest.mark.parametrize("plan", ["5", '["act"]', '{"decision": "act"}'])
def test_a_plan_that_is_none_is_shown_as_it_stands(
    commands: Commands, world: World, ran: dict[str, str], plan: str
) -> None:
    world.storage.run(f"UPDATE axisor_executions SET plan = '{plan}' WHERE id = ?", ran["completed"])
    assert commands.json("executions", "show", ran["completed"])["plans"] == [json.loads(plan)]
    shown = commands("executions", "show", ran["completed"]).stdout
    head, _, rest = shown.partition("can't be read")
    assert head.splitlines()[-1].split() == ["Plan"]
    raw, _, rest = rest.partition("\n\n")
    assert json.loads(raw) == json.loads(plan)
    assert "Action 1" in rest
    assert "Result" in rest


def test_show_tells_it_to_people(commands: Commands, ran: dict[str, str]) -> None:
    shown = commands("executions", "show", ran["completed"]).stdout
    parts = [
        "Execution",
        "completed",
        "Main Account",
        "Plan 1",
        "axisor-margin-guard",
        "saw",
        "decided",
        "close_position",
    ]
    parts += ["Action 1", "ClosePosition", "confirmed", "signed with", "state running", "state closed", "Result"]
    position = 0
    for part in parts:
        position = shown.find(part, position)
        assert position >= 0, f"{part!r} is missing, or in the wrong place:\n{shown}"


def test_show_tells_why_nothing_was_done(commands: Commands, ran: dict[str, str]) -> None:
    waited = commands("executions", "show", ran["pending"]).stdout
    assert "to wait: price_not_triggered" in waited
    assert "triggerPrice 1000" in waited
    assert "Unsupported automation type: grid_bot" in commands("executions", "show", ran["failed"]).stdout


def test_a_queued_execution_has_no_result_yet(commands: Commands, world: World) -> None:
    guard = world.automation(world.account(), "margin_guard", {"action": "close_position"})
    taken = world.enqueue(world.job(guard, trade_id="[t]"), "key [1]")
    shown = commands("executions", "show", taken).stdout
    assert "none yet" in shown
    assert "key [1]" in shown
    assert "[t]" in shown
    assert commands.json("executions", "show", taken)["result"] is None


def test_an_ids_beginning_is_enough(commands: Commands, ran: dict[str, str]) -> None:
    ids = [one["id"] for one in commands.json("executions", "list")]
    length = next(n for n in range(1, 37) if sum(one.startswith(ran["failed"][:n]) for one in ids) == 1)
    assert commands.json("executions", "show", ran["failed"][:length].upper())["id"] == ran["failed"]
    assert ran["failed"] in commands.error("executions", "show", ran["failed"][:4])
    assert commands.error("executions", "show", ran["failed"][:4]).endswith("[ambiguous_id]\n")


@pytest.mark.parametrize("wrong", ["ffff", "%", "'; DROP TABLE axisor_executions; --"])
def test_no_such_execution(commands: Commands, ran: dict[str, str], wrong: str) -> None:
    assert commands.error("executions", "show", wrong).endswith("[execution_not_found]\n")


def test_no_secret_is_shown(commands: Commands, world: World, ran: dict[str, str]) -> None:
    shown: list[Any] = [commands("executions", "list").output]
    shown += [
        commands("executions", "show", ran[name], *more).output
        for name in ("completed", "failed")
        for more in ((), ("--json",))
    ]
    for account in world.accounts:
        for secret in (account.paper.key, account.paper.secret, account.paper.passphrase):
            assert secret not in "".join(shown)
