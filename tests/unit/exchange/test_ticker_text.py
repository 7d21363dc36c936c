"""The ticker as it stands in Redis: what was written comes back, and nothing else does."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange import Answer, Ticker
from axisor_executor.exchange.ticker_text import read_ticker, write_ticker

NOW = 1_795_334_400_000_000  # microseconds, as all instants in the text
TEXT = {
    "v": 1,
    "asked": NOW - 500_000,
    "server": NOW - 300_000,
    "time": NOW - 400_000,
    "last": "50000.5",
    "index": "50001.25",
    "fundingRate": "-0.0001",
    "fundingTime": NOW + 60_000_000,
}

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.integers(0, 2**52).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))
prices = st.decimals("0.5", 100_000_000, places=2)


@given(
    last=prices,
    index=prices,
    server=instants,
    age=st.integers(-2_000_000, 10**10),
    rate=st.none() | st.decimals("-0.1", "0.1", places=8),
    due=st.none() | instants,
    asked=st.integers(0, NOW),
)
def test_what_is_written_is_read(
    last: Decimal, index: Decimal, server: datetime, age: int, rate: Decimal | None, due: datetime | None, asked: int
) -> None:
    time = max(server - timedelta(microseconds=age), EPOCH)
    answer = Answer(Ticker(last, index, time, rate, due), server)
    assert read_ticker(write_ticker(answer, asked), NOW) == (answer, asked)


@pytest.mark.parametrize("rate", ["1.2345678901234567e-05", "-1e-25", "0.1234567890123456789012345", "-0.01", "0"])
def test_decimals_that_only_inform_are_rounded_before_they_keep_a_price_from_being_shared(rate: str) -> None:
    now = EPOCH + timedelta(microseconds=NOW)
    exact = Answer(Ticker(Decimal("50000.5"), 50_000 + Decimal(rate), now, Decimal(rate), now), now)
    ticker = read_ticker(write_ticker(exact, NOW), NOW)[0].value
    assert ticker.last_price == Decimal("50000.5")
    for read, meant in ((ticker.index, exact.value.index), (ticker.funding_rate, exact.value.funding_rate)):
        assert read is not None
        assert meant is not None
        assert abs(read - meant) <= Decimal("1e-20")


def test_prices_keep_their_digits() -> None:
    answer, asked = read_ticker(json.dumps(TEXT).encode(), NOW)
    assert (str(answer.value.last_price), str(answer.value.index)) == ("50000.5", "50001.25")
    assert str(answer.value.funding_rate) == "-0.0001"
    assert answer.server_time - answer.value.time == timedelta(milliseconds=100)
    assert asked == NOW - 500_000


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 0},
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"asked": NOW + 1},
        {"asked": -1},
        {"asked": float(NOW)},
        {"asked": None},
        {"server": NOW - 2_400_001},
        {"time": "2026-11-22T08:00:00Z"},
        {"time": 10**18},
        {"time": False},
        {"server": 10**30},
        {"last": "0"},
        {"last": "0.0"},
        {"last": "-50000"},
        {"last": "100000000.5"},
        {"last": "NaN"},
        {"last": "Infinity"},
        {"last": "5e4"},
        {"last": " 50000"},
        {"last": "50000\n"},
        {"last": "٥٠٠٠٠"},
        {"last": 50000},
        {"last": None},
        {"last": ["50000"]},
        {"index": "0"},
        {"index": ""},
        {"index": "1" * 40},
        {"fundingRate": 0.0001},
        {"fundingRate": "low"},
        {"fundingTime": "soon"},
        {"more": 1},
    ],
)
def test_a_field_that_is_not_as_we_write_it_spoils_the_whole(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z ]+$") as raised:
        read_ticker(json.dumps({**TEXT, **changed}), NOW)
    assert not any(character.isdigit() for character in str(raised.value))


@pytest.mark.parametrize("missing", TEXT)
def test_every_field_is_needed(missing: str) -> None:
    with pytest.raises(ValueError, match="fields"):
        read_ticker(json.dumps({name: value for name, value in TEXT.items() if name != missing}), NOW)


@pytest.mark.parametrize(
    "text", [b"", b"50000", b"null", b"[]", b"{}", b"\xff\xfe", b"{" * 400, b"[" * 400, b" " * 501, b'"50000"']
)
def test_what_is_no_such_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z ]+$"):
        read_ticker(text, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=3
)


@given(st.sampled_from(sorted(TEXT)), json_values)
def test_whatever_stands_in_a_field_is_read_as_a_price_that_there_can_be_or_not_at_all(name: str, value: Any) -> None:
    with suppress(ValueError):
        answer, asked = read_ticker(json.dumps({**TEXT, name: value}), NOW)
        assert 0 < answer.value.last_price <= 100_000_000
        assert 0 <= asked <= NOW
