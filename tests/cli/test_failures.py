"""Errors of the library are one message with its code on standard error, whatever the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axisor_executor import explain, standing
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
