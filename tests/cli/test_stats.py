"""`axisor-executor stats`: overall, one account, again and again."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from axisor_executor.cli import output
from axisor_executor.cli.stats import COLUMNS, _share, seconds
from axisor_executor.embedded import ChildProcess
from axisor_executor.storage import figures
from tests.cli.conftest import Commands
from tests.harness.world import Account, World

BOT = "grid_bot"  # no plugin has it: its jobs fail
BOT_ERROR = "unknown_automation_type"
ACCOUNT = {
    "accountName": "Main Account of a man",
    "accountId": "643eb1da-5f0c-4b0e-9d52-0a7c2f6f1b3e",
    "executions": 123_456,
    "successes": 123_455,
    "errors": 654_321,
    "averageExecutionTime": 1234.0,
    "lastError": {"code": BOT_ERROR},
}


@pytest.fixture
def account(world: World) -> Account:
    """An account with three executions, of which one failed; beside it one of which all did."""
    other = world.account(name="[bold]Worst")
    for _ in range(2):
        world.run(world.automation(other, BOT, {}))
    account = world.account()
    for kind in ("auto_entry", "auto_entry", BOT):
        world.run(world.automation(account, kind, {"side": "b", "quantity": 100}))
    return account


def _columns(lines: list[str]) -> list[str]:
    """Return the columns of a table, what was folded in each put together."""
    heads = lines[0]
    starts = [heads.index(name) for name in COLUMNS]
    return [
        "".join(line[start:end] for line in lines[1:]) for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]


class TestOverall:
    def test_table(self, commands: Commands, account: Account) -> None:
        shown = commands("stats").stdout
        lines = {" ".join(line.split()) for line in shown.splitlines()}
        assert {"Window 1 h", "Executions ended 5", "Success 40 % (2)", "Error 60 % (3)"} <= lines
        assert {"Executions a minute 0.083", "Accounts active in 24 h 2"} <= lines
        rows = shown.split("last error")[1]
        assert rows.index("[bold]Worst") < rows.index("Main Account"), "most errors first"
        assert rows.count("unknown_automation_type") == 2

    @pytest.mark.parametrize("width", [40, 79, 80, 100])
    def test_a_narrow_terminal_loses_nothing(
        self, commands: Commands, monkeypatch: pytest.MonkeyPatch, width: int
    ) -> None:
        monkeypatch.setattr(output, "PLAIN_WIDTH", width)
        monkeypatch.setattr(figures, "accounts", lambda *_, **__: [ACCOUNT])
        lines = commands("stats").stdout.splitlines()
        assert all(len(line) <= width for line in lines)
        start = next(number for number, line in enumerate(lines) if line.startswith(("account  ", "Main")))
        told = _columns(lines[start:]) if lines[start].startswith("account ") else ["".join(lines[start:])]
        told = [one.replace(" ", "") for one in told]
        for text in ("MainAccountofaman", str(ACCOUNT["accountId"]), "123456", "99.9%", "654321", "1,234ms", BOT_ERROR):
            assert any(text in one for one in told), (text, told)

    def test_json(self, commands: Commands, account: Account) -> None:
        found = commands.json("stats", "--window", "15m")
        assert (found["windowSeconds"], found["executions"], found["successRate"]) == (900, 5, 0.4)
        assert [one["accountName"] for one in found["accounts"]] == ["[bold]Worst", "Main Account"]

    def test_nothing_has_ended(self, commands: Commands) -> None:
        shown = commands("stats", "--window", "31d").stdout
        assert "Executions ended" in shown
        assert "Window" in shown
        assert "last error" not in shown

    def test_a_database_that_is_not_set_up(self, empty: Commands) -> None:
        assert "db init" in empty.error("stats")


class TestOneAccount:
    def test_table(self, commands: Commands, account: Account) -> None:
        shown = " ".join(commands("stats", "--account", account.id).stdout.split())
        assert f"Account Main Account ({account.id})" in shown
        assert "Success 66.6 % (2)" in shown
        assert "Error codes 1 unknown_automation_type" in shown
        assert "Last error unknown_automation_type: " in shown

    def test_json(self, commands: Commands, account: Account) -> None:
        found = commands.json("stats", "--account", account.id)
        assert (found["executions"], found["errorCodes"]) == (3, {"unknown_automation_type": 1})
        assert commands.json("stats", "--account", account.id[:8]).get("accountId") == account.id

    def test_one_that_is_not_there(self, commands: Commands) -> None:
        assert "[account_not_found]" in commands.error("stats", "--account", "nobody")


class TestUsage:
    @pytest.mark.parametrize("wrong", ["59s", "32d", "1", "h", "1w", "-1h", "1.5h", "", "9" * 20 + "s"])
    def test_a_window_that_is_none(self, alone: Commands, wrong: str) -> None:
        assert "is no time from 60s to 31d" in alone("stats", "--window", wrong, code=2).stderr

    @pytest.mark.parametrize(("text", "wanted"), [("60s", 60), ("15m", 900), ("24h", 86_400), ("31d", 2_678_400)])
    def test_a_window(self, text: str, wanted: int) -> None:
        assert seconds(text) == wanted

    def test_watching_is_for_people(self, alone: Commands) -> None:
        assert "take one of them" in alone("stats", "--watch", "--json", code=2).stderr

    def test_only_all_is_a_hundred_percent(self) -> None:
        assert [_share(*one) for one in [(0, 0), (0, 9), (29, 50), (99_999, 100_000), (7, 7)]] == [
            *("–", "0 %", "58 %", "99.9 %", "100 %")
        ]


def test_watching_ends_cleanly_with_ctrl_c(world: World, account: Account, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "axisor_executor.cli", "stats", "--watch", "--every", "0.5"]
    with ChildProcess(command, output=tmp_path / "watch.log", env=world.environment()) as watching:
        watching.wait_until(lambda: watching.text().count("Executions ended") >= 2, what="two tables")
        world.run(world.automation(account, BOT, {}))
        watching.wait_until(lambda: " 6" in watching.text().split("Executions ended")[-1][:40], what="the sixth")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
        assert "Traceback" not in watching.text()
        assert "Aborted" not in watching.text()
