"""What the TP/SL config takes and what it refuses, and the words it does so with."""

import json
from decimal import Decimal

import pytest

from axisor_executor.errors import InvalidConfig, InvalidJob
from axisor_tp_sl import TpSl

HANDLER = TpSl()


def refused(action, **config):
    with pytest.raises(InvalidConfig) as caught:
        HANDLER.parse_config(config, action)
    return str(caught.value)


@pytest.mark.parametrize(("action", "missing"), [("update_tp", "new_takeprofit"), ("update_sl", "new_stoploss")])
def test_what_an_action_needs(action, missing):
    assert refused(action).startswith(f"{missing}: missing; {action} needs it")


@pytest.mark.parametrize("action", ["close_tp", "close_sl"])
def test_closing_needs_nothing_more(action):
    config = HANDLER.parse_config({}, action)
    assert (config.trigger_price, config.trigger_pnl_percentage) == (None, None)


@pytest.mark.parametrize("value", [60_000, 60_000.5, "60000.5", "60000", 60_000.0])
def test_values_in_steps_of_half_a_dollar(value):
    assert HANDLER.parse_config({"new_takeprofit": value}, "update_tp").new_takeprofit == Decimal(str(value))
    assert HANDLER.parse_config({"new_stoploss": value}, "update_sl").new_stoploss == Decimal(str(value))


@pytest.mark.parametrize("value", [60_000.25, "60000.1", 0, -5, True, "x", [], {}])
def test_other_values_are_refused_not_rounded(value):
    allowed = "must be a price in steps of 0.5 above 0 and up to 100000000 (USD per BTC)"
    assert refused("update_tp", new_takeprofit=value).startswith(f"new_takeprofit: {allowed}")
    assert refused("update_sl", new_stoploss=value).startswith(f"new_stoploss: {allowed}")


def test_a_trigger_is_only_compared_so_any_price_will_do():
    assert HANDLER.parse_config({"trigger_price": 60_000.1}, "close_tp").trigger_price == Decimal("60000.1")


@pytest.mark.parametrize("value", [0, -1, False, "soon", 1e40])
def test_a_trigger_is_a_price(value):
    assert "trigger_price: must be a number above 0 and up to 100000000 (USD per BTC)" in refused(
        "close_tp", trigger_price=value
    )


@pytest.mark.parametrize("value", [0, -25, 12.5, "-30", 250, -100, -100.5, "-5000"])
def test_pnl_percentage(value):
    config = HANDLER.parse_config({"trigger_pnl_percentage": value}, "close_sl")
    assert config.trigger_pnl_percentage == Decimal(str(value))


@pytest.mark.parametrize("value", [True, "much", "", [], float("inf")])
def test_what_is_no_pnl_percentage(value):
    message = refused("close_sl", trigger_pnl_percentage=value)
    assert "trigger_pnl_percentage: must be a number (percent), got" in message


@pytest.mark.parametrize("action", ["close_tp", "close_sl", "update_tp", "update_sl"])
@pytest.mark.parametrize("blank", [0, "0", ""])
def test_a_condition_is_never_dropped(action, blank):
    message = refused(action, new_takeprofit=60_000, new_stoploss=48_000, trigger_price=blank)
    assert message.startswith("trigger_price: must be a number above 0")
    assert ("leave the key out to act at any price" in message) == (blank != "")


@pytest.mark.parametrize("blank", [0, "", None, 60_000.25])
@pytest.mark.parametrize(
    ("action", "unused"),
    [
        ("close_sl", ["new_stoploss", "new_takeprofit"]),
        ("close_tp", ["new_stoploss", "new_takeprofit"]),
        ("update_tp", ["new_stoploss"]),
        ("update_sl", ["new_takeprofit"]),
    ],
)
def test_defaults_in_keys_of_other_actions_count_as_left_out(action, unused, blank):
    row = {"action": action, "new_takeprofit": 60_000, "new_stoploss": 48_000} | dict.fromkeys(unused, blank)
    config = HANDLER.parse_config(row, action)
    assert [getattr(config, key) for key in unused] == [None] * len(unused)
    assert HANDLER.ignored(row) == (tuple(unused) if blank is not None else ())


@pytest.mark.parametrize("blank", [0, ""])
def test_the_value_of_the_action_itself_is_not_guessed(blank):
    assert refused("update_tp", new_takeprofit=blank).startswith("new_takeprofit: must be a price")


def test_a_misspelt_condition_is_refused():
    assert refused("close_sl", triger_price=1) == "triger_price: unknown key; did you mean trigger_price?"


def test_null_is_left_out():
    assert HANDLER.parse_config({"trigger_price": None}, "close_tp").trigger_price is None


@pytest.mark.parametrize("named", [None, "tp_sl"])
def test_without_an_action_of_its_own_the_job_means_the_configs(named):
    assert HANDLER.choose_action(named, {"action": "close_sl"}) == "close_sl"


def test_other_actions_are_refused():
    assert HANDLER.choose_action("close_tp", {"action": "close_sl"}) == "close_tp"
    with pytest.raises(InvalidJob):
        HANDLER.choose_action("close_position", {"action": "close_sl"})
    for none_of_them in ("close", "tp_sl"):
        with pytest.raises(InvalidConfig, match="must be one of close_sl, close_tp, update_sl, update_tp"):
            HANDLER.choose_action(None, {"action": none_of_them})


def test_the_schema_documents_every_field():
    schema = HANDLER.config_model.model_json_schema()
    json.dumps(schema)
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        assert field.get("examples"), name


def test_examples_are_valid():
    fields = HANDLER.config_model.model_fields
    values = {name: field.examples[0] for name, field in fields.items() if name != "action"}
    for action in HANDLER.actions:
        HANDLER.parse_config(values, action)
