"""`pause`, `resume`, `executions retry` and `executions resolve`: what a person may change, and what it tells them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from axisor_executor import api, switching
from tests.cli.conftest import Commands
from tests.harness.world import Account, World

ENTRY = {"side": "b", "quantity": 100}


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


@pytest.fixture
def entry(world: World, account: Account) -> str:
    return world.automation(account, "auto_entry", ENTRY)


@pytest.fixture(params=["drop_after"])
def uncertain(world: World, entry: str, request: pytest.FixtureRequest) -> str:
    """An entry of which nobody knows what became."""
    world.paper.add_fault(request.param, mutating=True, count=1)
    lost = str(world.run(entry)["executionId"])
    world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
    world.paper.add_fault("status_before", status=503)
    assert world.go_on(lost)["status"] == "uncertain"
    world.paper.clear_faults()
    return lost


@pytest.fixture
def failed(world: World, entry: str) -> str:
    """An entry that the exchange refused."""
    world.paper.add_fault("status_before", status=400, mutating=True, count=1)
    result = world.run(entry)
    assert result["status"] == "failed"
    assert world.alerts == ["api_error"]  # told by now: it would stand among what a command says
    return str(result["executionId"])


class TestPause:
    @pytest.mark.parametrize(
        ("options", "said", "scope", "id_"),
        [
            (["--all"], "Everything", "all", None),
            (["--exchange", "lnmarkets"], "Exchange lnmarkets", "exchange", "lnmarkets"),
        ],
        ids=["all", "exchange"],
    )
    def test_it_is_set_shown_and_taken_away(
        self, commands: Commands, account: Account, options: list[str], said: str, scope: str, id_: str | None
    ) -> None:
        del account  # with it, the exchange is there
        assert commands("pause", *options).stdout == f"{said} is paused; nothing leaves any more.\n"
        switch = {"scope": scope, "id": id_, "mode": "paused", "reason": None}
        assert commands.json("status")["switches"] == [switch]
        assert commands("resume", *options).stdout == f"{said} goes on.\n"
        assert commands.json("status")["switches"] == []
        assert commands("resume", *options).stdout == f"{said} had no switch.\n"

    @pytest.mark.parametrize("length", [8, 36])
    @pytest.mark.parametrize("scope", ["account", "automation"])
    def test_an_ids_beginning_means_the_whole(
        self, commands: Commands, world: World, account: Account, entry: str, scope: str, length: int
    ) -> None:
        id_ = account.id if scope == "account" else entry
        option = (f"--{scope}", id_[:length])
        named = f"{scope.capitalize()} {id_}"
        assert commands("pause", *option).stdout == f"{named} is paused; nothing leaves any more.\n"
        switch = {"scope": scope, "id": id_, "mode": "paused", "reason": None}
        assert commands.json("status")["switches"] == [switch]
        with world.changes() as changes:
            assert world.run(entry)["waitingFor"] == "paused"
        assert changes.sent == []
        assert commands("resume", *option).stdout == f"{named} goes on.\n"
        assert commands("resume", *option).stdout == f"{named} had no switch.\n"

    @pytest.mark.parametrize(
        ("option", "code"),
        [
            ("--account", "account_not_found"),
            ("--automation", "automation_not_found"),
            ("--exchange", "scope_not_found"),
        ],
    )
    @pytest.mark.parametrize("command", ["pause", "resume"])
    def test_what_is_not_there_is_never_called_paused(
        self, commands: Commands, entry: str, command: str, option: str, code: str
    ) -> None:
        del entry
        assert commands.error(command, option, "nonsense").endswith(f"[{code}]\n")
        assert commands.json("status")["switches"] == []

    def test_the_switch_of_one_that_is_gone_can_be_taken_away(
        self, commands: Commands, world: World, entry: str
    ) -> None:
        commands("pause", "--automation", entry)
        world.storage.run('DELETE FROM "Automation" WHERE id = ?', entry)
        assert commands("resume", "--automation", entry).stdout == f"Automation {entry} goes on.\n"
        assert commands.json("status")["switches"] == []

    def test_reduce_only_with_a_reason(self, commands: Commands) -> None:
        shown = commands("pause", "--all", "--reduce-only", "--reason", "the [exchange] is slow").stdout
        assert shown.startswith("Everything is reduce-only; nothing that adds risk leaves any more.")
        told = commands("status").stdout
        assert "Switch" in told
        assert "all: reduce_only (the [exchange] is slow)" in told
        (switch,) = commands.json("status")["switches"]
        assert (switch["mode"], switch["reason"]) == ("reduce_only", "the [exchange] is slow")
        assert commands("pause", "--all").stdout.splitlines()[1:] == ["It was reduce-only before."]
        (switch,) = commands.json("status")["switches"]
        assert (switch["mode"], switch["reason"]) == ("paused", "the [exchange] is slow")

    def test_a_pause_is_not_loosened_in_silence(self, commands: Commands) -> None:
        commands("pause", "--all", "--reason", "incident 7")
        assert len(commands("pause", "--all").stdout.splitlines()) == 1
        (_, told) = commands("pause", "--all", "--reduce-only").stdout.splitlines()
        assert told == "It was paused before, which held back what reduces risk as well."

    def test_one_that_somebody_else_takes_away_meanwhile_is_not_called_paused(
        self, commands: Commands, world: World, account: Account, failed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While it waits for what is out; that a command fails then is what a script must learn."""
        world.storage.run("UPDATE axisor_actions SET status = 'sending', sent_at = {later}", 0)
        other_hands = SimpleNamespace(sleep=lambda _: switching.resume(world.storage, "account", account.id))
        monkeypatch.setattr(switching, "time", other_hands)
        told = commands.error("pause", "--account", account.id)
        assert f"the switch of account {account.id} was taken away by somebody else" in told
        assert f"Already out: open_position of execution {failed} (sending) [switch_changed]" in told
        assert commands.json("status")["switches"] == []

    def test_jobs_are_held_and_go_on(self, commands: Commands, world: World, account: Account, entry: str) -> None:
        commands("pause", "--account", account.id)
        with world.changes() as changes:
            held = world.run(entry)
        assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
        assert changes.sent == []
        assert commands.json("status")["waitingFor"] == {"paused": 1}
        commands("resume", "--account", account.id)
        assert world.due_in(held["executionId"]) <= 0
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_for_machines(self, commands: Commands, account: Account) -> None:
        assert commands.json("pause", "--all") == {"scope": "all", "id": None, "mode": "paused", "alreadyOut": []}
        assert commands.json("pause", "--account", account.id[:8]) == {
            "scope": "account",
            "id": account.id,
            "mode": "paused",
            "alreadyOut": [],
        }

    def test_what_was_out_already_is_listed(
        self, commands: Commands, world: World, account: Account, uncertain: str
    ) -> None:
        (out,) = commands.json("pause", "--all")["alreadyOut"]
        assert out == {
            "executionId": uncertain,
            "accountId": account.id,
            "action": "open_position",
            "tradeId": None,
            "status": "unknown",
        }
        told = commands("pause", "--account", account.id).stdout
        assert f"Already out: open_position of execution {uncertain}: unknown\n" in told
        another = world.account(name="Another", user_id="user456")
        assert "Already out" not in commands("pause", "--account", another.id).stdout

    @pytest.mark.parametrize("command", ["pause", "resume"])
    @pytest.mark.parametrize(
        "options", [[], ["--all", "--account", "a"], ["--exchange", "e", "--automation", "a"], ["--account", ""]]
    )
    def test_which_scope_is_never_guessed(self, commands: Commands, command: str, options: list[str]) -> None:
        result = commands(command, *options, code=2)
        assert "Choose one of --all, --exchange, --account and --automation." in result.stderr
        assert commands.json("status")["switches"] == []

    @pytest.mark.parametrize("command", ["pause", "resume"])
    def test_without_a_database_it_fails_with_a_message(self, alone: Commands, command: str) -> None:
        assert "DATABASE_URL" in alone.error(command, "--all")


