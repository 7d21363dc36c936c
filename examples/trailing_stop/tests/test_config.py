"""What a trailing stop's config may say."""

import pytest

from axisor_executor.errors import InvalidConfig
from axisor_trailing_stop import TrailingStop

HANDLER = TrailingStop()


def parse(**config):
    return HANDLER.parse_config(config, "move_stoploss")


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "distance_percent: missing; a trailing stop needs it, or distance_usd"),
        ({"distance_percent": 0}, "distance_percent: must be a number above 0 and up to 90"),
        ({"distance_percent": 91}, "distance_percent: must be a number above 0 and up to 90"),
        ({"distance_usd": "-5"}, "distance_usd: must be a number above 0"),
        ({"distance_usd": True}, "distance_usd: must be a number above 0"),
        ({"distance_usd": 5, "min_step_percent": -1}, "min_step_percent: must be a number from 0 to 50"),
        ({"distance_usd": 5, "activation_pnl_percent": "soon"}, "activation_pnl_percent: must be a number"),
        ({"distance_usd": 5, "scope": "selected"}, "scope: "),
        ({"distance_usd": 5, "replace_exchange_trailing": 1}, "replace_exchange_trailing: "),
        ({"distance_usd": 5, "distance": 5}, "distance: unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(config, problem):
    with pytest.raises(InvalidConfig) as refused:
        parse(**config)
    assert problem in refused.value.message


def test_defaults_and_numbers_as_text():
    config = parse(distance_percent="2.5", distance_usd=None)
    assert (config.distance_percent * 2, config.distance_usd) == (5, None)
    assert (config.min_step_percent * 10, config.scope, config.replace_exchange_trailing) == (1, None, False)


@pytest.mark.parametrize("name", [None, "trailing_stop", "move_stoploss"])
def test_the_jobs_action_may_be_left_out(name):
    assert HANDLER.choose_action(name, {"distance_usd": 5}) == "move_stoploss"
