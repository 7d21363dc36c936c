"""The commands of `docs/command-line.md`, run one after the other, on an empty database and a real paper exchange."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from axisor_executor import runtime
from axisor_executor.cli import main
from axisor_executor.observe.logs import ROOT as LOGGER
from tests.docs.pages import ROOT, blocks, page, section
from tests.docs.shell import commands
from tests.harness.paper import PaperExchange

PAGE = ROOT / "docs" / "command-line.md"
BLOCKS = blocks("sh", pages=(PAGE,))
COMMANDS = [words[1:] for block in BLOCKS for words in commands(block.code) if words[0] == "axisor-executor"]


@pytest.fixture
def _quiet_log() -> Iterator[None]:
    """Take back what commands set up: a log that would write into their closed output."""
    logger = logging.getLogger(LOGGER)
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before
    runtime.use(None)


@pytest.mark.usefixtures("_quiet_log")
def test_they_run_as_they_stand_there(
    sqlite_url: str, redis_url: str, paper: PaperExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, "LN_MARKETS_API_URL": paper.url, "ENCRYPTION_KEY": "x"}
    for name in [name for name in os.environ if name.startswith("AXISOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    owner = paper.create_account("owner")
    Path("keys.json").write_text(json.dumps(owner.credentials()), encoding="utf-8")
    Path("new-keys.json").write_text(json.dumps(paper.add_keys(owner).credentials()), encoding="utf-8")
    Path("guard.json").write_text('{"action": "close_position", "margin_threshold": 90}', encoding="utf-8")
    told = {}
    for words in (["db", "init"], *COMMANDS):
        result = CliRunner().invoke(main, words, env=env)
        assert result.exit_code == 0, (words, result.output)
        told[" ".join(words)] = result.stdout
    assert len(COMMANDS) == len({*map(tuple, COMMANDS)}) > 14
    assert f"```\n{told['automations preview auto789']}```\n" in section(page("command-line.md"), "Preview")
    assert "dry run" in told["automations preview dry123"]
    assert paper.requests(mutating=True) == []


def test_which_commands_take_json() -> None:
    """The page names the only ones of both groups that don't."""
    without = {
        f"{group} {name}"
        for group in ("accounts", "automations")
        for name, command in main.commands[group].commands.items()  # type: ignore[attr-defined]
        if not any("--json" in option.opts for option in command.params)
    }
    (told,) = re.findall(r"Every command here takes `--json`, except ([^.]*)", page("command-line.md"))
    assert set(re.findall("`((?:accounts|automations) [a-z]+)`", told)) == without


def test_every_command_of_both_groups_is_shown() -> None:
    shown = {tuple(words[:2]) for words in COMMANDS if words[0] in ("accounts", "automations")}
    there = {(group, name) for group in ("accounts", "automations") for name in main.commands[group].commands}  # type: ignore[attr-defined]
    assert shown == there