class TestRetry:
    def test_it_is_tried_again(self, commands: Commands, world: World, failed: str) -> None:
        assert commands("executions", "retry", failed).stdout == f"Execution {failed} was failed and is tried again.\n"
        assert world.execution(failed).status == "queued"
        assert world.parts.queue.sizes()["default"] == 1, "a worker was woken"
        with world.changes() as changes:
            assert world.go_on(failed)["status"] == "completed"
        assert changes.kinds == ["open"]

    def test_an_ids_beginning_is_enough(self, commands: Commands, world: World, failed: str) -> None:
        assert failed in commands("executions", "retry", failed[:-2]).stdout

    def test_with_a_redis_that_is_away_it_waits_in_the_database(
        self, commands: Commands, world: World, failed: str
    ) -> None:
        commands("executions", "retry", failed, REDIS_URL="redis://127.0.0.1:1")
        assert world.execution(failed).status == "queued"

    def test_what_is_done_is_refused(self, commands: Commands, world: World, entry: str) -> None:
        done = str(world.run(entry)["executionId"])
        told = commands.error("executions", "retry", done)
        assert told.endswith("[not_retryable]\n")
        assert "completed" in told
        assert world.execution(done).status == "completed"

    def test_what_is_not_there(self, commands: Commands, failed: str) -> None:
        assert commands.error("executions", "retry", "ffff").endswith("[execution_not_found]\n")
        assert "ID" in commands("executions", "retry", code=2).stderr


