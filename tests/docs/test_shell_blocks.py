"""The shell commands in README and docs exist, with the options and targets that they are shown with."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest

from axisor_executor.cli import main
from axisor_executor.settings import PLUGIN_VARIABLES, describe_settings
from tests.docs.pages import PAGES, PLUGIN_READMES, ROOT, Block, blocks, everything
from tests.docs.shell import commands

SHELL = [block for block in blocks("sh", pages=(*PAGES, *PLUGIN_READMES)) if not block.skipped]
COMMANDS = [(block, words) for block in SHELL for words in commands(block.code)]
CHECKED = {"axisor-executor", "dramatiq", "make", "pip", "export"}
TAKEN_AS_THEY_ARE = {"python3", ".", "cd", "curl", "echo", "jq", "pass", "python", "sleep"}


def of(program: str) -> list[tuple[Block, list[str]]]:
    return [(block, words[1:]) for block, words in COMMANDS if words[0] == program]


def test_every_program_is_known() -> None:
    assert {words[0] for _, words in COMMANDS} <= CHECKED | TAKEN_AS_THEY_ARE


@pytest.mark.parametrize(("block", "words"), of("axisor-executor"), ids=str)
def test_our_commands_take_these_words(block: Block, words: list[str]) -> None:
    command: click.Command = main
    context = click.Context(command, info_name="axisor-executor")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest.pop(0))
        assert inner is not None, f"{block}: {words}"
        command, context = inner, click.Context(inner, parent=context)
    command.make_parser(context).parse_args(rest)


@pytest.mark.parametrize(("block", "words"), of("make"), ids=str)
def test_make_has_the_target(block: Block, words: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets), block


def test_targets_that_the_text_names_are_there() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z]+)`", everything())) <= set(targets)


@pytest.mark.parametrize(("block", "words"), of("pip"), ids=str)
def test_pip_is_given_what_is_there(block: Block, words: list[str]) -> None:
    metadata = (ROOT / "setup.cfg").read_text(encoding="utf-8").split("[options.extras_require]")[1]
    for word in words:
        if word.startswith("./"):
            assert (ROOT / word / "pyproject.toml").exists(), f"{block}: {word}"
        if extras := re.fullmatch(r"\.\[([\w,]+)\]", word):
            assert all(re.search(rf"^{extra} =", metadata, re.MULTILINE) for extra in extras[1].split(",")), block
    assert "--constraint" not in words or (ROOT / words[words.index("--constraint") + 1]).exists()


@pytest.mark.parametrize(("block", "words"), of("export"), ids=str)
def test_what_is_exported_is_a_setting(block: Block, words: list[str]) -> None:
    known = {row.variable for row in describe_settings()}
    known |= {point.name for point in entry_points(group=PLUGIN_VARIABLES)}
    assert {word.partition("=")[0] for word in words} <= known, block


def test_dramatiq_takes_these_options() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "dramatiq", "--help"], capture_output=True, text=True, check=True
    ).stdout
    used = of("dramatiq")
    assert used
    for block, words in used:
        assert words[0] == "axisor_executor.actors", block
        assert all(word in shown for word in words if word.startswith("--")), f"{block}: {words}"
