"""What a DCA entry's config may say."""

import pytest

from axisor_dca_entry import DcaEntry
from axisor_executor.errors import InvalidConfig

HANDLER = DcaEntry()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"weekly_budget_usd": 100}, "quantity: "),
        ({"quantity": 50}, "weekly_budget_usd: missing; a DCA entry needs it, or weekly_budget_sats"),
        ({"quantity": 50, "weekly_budget_usd": 49}, "weekly_budget_usd: 49 never suffices for 50 USD"),
        ({"quantity": 0, "weekly_budget_usd": 100}, "quantity: must be a whole number from 1 to 500000"),
        ({"quantity": 1.5, "weekly_budget_usd": 100}, "quantity: must be a whole number"),
        ({"quantity": 50, "weekly_budget_sats": 0}, "weekly_budget_sats: must be a whole number from 1 to"),
        ({"quantity": 50, "weekly_budget_sats": 9, "drop_percent": 100}, "drop_percent: must be a number above 0"),
        ({"quantity": 50, "weekly_budget_sats": 9, "min_hours_between": 169}, "min_hours_between: must be a number"),
        ({"quantity": 50, "weekly_budget_sats": 9, "below_price": 0}, "leave the key out to buy at any price"),
        ({"quantity": 50, "weekly_budget_sats": 9, "leverage": 101}, "leverage: must be a number from 1 to 100"),
        ({"quantity": 50, "weekly_budget_sats": 9, "side": "s"}, "side: unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(config, problem):
    with pytest.raises(InvalidConfig) as refused:
        HANDLER.parse_config(config, "buy")
    assert problem in refused.value.message


def test_defaults_and_numbers_as_text():
    config = HANDLER.parse_config({"quantity": "50", "weekly_budget_sats": "1000", "drop_percent": None}, "buy")
    assert (config.quantity, config.weekly_budget_sats, config.leverage, config.drop_percent) == (50, 1000, 1, None)
