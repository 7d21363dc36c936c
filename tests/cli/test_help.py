"""What every command has: help that is quick and has examples, and clear usage errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from axisor_executor import __version__
from axisor_executor.cli import main
from tests.cli.conftest import Commands

HEAVY = {"peewee", "dramatiq", "pydantic", "requests", "redis", "cryptography", "rich", "structlog", "pluggy"}


def _commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)


COMMANDS = dict(_commands(main))


def test_the_commands_are_there() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        *("demo", "db", "db init", "db check", "plugins", "plugins list", "plugins schema"),
        *("enqueue", "executions", "executions list", "executions show"),
        *("status", "recover", "migrate", "migrate automations"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does(alone: Commands, path: tuple[str, ...]) -> None:
    shown = alone(*path, "--help").stdout
    assert shown.startswith(f"Usage: main {' '.join(path)}")
    assert COMMANDS[path].help
    assert not COMMANDS[path].get_short_help_str(70).endswith("..."), "the list of commands cuts it off"
    if not isinstance(COMMANDS[path], click.Group) and path != ("plugins", "list"):
        assert f"axisor-executor {' '.join(path)}" in shown


def test_every_option_is_explained() -> None:
    for path, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{path} {option.name}"


def test_no_number_is_nan() -> None:
    """No comparison holds for it, so no bounds keep it out."""
    for path, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option.type, (click.FloatRange, click.types.FloatParamType)):
                with pytest.raises(click.BadParameter):
                    pytest.fail(f"{path} {option.name}: {option.type('nan', option, None)}")


def test_nan_is_refused_in_words(alone: Commands) -> None:
    refused = alone("enqueue", "--user", "u", "--automation", "a", "--wait", "nan", code=2)
    assert "'nan' is not a number." in refused.stderr


def test_version(alone: Commands) -> None:
    assert alone("--version").stdout == f"axisor-executor {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys; import axisor_executor.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_terminal_that_knows_ascii_only() -> None:
    command = [sys.executable, "-m", "axisor_executor.cli", "plugins"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout
    assert "margin_guard" in shown


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "axisor_executor.cli", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("axisor-executor ")


@pytest.mark.parametrize(
    "wrong",
    [("nonsense",), ("enqueue",), ("enqueue", "--user", "u"), ("executions", "list", "--status", "fine"), ("db", "x")],
    ids=" ".join,
)
def test_wrong_usage_ends_with_status_2(alone: Commands, wrong: tuple[str, ...]) -> None:
    result = alone(*wrong, code=2)
    assert "Usage:" in result.stderr
    assert result.stdout == ""
