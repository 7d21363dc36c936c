"""The field types of configs: what they take, what they say, what the JSON Schema shows."""

from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from axisor_executor.automation import AutomationConfig, Number, Price, Whole
from axisor_executor.automation.handler import problems_of

D = Decimal


class Config(AutomationConfig):
    share: Annotated[Decimal, Number(above=0, most=100, unit="percent")] | None = Field(None, description="A share.")
    count: Annotated[int, Whole(least=1, most=10, unit="USD")] = 1
    level: Annotated[Decimal, Price()] | None = None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, D(5)),
        (5.0, D(5)),
        (0.1, D("0.1")),
        ("5", D(5)),
        (" 5.50 ", D("5.5")),
        ("+5", D(5)),
        (1e-7, D("1e-7")),
        (D("2"), D(2)),
    ],
)
def test_numbers_and_numbers_as_text(value, number):
    assert Number().parse(value) == number


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        "",
        "abc",
        "1e5",
        "1_000",
        "0x10",
        "١",
        "1,5",
        "nan",
        "inf",
        [],
        {},
        float("nan"),
        float("inf"),
        D("NaN"),
        "9" * 16,
    ],
)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match="must be a number"):
        Number().parse(value)


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_in_every_spelling(number):
    assert Whole().parse(number) == Whole().parse(str(number)) == Whole().parse(float(number)) == number
    assert type(Whole().parse(float(number))) is int


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6))
def test_text_is_taken_exactly(number):
    assert Number().parse(str(number)) == number


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (0.07 * 100, "7"),
        ("7.000000000000001", "7"),
        (0.29 * 100, "29"),
        (100 / 3, "33.333333333"),
        ("66.666666666666667", "66.666666667"),
        (100.00000000000001, "100"),
        ("12.123456789", "12.123456789"),
        ("5.50", "5.50"),
        (D("9" * 40 + ".0000000001"), "9" * 40),
    ],
)
def test_a_percentage_is_free_of_what_binary_adds(value, percent):
    found = Number(unit="percent").parse(value)
    assert found == D(percent)
    assert Number(unit="USD").parse(value) == (D(value) if isinstance(value, str) else D(str(value)))


def test_a_percentage_is_rounded_before_its_bounds_are_looked_at():
    field = Number(above=0, most=100, unit="percent")
    assert field.parse(100.00000000000001) == 100
    with pytest.raises(ValueError, match="must be a number above 0 and up to 100"):
        field.parse(1e-12)


@given(st.floats(-(10**6), 10**6))
def test_a_percentage_is_never_further_off_than_that(value):
    assert abs(Number(unit="percent").parse(value) - D(repr(value))) <= D("5e-10")


@given(st.integers(1, 10**6))
def test_prices_come_in_steps(half_dollars):
    price = D(half_dollars) / 2
    assert Price().parse(float(price)) == price
    with pytest.raises(ValueError, match=r"steps of 0\.5"):
        Price().parse(price + D("0.25"))


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        (Number(), "a number"),
        (Number(above=0, unit="sats"), "a number above 0 (sats)"),
        (Number(above=0, most=100, unit="percent"), "a number above 0 and up to 100 (percent)"),
        (Number(most=5), "a number up to 5"),
        (Number(least=D("0.5")), "a number of at least 0.5"),
        (Whole(least=1, most=10), "a whole number from 1 to 10"),
        (Price(), "a price in steps of 0.5 above 0 and up to 100000000 (USD per BTC)"),
    ],
)
def test_what_is_allowed_in_words(field, allowed):
    assert field.allowed == allowed
    with pytest.raises(ValueError, match="must be ") as caught:
        field.parse("x")
    assert str(caught.value) == f"must be {allowed}, got 'x'"


@pytest.mark.parametrize(
    "value", ["x" * 5000, ["x"] * 5000, {"x": "y" * 5000}, 10**4000, pytest.param(10**5000, id="huge"), "9" * 90]
)
def test_a_long_value_is_quoted_in_part(value):
    for field in (Number(most=5), Whole(most=5), Price()):
        with pytest.raises(ValueError, match="must be ") as caught:
            field.parse(value)
        quote = str(caught.value).split("got ")[1]
        assert len(quote) <= 80


def test_0_is_told_from_left_out_where_that_matters():
    field = Number(above=0, if_absent="to act at any price")
    with pytest.raises(ValueError, match="got 0; leave the key out to act at any price"):
        field.parse(0)
    with pytest.raises(ValueError, match=r"got -1$"):
        field.parse(-1)


@pytest.mark.parametrize("value", [1e300, 10**400, 1e40, 100_000_000.5, 5e-324])
def test_absurd_prices_are_refused_like_others(value):
    with pytest.raises(ValueError, match="must be a price"):
        Price().parse(value)


def test_in_a_model():
    config = Config.model_validate({"share": "33.3", "count": 2.0, "level": 50_000.5})
    assert (config.share, config.count, config.level) == (D("33.3"), 2, D("50000.5"))
    with pytest.raises(ValidationError, match=r"must be a whole number from 1 to 10 \(USD\), got 11"):
        Config.model_validate({"count": 11})


class Lists(AutomationConfig):
    steps: Annotated[tuple[Annotated[int, Whole(least=1)], ...], Field(min_length=2)] = (1, 2)
    pairs: Annotated[tuple[tuple[int, int], ...], Field(min_length=1)] = ((1, 2),)
    names: Annotated[frozenset[str], Field(min_length=2)] = frozenset({"a", "b"})
    share: int = 1

    @field_validator("share")
    @classmethod
    def _own(cls, share: int) -> int:
        raise PydanticCustomError("too_short", "is short")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"steps": [0, 0]}, ["steps.0", "steps.1"]),
        ({"steps": [0, 1]}, ["steps.0"]),
        ({"pairs": [["x", "y"]]}, ["pairs.0.0", "pairs.0.1"]),
        ({"steps": [0]}, ["steps.0", "steps"]),
        ({"steps": []}, ["steps"]),
        ({"steps": [1], "pairs": [["x", 1]]}, ["steps", "pairs.0.0"]),
        ({"names": ["a", "a"]}, ["names"]),
        ({"share": 2}, ["share"]),
    ],
)
def test_a_list_is_too_short_only_where_it_is(config, told):
    """Pydantic counts the valid items alone."""
    with pytest.raises(ValidationError) as caught:
        Lists.model_validate(config)
    assert [".".join(map(str, item["loc"])) for item in problems_of(caught.value)] == told


def test_the_schema_shows_bounds_unit_and_text():
    shown = Config.model_json_schema()["properties"]
    number, text = shown["share"]["anyOf"][0]["anyOf"]
    assert number == {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
    assert text["type"] == "string"
    assert shown["share"]["anyOf"][0]["unit"] == "percent"
    assert shown["count"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert shown["level"]["anyOf"][0]["anyOf"][0] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 100_000_000,
        "multipleOf": 0.5,
    }
