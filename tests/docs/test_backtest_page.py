"""`docs/backtest.md`: its files are played as they stand there, and come to what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from axisor_executor.backtest.scenario import parse_scenario
from axisor_executor.cli import main
from tests.docs.pages import ROOT, blocks, page, section
from tests.docs.shell import commands

PAGE = ROOT / "docs" / "backtest.md"
SAMPLES = ROOT / "docs" / "samples"
JSON = [json.loads(block.code) for block in blocks("json", pages=(PAGE,))]


def test_every_scenario_can_be_read() -> None:
    assert [len(parse_scenario(one).automations) for one in JSON] == [2, 1]
    assert JSON[0] == json.loads((SAMPLES / "scenario.json").read_text(encoding="utf-8"))


def test_the_commands_come_to_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made, played = (next(commands(block.code))[1:] for block in blocks("sh", pages=(PAGE,)))
    assert made[-2:] == [">", "two-days.csv"]
    candles = CliRunner().invoke(main, made[:-2]).stdout
    assert candles == (SAMPLES / "two-days.csv").read_text(encoding="utf-8")
    Path("two-days.csv").write_text(candles, encoding="utf-8")
    Path("scenario.json").write_text(json.dumps(JSON[0]), encoding="utf-8")
    shown = "".join(f"{line.rstrip()}\n" for line in CliRunner().invoke(main, played).stdout.splitlines())
    assert "auto_entry-1" in shown
    assert f"```\n{shown}```\n" in section(page("backtest.md"), "A first one")


def test_every_option_is_spoken_of() -> None:
    told = page("backtest.md")
    options = {option for one in main.commands["backtest"].params for option in one.opts}
    assert {one for one in options if one not in told} == set()