class TestResolve:
    @pytest.mark.parametrize(
        ("uncertain", "option", "status"),
        [("drop_after", "--executed", "completed"), ("drop_before", "--not-executed", "failed")],
        indirect=["uncertain"],
        ids=["executed", "not"],
    )
    def test_a_persons_word_is_taken(
        self, commands: Commands, world: World, uncertain: str, option: str, status: str
    ) -> None:
        shown = commands("executions", "resolve", uncertain, option).stdout
        assert shown == f"Execution {uncertain} is {status} now.\n"
        assert world.execution(uncertain).status == status
        listed = commands.json("executions", "list", "--status", status)
        assert uncertain in [one["id"] for one in listed]

    def test_the_trade_that_was_opened(
        self, commands: Commands, world: World, account: Account, uncertain: str
    ) -> None:
        (trade,) = world.paper.trades(account.paper)
        result: dict[str, Any] = commands.json("executions", "resolve", uncertain, "--executed", "--trade", trade["id"])
        assert (result["status"], result["tradeId"], result["executionId"]) == ("completed", trade["id"], uncertain)
        assert api.get_result(uncertain) == result

    def test_what_the_exchange_shows_otherwise_is_refused(
        self, commands: Commands, world: World, account: Account, uncertain: str
    ) -> None:
        (trade,) = world.paper.trades(account.paper)
        told = commands.error("executions", "resolve", uncertain, "--not-executed")
        assert told.endswith("[was_executed]\n")
        assert trade["id"] in told
        told = commands.error("executions", "resolve", uncertain, "--executed", "--trade", "another")
        assert told.endswith("[not_our_trade]\n")
        assert world.execution(uncertain).status == "uncertain"

    def test_what_is_not_uncertain_is_refused(self, commands: Commands, world: World, failed: str) -> None:
        told = commands.error("executions", "resolve", failed, "--executed")
        assert told.endswith("[not_uncertain]\n")
        assert world.execution(failed).status == "failed"

    def test_the_verdict_is_never_guessed(self, commands: Commands, world: World, uncertain: str) -> None:
        for options in ([], ["--executed", "--not-executed"], ["--not-executed", "--executed"]):
            told = commands("executions", "resolve", uncertain, *options, code=2).stderr
            assert "Choose --executed or --not-executed." in told
        told = commands("executions", "resolve", uncertain, "--not-executed", "--trade", "b87eef8a", code=2).stderr
        assert "no --trade" in told
        assert world.execution(uncertain).status == "uncertain"

    def test_what_is_not_there(self, commands: Commands, uncertain: str) -> None:
        assert commands.error("executions", "resolve", "ffff", "--executed").endswith("[execution_not_found]\n")
