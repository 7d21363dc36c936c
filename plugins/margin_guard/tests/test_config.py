"""What the margin guard's config takes and what it refuses, and the words it does so with."""

import json
from decimal import Decimal

import pytest

from axisor_executor.errors import InvalidConfig, InvalidJob
from axisor_margin_guard import MarginGuard

HANDLER = MarginGuard()


def parse(action="close_position", **config):
    return HANDLER.parse_config(config, action)


def refused(action="close_position", **config):
    with pytest.raises(InvalidConfig) as caught:
        parse(action, **config)
    assert caught.value.status == 400
    return str(caught.value)


def test_the_smallest_config_has_safe_defaults():
    config = parse()
    assert config.margin_threshold is None
    assert config.scope is None
    assert config.if_unaffordable == "refuse"
    assert config.max_reopen_slippage_percent == 1


@pytest.mark.parametrize("value", [85, 85.0, "85", "85.0", " 85 "])
def test_numbers_may_be_text(value):
    assert parse(margin_threshold=value).margin_threshold == 85


def test_floats_are_taken_as_written():
    assert parse(margin_threshold=33.3).margin_threshold == Decimal("33.3")


@pytest.mark.parametrize("value", [5, 100])
def test_threshold_bounds_are_allowed(value):
    assert parse(margin_threshold=value).margin_threshold == value


@pytest.mark.parametrize("value", [0.85, "0.85", 0.9, 0.01, 0.999])
def test_a_threshold_below_one_is_ambiguous(value):
    message = refused(margin_threshold=value)
    assert message.startswith("margin_threshold: is ambiguous")
    assert "never written as a fraction" in message
    assert "from 5 to 100 (percent)" in message


@pytest.mark.parametrize("value", [1, 4.99, 100.01, 850, 0, -5, "abc", True, False, [], float("inf"), float("nan")])
def test_a_threshold_out_of_range_names_the_range(value):
    message = refused(margin_threshold=value)
    assert message.startswith("margin_threshold: must be a number from 5 to 100 (percent)")


@pytest.mark.parametrize("value", [0.1, 100, "50", 33.33])
def test_reduce_percentage(value):
    assert parse("reduce_position", reduce_percentage=value).reduce_percentage == Decimal(str(value))


@pytest.mark.parametrize("value", [0, -1, 100.5, "x", True])
def test_bad_reduce_percentage(value):
    message = refused("reduce_position", reduce_percentage=value)
    assert "reduce_percentage: must be a number above 0 and up to 100 (percent)" in message


@pytest.mark.parametrize("value", [1, 5000, 5000.0, "5000"])
def test_add_margin_amount(value):
    amount = parse("add_margin", add_margin_amount=value).add_margin_amount
    assert amount == int(float(value))
    assert type(amount) is int


@pytest.mark.parametrize("value", [0, -5, 10.5, "10.5", True, "1e3"])
def test_bad_add_margin_amount(value):
    assert "add_margin_amount: " in refused("add_margin", add_margin_amount=value)


@pytest.mark.parametrize(
    ("action", "missing"), [("reduce_position", "reduce_percentage"), ("add_margin", "add_margin_amount")]
)
def test_what_an_action_needs(action, missing):
    assert refused(action).startswith(f"{missing}: missing")
    assert refused(action, **{missing: None}).startswith(f"{missing}: missing")


@pytest.mark.parametrize("config", [{"scope": "all"}, {"scope": "selected", "selected_positions": ["a"]}])
def test_a_scope_needs_a_threshold(config):
    assert refused(**config).startswith("margin_threshold: missing")


@pytest.mark.parametrize("ids", [None, []])
def test_scope_selected_needs_ids(ids):
    message = refused(scope="selected", margin_threshold=85, selected_positions=ids)
    assert message.startswith("selected_positions: missing")


