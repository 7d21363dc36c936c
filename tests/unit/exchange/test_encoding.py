"""What is sent says exactly what was asked for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange.calls.encoding import json_body, page_query, query_string

names = st.text("abcXYZ-_", min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12)


@given(st.dictionaries(names, texts | st.integers() | decimals))
def test_body_says_what_it_was_made_of(body: dict[str, str | int | Decimal]) -> None:
    written = json_body(body)
    assert written.isascii()
    assert json.loads(written, parse_float=Decimal) == body


@given(st.dictionaries(names, texts))
def test_query_says_what_it_was_made_of(query: dict[str, str]) -> None:
    written = query_string(query)
    assert dict(parse_qsl(written[1:], keep_blank_values=True, strict_parsing=bool(query))) == query
    assert written[:1] == ("?" if query else "")
    assert not set(written[1:]) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%&=")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("60000.5", "60000.5"),
        ("60000.50", "60000.5"),
        ("60000.0", "60000"),
        ("6E+4", "60000"),
        ("1E-7", "0.0000001"),
        ("0.10", "0.1"),
        ("12.345678901234567890123456789", "12.345678901234567890123456789"),
        ("100", "100"),
    ],
)
def test_decimals_keep_their_digits_and_nothing_else(value: str, written: str) -> None:
    assert json_body({"value": Decimal(value)}) == f'{{"value":{written}}}'.encode()


def test_what_is_left_out_is_not_sent() -> None:
    assert json_body({"id": "a b", "price": None, "amount": 1}) == b'{"id":"a b","amount":1}'
    assert json_body({}) == b"{}"
    assert query_string({"read": None}) == ""


def test_instants_are_sent_in_utc_with_milliseconds() -> None:
    berlin = datetime(2026, 11, 22, 9, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))
    assert page_query(berlin, None, None, None)["from"] == "2026-11-22T08:00:00.123Z"
    with pytest.raises(ValueError, match="time zone"):
        page_query(None, datetime(2026, 11, 22), None, None)  # noqa: DTZ001 - that is the point
