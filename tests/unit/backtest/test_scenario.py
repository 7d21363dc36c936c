"""The file that says what to try: in its three forms, and with every mistake named."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from axisor_executor.backtest.scenario import parse_scenario, read_scenario, seconds_of, with_ids
from axisor_executor.errors import InvalidConfig

ENTRY = {"type": "auto_entry", "config": {"side": "b", "quantity": 100}}
MAIN = {"name": "main", "side": "b", "quantity": 100, "leverage": "7.5"}


class TestForms:
    def test_a_list_and_one_by_itself_mean_the_same(self) -> None:
        whole = parse_scenario({"automations": [ENTRY]})
        assert parse_scenario([ENTRY]) == parse_scenario(ENTRY) == whole

    def test_one_by_itself_may_have_positions_beside_it(self) -> None:
        scenario = parse_scenario(
            {**ENTRY, "trade": "main", "every": "1h", "positions": [MAIN], "cross": {"deposit": 5}}
        )
        (position,), (automation,) = scenario.positions, scenario.automations
        assert (position.side, position.leverage, position.order_type) == ("buy", Decimal("7.5"), "market")
        assert (automation.trade, automation.every) == ("main", 3600)
        assert scenario.cross is not None
        assert (scenario.cross.deposit, scenario.cross.leverage, scenario.cross.side) == (5, 1, None)

    def test_a_position_with_a_price_is_a_limit_order(self) -> None:
        (position,) = parse_scenario({**ENTRY, "positions": [{**MAIN, "price": 49_000}]}).positions
        assert (position.order_type, position.price) == ("limit", 49_000)


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "automations: Field required"),
    "no automation": ([], "automations: Tuple should have at least 1 item"),
    "a text": ("auto_entry", "valid dictionary"),
    "an unknown key": ({**ENTRY, "evry": "1h"}, "automations.0.evry: unknown key"),
    "no type": ([{"config": {}}], "automations.0.type: Field required"),
    "a time that is none": ({**ENTRY, "every": "soon"}, "automations.0.every: must be a time from 1s to 7d"),
    "a trade that is not there": (
        {**ENTRY, "trade": "other", "positions": [MAIN]},
        "trade 'other' is none of the positions; there are: main, each",
    ),
    "a position called each": ({**ENTRY, "positions": [{**MAIN, "name": "each"}]}, "stands for every running trade"),
    "two of one name": ({**ENTRY, "positions": [MAIN, MAIN]}, "two positions are called 'main'"),
    "two automations of one id": ([{**ENTRY, "id": "a"}, {**ENTRY, "id": "a"}], "two automations are called 'a'"),
    "a side that is none": ({**ENTRY, "positions": [{**MAIN, "side": "long"}]}, "positions.0.side: Input should be"),
    "half a dollar": (
        {**ENTRY, "positions": [{**MAIN, "quantity": 0.5}]},
        "positions.0.quantity: must be a whole number",
    ),
    "leverage 0": ({**ENTRY, "positions": [{**MAIN, "leverage": 0}]}, "positions.0.leverage: must be a number from 1"),
    "a price off the steps": (
        {**ENTRY, "positions": [{**MAIN, "stoploss": 45_000.3}]},
        "positions.0.stoploss: must be a price in steps of 0.5",
    ),
    "a cross side alone": ({**ENTRY, "cross": {"deposit": 1, "side": "b"}}, "cross: side and quantity go together"),
}


class TestRefusing:
    def test_one_problem_of_the_only_automation_is_told_as_one(self) -> None:
        with pytest.raises(InvalidConfig) as caught:
            parse_scenario([{"config": {}}])
        assert caught.value.message == "automations.0.type: Field required"

    @pytest.mark.parametrize("kind", BAD)
    def test_it_is_said_what_is_wrong_and_where(self, kind: str) -> None:
        given, message = BAD[kind]
        with pytest.raises(InvalidConfig) as caught:
            parse_scenario(given)
        assert caught.value.code == "backtest_file_invalid"
        assert message in caught.value.message

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "is no JSON"),
            ('{"type": NaN}', "NaN is no number in JSON"),
            ("[" * 100_000, "is no JSON"),
            ("\xff", "is no JSON"),
            (" " * 2_000_000, "is larger than"),
        ],
        ids=["torn", "NaN", "deep", "no text", "large"],
    )
    def test_a_file_that_holds_none(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "scenario.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidConfig, match=message) as caught:
            read_scenario(path)
        assert caught.value.code == "backtest_file_invalid"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidConfig, match=r"can't read .*: No such file"):
            read_scenario(tmp_path / "scenario.json")

    def test_a_good_file_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps(ENTRY), encoding="utf-8")
        assert read_scenario(path) == parse_scenario(ENTRY)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), (60, 60), ("9", 9)]
)
def test_times_are_read(text: Any, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["0s", "8d", "-1m", "1.5h", "1w", "", 0, True, None, 1.5])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a time from 1s to 7d"):
        seconds_of(text)


def test_names_in_configs_become_ids() -> None:
    config = {"selected_positions": ["@main", "other"], "note": "a@b", "deep": {"id": "@main"}, "number": 5}
    assert with_ids(config, {"main": "id-1"}) == {
        "selected_positions": ["id-1", "other"],
        "note": "a@b",
        "deep": {"id": "id-1"},
        "number": 5,
    }
    with pytest.raises(InvalidConfig, match="'@second' is none of the positions; there are: main"):
        with_ids(["@second"], {"main": "id-1"})