@pytest.mark.parametrize("ids", ["a", [1], [""], ["  "], {"a": 1}, 5])
def test_ids_must_be_a_list_of_texts(ids):
    message = refused(scope="selected", margin_threshold=85, selected_positions=ids)
    assert "selected_positions: must be a list of trade ids" in message


@pytest.mark.parametrize("scope", [None, "all"])
def test_ids_without_their_scope_are_not_ignored(scope):
    message = refused(scope=scope, margin_threshold=85, selected_positions=["a"])
    assert message.startswith("selected_positions: only scope selected uses it")


def test_an_empty_list_of_ids_is_no_list():
    assert parse(selected_positions=[]).selected_positions == ()


def test_ids_are_listed_once():
    config = parse(scope="selected", margin_threshold=85, selected_positions=["a", "b", "a "])
    assert config.selected_positions == ("a", "b")


@pytest.mark.parametrize("scope", ["ALL", "one", True, 1])
def test_unknown_scope(scope):
    assert "scope: " in refused(scope=scope, margin_threshold=85)


def test_a_misspelt_key_is_refused_with_a_hint():
    assert refused(margin_treshold=85) == "margin_treshold: unknown key; did you mean margin_threshold?"


@pytest.mark.parametrize("key", ["cooldown_seconds", "max_daily_add_margin"])
def test_spend_guards_are_whole_numbers_above_0(key):
    assert getattr(HANDLER.parse_config({"action": "close_position", key: 60}, "close_position"), key) == 60
    assert f"{key}: " in refused(**{key: 0})


@pytest.mark.parametrize(("key", "most"), [("cooldown_seconds", 31_536_000), ("max_daily_add_margin", 21 * 10**14)])
def test_spend_guards_have_an_upper_bound(key, most):
    assert getattr(parse(**{key: most}), key) == most
    assert f"up to {most}" in refused(**{key: most + 1})


@pytest.mark.parametrize("blank", [0, "", None, "0", 0.0])
def test_defaults_in_keys_of_other_actions_count_as_left_out(blank):
    row = {
        "action": "close_position",
        "reduce_percentage": blank,
        "add_margin_amount": blank,
        "if_unaffordable": blank,
        "max_reopen_slippage_percent": blank,
    }
    config = HANDLER.parse_config(row, "close_position")
    assert (config.reduce_percentage, config.add_margin_amount) == (None, None)
    assert (config.if_unaffordable, config.max_reopen_slippage_percent) == ("refuse", 1)
    expected = () if blank is None else tuple(sorted(set(row) - {"action"}))
    assert HANDLER.ignored(row) == HANDLER.ignored(row, "close_position") == expected


def test_what_an_action_has_no_use_for_is_ignored_and_named_whatever_it_is():
    row = {"action": "add_margin", "add_margin_amount": 1000, "reduce_percentage": 50}
    assert HANDLER.parse_config(row, "add_margin").reduce_percentage is None
    assert HANDLER.ignored(row) == ("reduce_percentage",)
    assert HANDLER.parse_config(row | {"reduce_percentage": "half"}, "add_margin").add_margin_amount == 1000
    # The job's action may be another one.
    assert HANDLER.parse_config(row, "reduce_position").reduce_percentage == 50
    assert HANDLER.ignored(row, "reduce_position") == ("add_margin_amount",)


@pytest.mark.parametrize(
    ("action", "key"), [("reduce_position", "reduce_percentage"), ("add_margin", "add_margin_amount")]
)
@pytest.mark.parametrize("blank", [0, ""])
def test_the_keys_of_the_action_itself_are_not_guessed(action, key, blank):
    assert f"{key}: must be" in refused(action, **{key: blank})


@pytest.mark.parametrize("action", ["close_position", "add_margin"])
@pytest.mark.parametrize("blank", [0, "0", 0.0, ""])
def test_a_threshold_of_0_is_never_no_threshold(action, blank):
    """Left out, the guard would act at once."""
    message = refused(action, add_margin_amount=1000, margin_threshold=blank)
    assert message.startswith("margin_threshold: must be a number from 5 to 100 (percent)")
    assert ("leave the key out to act at once" in message) == (blank != "")


