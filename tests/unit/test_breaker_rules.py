"""What the end of a call says of a circuit, when a streak opens one, and how the time between probes grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.errors import (
    AxisorError,
    CircuitOpen,
    CredentialsError,
    OutcomeUnknown,
    Rejected,
    StaleData,
    Throttled,
    Unavailable,
)
from axisor_executor.limits.circuits import ALONE_FACTOR, GUARD_FACTOR, Circuit, Patience, Streak, passed, verdict
from tests.unit.breaker_scene import AWAY, FORBIDDEN, LOST, MAIN, UNAUTHORIZED

HTTP_503 = Unavailable("not processed (HTTP 503)", details={"httpStatus": 503})
HTTP_429 = Unavailable("not processed (HTTP 429)", retry_after=2.0, details={"httpStatus": 429})
HTTP_500 = OutcomeUnknown("HTTP 500", details={"httpStatus": 500})
UNREADABLE_READ = Unavailable("can't be read", code="answer_unreadable", details={"httpStatus": 200})
UNREADABLE_CHANGE = OutcomeUnknown("can't be read", details={"httpStatus": 200})
NOT_FOUND = Rejected("HTTP 404", code="exchange_not_found", status=404)

EXCHANGE, ACCOUNT = Circuit("exchange", "lnmarkets@api.test"), Circuit("account", "acc456")
TRADING, RIGHT = EXCHANGE._replace(changes_only=True), ACCOUNT._replace(changes_only=True)


def test_the_circuits_that_a_call_passes() -> None:
    assert list(passed(EXCHANGE.subject, None, mutating=False)) == [EXCHANGE]
    assert list(passed(EXCHANGE.subject, MAIN, mutating=False)) == [EXCHANGE, ACCOUNT]
    assert list(passed(EXCHANGE.subject, MAIN, mutating=True)) == [EXCHANGE, TRADING, ACCOUNT, RIGHT]
    assert len({one.name for one in (EXCHANGE, TRADING, ACCOUNT, RIGHT)}) == 4


@pytest.mark.parametrize("failure", [AWAY, LOST, HTTP_503, HTTP_500])
def test_an_exchange_that_does_not_answer_or_answers_5xx_is_away(failure: AxisorError) -> None:
    assert verdict(EXCHANGE, failure, mutating=False) is False
    assert verdict(ACCOUNT, failure, mutating=True) is None


@pytest.mark.parametrize(
    "failure", [None, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, Rejected("no"), HTTP_429, UNREADABLE_READ, UNREADABLE_CHANGE]
)
def test_whatever_answer_shows_that_the_exchange_is_there(failure: AxisorError | None) -> None:
    assert verdict(EXCHANGE, failure, mutating=False) is True
    assert verdict(TRADING, failure, mutating=True) is True


@pytest.mark.parametrize(
    "failure",
    [
        Throttled("no room"),
        CircuitOpen("open"),
        Unavailable("the clock is off", code="clock_skew"),
        Unavailable("held up", code="held_up"),
        CredentialsError("unreadable"),
        StaleData("old"),
        ValueError("a mistake"),
    ],
)
def test_what_is_not_the_exchanges_says_nothing(failure: Exception) -> None:
    assert {verdict(one, failure, mutating=True) for one in (EXCHANGE, TRADING, ACCOUNT, RIGHT)} == {None}


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN])
def test_refused_keys(refusal: Rejected) -> None:
    assert verdict(ACCOUNT, refusal, mutating=False) is False
    assert verdict(ACCOUNT, refusal, mutating=True) is None, "reads may succeed all the while"
    assert verdict(RIGHT, refusal, mutating=True) is False


def test_a_request_that_is_refused_for_its_content_proves_the_keys_but_not_their_rights() -> None:
    assert verdict(ACCOUNT, NOT_FOUND, mutating=False) is True
    assert verdict(RIGHT, Rejected("You do not own this trade"), mutating=True) is None
    assert verdict(RIGHT, None, mutating=True) is True


def opens_at(streak: Streak, callers: list[str], step: float = 0.0) -> int | None:
    """Return which failure opens the circuit, counted from 1."""
    return next((number + 1 for number, one in enumerate(callers) if streak.add(one, 100.0 + number * step)), None)


@given(limit=st.integers(1, 20))
def test_one_accounts_failures_count_less(limit: int) -> None:
    assert opens_at(Streak("exchange", limit), ["a"] * 100) == limit * ALONE_FACTOR
    assert opens_at(Streak("exchange", limit), ["a", "b"] * 50) == max(limit, 2)
    assert opens_at(Streak("account", limit), ["a"] * 100) == limit


def test_company_may_come_late() -> None:
    assert opens_at(Streak("exchange", 5), ["a"] * 9 + ["public"]) == 10


def test_failures_that_lie_far_apart_are_no_streak() -> None:
    assert opens_at(Streak("exchange", 5), ["a", "b"] * 50, step=61.0) is None
    assert opens_at(Streak("exchange", 5), ["a", "b"] * 50, step=59.0) == 5
    assert opens_at(Streak("account", 2), ["f1", "f1"], step=3600.0) == 2, "an automation may run once an hour"


def test_a_changed_key_starts_afresh() -> None:
    assert opens_at(Streak("account", 2), ["f1", "f2", "f1", "f2", "f2"]) == 5


@given(first=st.floats(0.1, 3600), factor=st.floats(1, 100), failed=st.integers(0, 10_000))
def test_the_time_between_probes_doubles_up_to_its_limit(first: float, factor: float, failed: int) -> None:
    patience = Patience(first, first * factor)
    waits = [patience.wait(number, "default") for number in (failed, failed + 1)]
    assert first <= waits[0] <= waits[1] <= first * factor
    assert waits[1] == pytest.approx(min(2 * waits[0], first * factor))
    assert patience.wait(failed, "protect") == waits[0] / GUARD_FACTOR
