"""Errors of the library are one message with its code on standard error, whatever the command."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import explain, standing
from axisor_executor.cli.failure import CommandLine
from axisor_executor.storage import taking
from axisor_executor.storage.connection import Storage
from tests.cli.conftest import Commands
from tests.harness.world import SUICIDE

NEED_DATABASE = [
    ("db", "init"),
    ("db", "check"),
    ("executions", "list"),
    ("executions", "show", "0"),
    ("enqueue", "--user", "u", "--automation", "a"),
    ("migrate", "automations", "--user", "u"),
    ("status",),
    ("recover",),
]


@pytest.mark.parametrize("command", NEED_DATABASE, ids=" ".join)
def test_without_database_url(alone: Commands, command: tuple[str, ...]) -> None:
    message = alone.error(*command)
    assert "DATABASE_URL is not set" in message
    assert message.endswith("[invalid_settings]\n")


def test_every_wrong_setting_in_one_message(alone: Commands) -> None:
    message = alone.error("status", DATABASE_URL="mysql://x", REDIS_URL="http://x", AXISOR_DB_POOL="0")
    assert {"DATABASE_URL", "REDIS_URL", "AXISOR_DB_POOL"} <= set(message.replace(":", " ").split())


@pytest.mark.parametrize("command", [one for one in NEED_DATABASE if one not in (("status",), ("db", "check"))])
def test_a_database_that_is_away(alone: Commands, command: tuple[str, ...]) -> None:
    message = alone.error(*command, DATABASE_URL="postgresql://axisor:canary-word@127.0.0.1:1/axisor")
    assert message.endswith("[database_unavailable]\n")
    assert "canary-word" not in message


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
class TestAConnectionThatDies:
    """In a command's hands."""

    def dying(self, storage: Storage, *_: Any, **__: Any) -> None:
        storage.run(SUICIDE)

    @pytest.mark.parametrize(
        ("command", "asked"),
        [(("executions", "list"), (explain, "select")), (NEED_DATABASE[4], (taking, "record"))],
        ids=["the command's own", "the library's"],
    )
    def test_it_is_one_message(
        self, commands: Commands, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], asked: tuple[Any, str]
    ) -> None:
        monkeypatch.setattr(*asked, self.dying)
        message = commands.error(*command)
        assert message.startswith("error: the database failed: ")
        assert message.endswith("[database_unavailable]\n")

    def test_status_tells_what_it_knows(self, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(standing, "ledger", self.dying)
        found = commands.json("status", code=1)
        assert found["database"]["problem"].startswith("the database failed: ")
        assert found["redis"]["ok"]


@pytest.mark.parametrize(
    "command", [("executions", "list"), ("recover",), ("enqueue", "--user", "u", "--automation", "a")]
)
def test_a_database_that_is_not_set_up(empty: Commands, command: tuple[str, ...]) -> None:
    assert "axisor-executor db init" in empty.error(*command)


def test_a_typing_error_among_the_settings_is_said(empty: Commands) -> None:
    empty("db", "init")
    assert "did you mean AXISOR_DB_POOL?" in empty("executions", "list", AXISOR_DB_POOLS="3").stderr


def test_a_database_that_is_none(alone: Commands, tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, however long one looks at it\n" * 50)
    assert "database" in alone.error("db", "init", DATABASE_URL=f"sqlite:///{path}")


READING = [
    *(("executions", "list"), ("executions", "show", "0"), ("accounts", "list"), ("automations", "list")),
    *(("tokens", "list"), ("stats",), ("recover",), ("status",)),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_file_that_is_not_there_is_not_made(alone: Commands, tmp_path: Path, command: tuple[str, ...]) -> None:
    missing = tmp_path / "axisro.db"
    result = alone(*command, code=1, DATABASE_URL=f"sqlite:///{missing}")
    assert f"there is no file {missing}; run: axisor-executor db init" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


class TestOutputThatCanNotBeWritten:
    def shell(self, line: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
        command = f"{shlex.quote(sys.executable)} -m axisor_executor.cli {line}"
        own = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
        env = {**own, "DATABASE_URL": f"sqlite:///{tmp_path}/axisor.db", **env}
        return subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=env)

    @pytest.mark.parametrize("command", ["status", "--help", "db --help", "plugins", "keys generate", "db init"])
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_full_disk(self, tmp_path: Path, command: str, unbuffered: str) -> None:
        result = self.shell(f"{command} >/dev/full", tmp_path, PYTHONUNBUFFERED=unbuffered)
        assert (result.returncode, result.stderr) == (
            1,
            "error: the output can't be written: No space left on device\n",
        )

    @pytest.mark.parametrize("command", ["status", "--help", "tokens create --name x", "db init"])
    def test_none(self, tmp_path: Path, command: str) -> None:
        result = self.shell(f"{command} >&-", tmp_path)
        assert (result.returncode, result.stderr) == (1, "error: standard output is closed\n")
        assert list(tmp_path.iterdir()) == [], "nothing is done whose outcome can't be told"

    def test_neither_output_nor_errors(self, tmp_path: Path) -> None:
        assert self.shell("--help >/dev/full 2>&1", tmp_path).returncode == 1

    def test_a_reader_that_has_gone(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "axisor_executor.cli", "--help"]
        result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
        os.close(writing)
        assert (result.returncode, result.stderr) == (1, b"")

    def test_another_error_is_not_taken_for_it(self, alone: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        def lost(*_: Any, **__: Any) -> None:
            raise ConnectionResetError(errno.ECONNRESET, "reset")

        monkeypatch.setattr(CommandLine, "invoke", lost)
        with pytest.raises(ConnectionResetError):
            alone("plugins")