@pytest.mark.parametrize("blank", ["", " ", None])
def test_an_empty_scope_is_the_jobs_trade(blank):
    config = parse(scope=blank, selected_positions=blank)
    assert (config.scope, config.selected_positions) == (None, ())
    assert refused(scope=blank, selected_positions=["a"]).startswith("selected_positions: only scope selected uses it")


def test_what_is_quoted_is_cut():
    for config in (
        {"margin_threshold": "9" * 5000},
        {"scope": "selected", "margin_threshold": 85, "selected_positions": ["a"] * 5000 + [1]},
        {"k" * 5000: 1},
        {"margin_threshold": 10**4000},
    ):
        assert len(refused(**config)) < 250
    with pytest.raises(InvalidConfig) as caught:
        HANDLER.choose_action(None, {"action": ["close_position"] * 1000})
    assert len(str(caught.value)) < 250
    with pytest.raises(InvalidJob) as caught_job:
        HANDLER.choose_action("x" * 5000, {})
    assert len(str(caught_job.value)) < 250


@pytest.mark.parametrize("action", ["margin_guard", "", [], {}, 0, True])
def test_an_action_that_is_none_says_which_there_are(action):
    with pytest.raises(
        InvalidConfig, match="must be one of add_margin, close_position, reduce_position, got"
    ) as caught:
        HANDLER.choose_action(None, {"action": action})
    assert str(caught.value).startswith("action: ")
    assert HANDLER.ignored({"action": action, "enabled": True}) == ("enabled",)


def test_keys_of_existing_rows_are_accepted_and_named():
    row = {
        "action": "close_position",
        "enabled": True,
        "plan_type": "pro",
        "notifications": {},
        "protection_mode": "unitario",
        "individual_configs": {},
        "new_liquidation_distance": 10,
    }
    assert HANDLER.parse_config(row, "close_position").action == "close_position"
    assert set(HANDLER.ignored(row)) == set(row) - {"action"}


def test_every_problem_is_named():
    message = refused("reduce_position", reduce_percentage=0, margin_threshold=3, foo=1)
    assert "reduce_percentage: " in message
    assert "margin_threshold: " in message
    assert "foo: unknown key" in message


@pytest.mark.parametrize("named", [None, "", "margin_guard"])
def test_without_an_action_of_its_own_the_job_means_the_configs(named):
    assert HANDLER.choose_action(named, {"action": "add_margin"}) == "add_margin"


def test_the_jobs_action_goes_first():
    assert HANDLER.choose_action("close_position", {"action": "add_margin"}) == "close_position"


def test_actions_of_other_types_are_refused():
    with pytest.raises(InvalidJob):
        HANDLER.choose_action("close_tp", {"action": "add_margin"})
    with pytest.raises(InvalidConfig):
        HANDLER.choose_action(None, {"action": "explode"})
    with pytest.raises(InvalidConfig):
        HANDLER.choose_action(None, {})


def test_the_schema_documents_every_field():
    schema = HANDLER.config_model.model_json_schema()
    json.dumps(schema)
    for name, field in schema["properties"].items():
        assert field.get("description"), name
        assert field.get("examples"), name
    assert schema["properties"]["add_margin_amount"]["anyOf"][0]["unit"] == "sats"
    assert schema["properties"]["margin_threshold"]["anyOf"][0]["anyOf"][0] == {
        "type": "number",
        "minimum": 5,
        "maximum": 100,
    }


def test_examples_are_valid():
    for action in HANDLER.actions:
        fields = MarginGuard.config_model.model_fields
        values = {name: field.examples[0] for name, field in fields.items() if name != "action"}
        HANDLER.parse_config(values | {"scope": "selected"}, action)
