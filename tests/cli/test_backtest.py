"""`axisor-executor backtest` and `candles`: no database, no key, and every mistake told in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Commands

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
Backtest = Callable[..., Result]
SCENARIO, CANDLES = str(SAMPLES / "scenario.json"), str(SAMPLES / "two-days.csv")


@pytest.fixture
def backtest(alone: Commands) -> Backtest:
    def backtest(*arguments: str, code: int = 0, automation: str = SCENARIO, candles: str = CANDLES) -> Result:
        return alone("backtest", "--automation", automation, "--candles", candles, *arguments, code=code)

    return backtest


class TestBacktest:
    def test_a_table_tells_what_came_of_it(self, backtest: Backtest) -> None:
        shown = backtest().stdout
        for words in (
            "3 opened, 3 closed (2 won, 1 lost), 0 running",
            "+40,101 sats (+4.01 %)",
            "liquidations",
            "auto_entry-1",
        ):
            assert words in shown
        assert backtest().stderr == "", "no bar where there is no terminal"

    def test_a_bar_shows_how_far_it_is_on_a_terminal(self, alone: Commands) -> None:
        words = ("backtest", "--automation", SCENARIO, "--candles", CANDLES, "--json")
        shown = alone(*words, FORCE_COLOR="1")
        assert "Backtest" in shown.stderr
        assert json.loads(shown.stdout)["candles"] == 2880, "the result is written apart from it"

    def test_json_holds_all_of_it(self, backtest: Backtest) -> None:
        told: dict[str, Any] = json.loads(backtest("--json").stdout)
        assert (told["candles"], told["from"], told["to"]) == (2880, "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
        assert told["pl"] == told["equity"] - told["balance"] == 40_101
        assert [one["sent"] for one in told["automations"]] == [{"open_position": 3}, {"close_position": 1}]
        assert len(told["tradeList"]) == 3
        assert len(told["equityCurve"]) == 1440
        assert backtest("--json").stdout == backtest("--json").stdout

    def test_options_change_what_comes_of_it(self, backtest: Backtest) -> None:
        def pl(*options: str) -> int:
            return int(json.loads(backtest("--json", *options).stdout)["pl"])

        assert pl("--fee-rate", "0") > pl() > pl("--spread", "40")
        assert pl("--funding-rate", "-0.001") > pl("--funding-rate", "0")
        told = json.loads(backtest("--json", "--every", "1h", "--path", "low-first", "--balance", "2000000").stdout)
        assert (told["balance"], told["path"]) == (2_000_000, "low-first")
        assert [one["everySeconds"] for one in told["automations"]] == [900, 3600], "the file's own comes first"

    def test_it_is_drawn(self, backtest: Backtest, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the extra plot is not installed")
        pictures = {suffix: tmp_path / f"equity.{suffix}" for suffix in ("png", "svg", "pdf")}
        begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
        for suffix, path in pictures.items():
            backtest("--plot", str(path))
            assert path.read_bytes().startswith(begins[suffix])

    def test_gaps_are_told(self, backtest: Backtest, tmp_path: Path) -> None:
        lines = Path(CANDLES).read_text(encoding="utf-8").splitlines()
        path = tmp_path / "gaps.csv"
        path.write_text("\n".join(lines[:1000] + lines[1010:]), encoding="utf-8")
        assert "[candles_gap]" in backtest(candles=str(path), code=1).stderr
        assert "1 gaps, in which the price was taken" in backtest("--gaps", "hold", candles=str(path)).stdout

    def test_errors_of_jobs_are_told(self, backtest: Backtest, tmp_path: Path) -> None:
        path = tmp_path / "poor.json"
        path.write_text('{"type": "auto_entry", "config": {"side": "b", "quantity": 100000}}', encoding="utf-8")
        result = backtest("--every", "1d", automation=str(path))
        assert "exchange_rejected 2" in result.stdout
        assert result.stderr.startswith("auto_entry-1: the first error was: ")
        assert "Insufficient balance" in result.stderr


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ({"automation": "nowhere.json"}, "backtest_file_invalid"),
            ({"automation": CANDLES}, "backtest_file_invalid"),
            ({"candles": "nowhere.csv"}, "candles_invalid"),
            ({"candles": SCENARIO}, "candles_invalid"),
        ],
    )
    def test_a_wrong_file_is_one_line(self, backtest: Backtest, arguments: dict[str, str], code: str) -> None:
        result = backtest(code=1, **arguments)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.rstrip().endswith(f"[{code}]")
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (("--simulation", "moon"), "simulation_missing"),
            (("--every", "90s"), "backtest_file_invalid"),
            (("--plot", "equity.doc"), "plot_invalid"),
            (("--plot", "nowhere/equity.png"), "plot_invalid"),
        ],
    )
    def test_a_wrong_option_is_one_line(self, backtest: Backtest, options: tuple[str, ...], code: str) -> None:
        if code == "backtest_file_invalid":
            assert json.loads(Path(SCENARIO).read_text(encoding="utf-8"))["automations"][1].get("every") is None
        assert backtest(*options, code=1).stderr.rstrip().endswith(f"[{code}]")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--every", "soon"), "must be a time from 1s to 7d"),
            (("--spread", "0.3"), "is not a multiple of 0.5"),
            (("--fee-rate", "lots"), "is not a number"),
            (("--funding-rate", "1"), "is not between -0.1 and 0.1"),
            (("--path", "best"), "is not one of"),
            (("--balance", "-1"), "is not in the range"),
        ],
    )
    def test_a_value_that_is_none_says_what_is_allowed(
        self, backtest: Backtest, options: tuple[str, ...], message: str
    ) -> None:
        assert message in backtest(*options, code=2).stderr

    def test_a_missing_extra_is_named_before_anything_is_played(
        self, backtest: Backtest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        shown = backtest("--plot", str(tmp_path / "equity.png"), code=1)
        assert shown.stdout == ""
        assert "pip install 'axisor-executor[plot]' [extra_missing]" in shown.stderr

    def test_a_picture_that_can_not_be_written(self, backtest: Backtest, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the extra plot is not installed")
        (tmp_path / "equity.png").mkdir()
        assert "[plot_invalid]" in backtest("--plot", str(tmp_path / "equity.png"), code=1).stderr


class TestCandles:
    def test_it_writes_the_sample(self, alone: Commands) -> None:
        made = alone("candles", "--seed", "4", "--minutes", "2880").stdout
        assert made == Path(CANDLES).read_text(encoding="utf-8")

    def test_begin_price_and_volatility_are_chosen(self, alone: Commands) -> None:
        options = ("--start", "2025-06-01T12:00:30+02:00", "--price", "100000.5", "--volatility", "0")
        made = alone("candles", "--minutes", "2", *options).stdout
        assert made.splitlines()[1:] == [
            "2025-06-01T10:00:00Z,100000.5,100000.5,100000.5,100000.5,0",
            "2025-06-01T10:01:00Z,100000.5,100000.5,100000.5,100000.5,0",
        ]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--minutes", "0"), "is not in the range"),
            (("--minutes", "1", "--start", "now"), "is no instant"),
            (("--minutes", "1", "--price", "0.7"), "is not between"),
            ((), "Missing option '--minutes'"),
        ],
    )
    def test_a_value_that_is_none_is_refused(self, alone: Commands, options: tuple[str, ...], message: str) -> None:
        assert message in alone("candles", *options, code=2).stderr
