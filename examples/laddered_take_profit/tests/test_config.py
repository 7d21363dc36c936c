"""What a ladder's config may say."""

from pathlib import Path

import pytest

from axisor_executor.errors import InvalidConfig
from axisor_laddered_take_profit import LadderedTakeProfit, Rung

HANDLER = LadderedTakeProfit()
RUNG = {"pnl_percent": 20, "sell_percent": 25}


def parse(*rungs, **config):
    return HANDLER.parse_config({"rungs": list(rungs), **config}, "take_profit")


@pytest.mark.parametrize(
    ("rungs", "problem"),
    [
        ([], "rungs: "),
        ([RUNG] * 21, "rungs: "),
        ([{"sell_percent": 25}], "rungs.0: a rung needs either pnl_percent or price, not both"),
        ([{**RUNG, "price": 60_000}], "rungs.0: a rung needs either pnl_percent or price, not both"),
        ([RUNG, {"price": 60_000}], "rungs.1.sell_percent: "),
        ([{**RUNG, "sell_percent": 0}], "rungs.0.sell_percent: must be a number above 0 and up to 100"),
        ([{**RUNG, "pnl_percent": "-5"}], "rungs.0.pnl_percent: must be a number above 0"),
        ([{**RUNG, "sell": 5}], "rungs.0.sell: unknown key"),
        ([{**RUNG, "sell_percent": 60}, {"price": 60_000, "sell_percent": "40.1"}], "rungs: sell 100.1 percent"),
        ([RUNG, {"pnl_percent": "20.0", "sell_percent": 5}], "rungs: two of them are reached at the same place"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(rungs, problem):
    with pytest.raises(InvalidConfig) as refused:
        parse(*rungs)
    assert problem in refused.value.message
    assert "at least 1 item" not in refused.value.message or not rungs


def test_without_rungs_there_is_no_ladder():
    with pytest.raises(InvalidConfig, match="rungs"):
        HANDLER.parse_config({}, "take_profit")


def test_rungs_may_be_left_to_null_and_numbers_be_text():
    (rung,) = parse({"pnl_percent": "20", "price": None, "sell_percent": "12.5"}).rungs
    assert (rung.pnl_percent, rung.price, rung.sell_percent * 2) == (20, None, 25)


def test_every_key_of_a_rung_stands_in_the_readme_and_has_an_example():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    table = readme.split("A rung:")[1].split("\n\n")[1]
    for name, field in Rung.model_fields.items():
        assert f"| `{name}` |" in table
        assert field.description
        assert field.examples
