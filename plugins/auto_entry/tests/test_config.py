"""What the auto entry's config takes and what it refuses, and the words it does so with."""

import json
from decimal import Decimal

import pytest

from axisor_auto_entry import AutoEntry
from axisor_executor.errors import InvalidConfig, InvalidJob

HANDLER = AutoEntry()
LEAST = {"side": "b", "quantity": 100}


def parse(**config):
    return HANDLER.parse_config(LEAST | config, "open_position")


def refused(**config):
    with pytest.raises(InvalidConfig) as caught:
        parse(**config)
    return str(caught.value)


def test_the_smallest_config():
    config = parse()
    assert (config.side, config.quantity, config.leverage, config.market) == ("buy", 100, 10, "btcusd")
    assert config.trigger_type == "market"
    assert (config.stoploss, config.takeprofit, config.trigger_price, config.max_open_trades) == (None,) * 4


@pytest.mark.parametrize(
    ("written", "side"),
    [("b", "buy"), ("B", "buy"), ("buy", "buy"), ("BUY", "buy"), ("s", "sell"), ("S", "sell"), ("Sell", "sell")],
)
def test_side(written, side):
    assert parse(side=written).side == side


@pytest.mark.parametrize("written", ["", "long", "bs", 1, True, []])
def test_bad_side(written):
    assert refused(side=written).startswith("side: must be buy or b (long), sell or s (short)")


@pytest.mark.parametrize("missing", ["side", "quantity"])
def test_both_are_required(missing):
    with pytest.raises(InvalidConfig, match=missing):
        HANDLER.parse_config({key: value for key, value in LEAST.items() if key != missing}, "open_position")
    assert missing in refused(**{missing: None})


@pytest.mark.parametrize("value", [1, 500_000, "100", 100.0])
def test_quantity(value):
    assert parse(quantity=value).quantity == int(float(value))


@pytest.mark.parametrize("value", [0, 500_001, 10.5, "10.5", True, "many", -1])
def test_bad_quantity(value):
    assert refused(quantity=value).startswith("quantity: must be a whole number from 1 to 500000 (USD)")


@pytest.mark.parametrize("value", [1, 100, 2.5, "25"])
def test_leverage(value):
    assert parse(leverage=value).leverage == Decimal(str(value))


@pytest.mark.parametrize("value", [0, 0.5, 101, True, "x"])
def test_bad_leverage(value):
    assert refused(leverage=value).startswith("leverage: must be a number from 1 to 100")


@pytest.mark.parametrize("value", ["btcusd", "BTCUSD", " BtcUsd "])
def test_market(value):
    assert parse(market=value).market == "btcusd"


@pytest.mark.parametrize("value", ["ethusd", "BTC/USD", "", 1])
def test_other_markets(value):
    assert refused(market=value).startswith("market: must be btcusd")


@pytest.mark.parametrize("value", [0, "0", 0.0, None, "", " "])
def test_no_protection(value):
    config = parse(stoploss=value, takeprofit=value)
    assert (config.stoploss, config.takeprofit) == (None, None)


@pytest.mark.parametrize("value", [45_000.25, -1, False, "low"])
def test_bad_protection(value):
    assert refused(stoploss=value).startswith("stoploss: must be a price in steps of 0.5")
    assert refused(takeprofit=value).startswith("takeprofit: must be a price in steps of 0.5")


@pytest.mark.parametrize(
    ("side", "stoploss", "takeprofit", "good"),
    [
        ("b", 45_000, 60_000, True),
        ("b", 60_000, 60_000, False),
        ("s", 60_000, 45_000, True),
        ("s", 45_000, 60_000, False),
    ],
)
def test_stop_loss_and_take_profit_must_fit_each_other(side, stoploss, takeprofit, good):
    if good:
        parse(side=side, stoploss=stoploss, takeprofit=takeprofit)
    else:
        assert "must be below the" in refused(side=side, stoploss=stoploss, takeprofit=takeprofit)


def test_a_limit_order_needs_its_price():
    assert refused(trigger_type="limit").startswith("trigger_price: missing")
    assert refused(trigger_type="limit", trigger_price=50_000.1).startswith("trigger_price: a limit order's price")
    assert parse(trigger_type="limit", trigger_price="50000.5").trigger_price == Decimal("50000.5")


def test_a_waiting_entry_only_compares_so_any_price_will_do():
    assert parse(trigger_price=50_000.1).trigger_price == Decimal("50000.1")


@pytest.mark.parametrize("value", [0, -1, True, "x", 1e40])
def test_bad_trigger(value):
    assert refused(trigger_price=value).startswith(
        "trigger_price: must be a number above 0 and up to 100000000 (USD per BTC)"
    )


@pytest.mark.parametrize(("blank", "hint"), [(0, True), ("0", True), ("", False)])
def test_a_trigger_is_never_dropped(blank, hint):
    """Left out, the entry would be made at once."""
    assert ("leave the key out to enter at once" in refused(trigger_price=blank)) == hint


def test_what_is_quoted_is_cut():
    for key in ("side", "market", "trigger_price", "stoploss", "quantity"):
        assert len(refused(**{key: "x" * 5000})) < 250


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_bad_max_open_trades(value):
    assert refused(max_open_trades=value).startswith("max_open_trades: must be a whole number of at least 1")


def test_unknown_trigger_type_and_misspelt_keys():
    assert "trigger_type: " in refused(trigger_type="stop")
    assert refused(stop_loss=1).startswith("stop_loss: unknown key; did you mean stoploss?")


@pytest.mark.parametrize("named", [None, "auto_entry", "open_position"])
@pytest.mark.parametrize("config", [{}, {"action": "open_position"}, {"action": "auto_entry"}, {"action": None}])
def test_there_is_one_action(named, config):
    assert HANDLER.choose_action(named, config) == "open_position"


def test_other_actions_are_refused():
    with pytest.raises(InvalidJob):
        HANDLER.choose_action("close_position", {})
    with pytest.raises(InvalidConfig):
        HANDLER.choose_action(None, {"action": "close_position"})


def test_the_schema_documents_every_field():
    schema = HANDLER.config_model.model_json_schema()
    json.dumps(schema)
    assert schema["required"] == ["side", "quantity"]
    assert schema["properties"]["side"]["enum"] == ["buy", "sell", "b", "s"]
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        assert field.get("examples"), name


def test_examples_are_valid():
    fields = HANDLER.config_model.model_fields
    HANDLER.parse_config({name: field.examples[0] for name, field in fields.items()}, "open_position")
