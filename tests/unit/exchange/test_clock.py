"""The exchange's clock: what its answers prove about ours."""

from __future__ import annotations

import inspect
import time
from datetime import UTC, datetime, timedelta
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange import clock
from axisor_executor.exchange.clock import (
    compared,
    lasting,
    recently_compared,
    server_time,
    shown_at,
    skew_seconds,
)
from axisor_executor.exchange.prices import SharedTicker

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
seconds = st.floats(0, 20, allow_nan=False)


@given(ahead=st.floats(-60, 60, allow_nan=False), there=seconds, back=seconds, moment=seconds)
def test_a_slow_answer_hides_a_difference_and_never_invents_one(
    ahead: float, there: float, back: float, moment: float
) -> None:
    written = NOON.timestamp() + moment  # by the exchange's own clock, shown in whole seconds
    shown = datetime.fromtimestamp(floor(written), UTC)
    sent_at, received_at = written + ahead - there, written + ahead + back

    skew = skew_seconds(sent_at, received_at, shown)

    assert skew == 0 or (skew > 0) == (ahead > 0)
    assert abs(skew) <= abs(ahead) + 1e-6
    assert abs(skew) >= abs(ahead) - max(there, back) - 1.0 - 1e-6  # and hides no more than the time it took


@pytest.mark.parametrize(
    ("headers", "cacheable", "instant"),
    [
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}, False, NOON),
        ({"Date": "Sun, 22 Nov 2026 13:00:00 +0100"}, False, NOON),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "4"}, True, NOON + timedelta(seconds=4)),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "4"}, False, NOON),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "-4"}, True, NOON),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "9" * 30}, True, NOON),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "²"}, True, NOON),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 -0000"}, False, None),
        ({"Date": "yesterday"}, False, None),
        ({"Date": ""}, False, None),
        ({}, False, None),
    ],
)
def test_instant_of_an_answer(headers: dict[str, str], cacheable: bool, instant: datetime | None) -> None:
    assert server_time(headers, cacheable=cacheable) == instant


@pytest.mark.parametrize(
    ("headers", "older"),
    [
        ({}, 0),
        ({"Age": "0"}, 0),
        ({"Age": "61"}, 61),
        ({"Age": "-4"}, 86_400),
        ({"Age": "1, 2"}, 86_400),
        ({"Age": "²"}, 86_400),
        ({"Age": "9" * 30}, 86_400),
        ({"Age": ""}, 86_400),
    ],
)
def test_what_a_cache_has_kept_is_older_than_its_date(headers: dict[str, str], older: int) -> None:
    assert NOON - shown_at(NOON, headers) == timedelta(seconds=older)


class TestWhatAnotherCallHasShown:
    @pytest.fixture(autouse=True)
    def steady(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The steady clock, which the test moves."""
        steady = [1000.0]
        monkeypatch.setattr(clock, "_compared", {})
        monkeypatch.setattr(clock.time, "monotonic", lambda: steady[0])
        return steady

    def test_it_serves_for_a_while(self, steady: list[float]) -> None:
        compared("https://a/v3", 1.5, now=500.0)
        steady[0] += 9.9
        assert recently_compared("https://a/v3", now=509.9) == 1.5
        steady[0] += 0.2
        assert recently_compared("https://a/v3", now=510.1) is None

    def test_it_says_nothing_of_another_address(self) -> None:
        compared("https://a/v3", 1.5, now=500.0)
        assert recently_compared("https://b/v3", now=500.0) is None

    @pytest.mark.parametrize("step", [-20.0, -0.6, 0.6, 3600.0])
    def test_nor_once_this_machines_clock_was_set(self, steady: list[float], step: float) -> None:
        compared("https://a/v3", 0.0, now=500.0)
        steady[0] += 1.0
        assert recently_compared("https://a/v3", now=501.0 + step) is None


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has one clock for both")
def test_a_price_grows_older_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect.signature(SharedTicker).parameters["clock"].default is lasting
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)  # it stands meanwhile
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 3605.0}.__getitem__)
    assert lasting() == 3605.0
