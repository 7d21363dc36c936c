"""One ticker for all threads: fetched once, aged by the exchange's clock, never believed when old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.errors import AxisorError, Rejected, StaleData, Throttled, Unavailable
from axisor_executor.exchange import Answer, LNMarketsClient, SharedTicker, Ticker
from tests.unit.exchange.samples import BASE_URL, DATE, OPTIONS, TICKER

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A ticker that counts how often it was asked; ``age`` in seconds by the exchange's clock."""

    def __init__(self, price: str = "50000.5", age: float = 0.5) -> None:
        self.price, self.age = price, age
        self.asked = 0
        self.failure: BaseException | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self) -> Answer[Ticker]:
        self.asked += 1
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        price = Decimal(self.price)
        return Answer(Ticker(price, price, NOW - timedelta(seconds=self.age)), NOW)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def ticker(source: Source, clock: Clock) -> SharedTicker:
    return SharedTicker(source, 1.0, clock=clock)


def test_ticker_is_reused_and_ages(ticker: SharedTicker, source: Source, clock: Clock) -> None:
    assert ticker.read()[1] == 0.5
    clock.now += 0.75
    assert ticker.read()[1] == 1.25
    assert source.asked == 1
    clock.now += 0.5
    assert ticker.read()[1] == 0.5
    assert source.asked == 2


def test_time_that_the_fetch_took_counts(ticker: SharedTicker, source: Source, clock: Clock) -> None:
    def slow() -> None:
        clock.now += 3

    source.meanwhile = slow
    assert ticker.read()[1] == 3.5


def test_local_clock_plays_no_part(ticker: SharedTicker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert ticker.fresh_price(0.5)[0] == Decimal("50000.5")


@pytest.mark.parametrize(("age", "limit"), [(5.1, 5), (0.6, 0.5), (3600, 60), (-2.1, 5)])
def test_price_that_is_too_old_or_from_the_future_is_refused(
    age: float, limit: float, ticker: SharedTicker, source: Source
) -> None:
    source.age = age
    with pytest.raises(StaleData) as raised:
        ticker.fresh_price(limit)
    assert raised.value.code == "price_stale"
    assert f"{age:.1f} s" in raised.value.message
    assert f"{limit:g} s" in raised.value.message
    assert raised.value.details == {"ageSeconds": age, "maxAgeSeconds": limit}


@pytest.mark.parametrize("age", [5.0, 0.0, -0.9])
def test_price_within_its_age_is_given(age: float, ticker: SharedTicker, source: Source) -> None:
    source.age = age
    assert ticker.fresh_price(5) == (Decimal("50000.5"), max(age, 0))


def test_ticker_ahead_of_the_date_is_no_younger_than_new(ticker: SharedTicker, source: Source, clock: Clock) -> None:
    source.age = -0.9
    ticker.read()
    clock.now += 0.5
    assert ticker.fresh_price(0.5)[1] == 0.5


def test_price_from_the_future_does_not_become_good_by_waiting(
    ticker: SharedTicker, source: Source, clock: Clock
) -> None:
    source.age = -2.5
    for _ in range(2):
        with pytest.raises(StaleData):
            ticker.fresh_price(60)
        clock.now += 0.9
    assert source.asked == 1


@pytest.mark.parametrize("price", ["0", "-1", "-0.5"])
def test_price_that_is_not_positive_is_refused(price: str, ticker: SharedTicker, source: Source) -> None:
    source.price = price
    with pytest.raises(StaleData) as raised:
        ticker.fresh_price(5)
    assert raised.value.code == "price_invalid"


@pytest.mark.parametrize("shown", [{"lastPrice": None}, {"lastPrice": "50000"}, {"time": None}, {}])
def test_price_that_is_missing_is_refused(shown: dict[str, object]) -> None:
    body = {**TICKER, **shown} if shown else {}
    with responses.RequestsMock() as exchange:
        exchange.get(f"{BASE_URL}/v3/futures/ticker", json=body, headers={"Date": DATE})
        with pytest.raises(StaleData) as raised:
            SharedTicker(LNMarketsClient(OPTIONS, None).ticker).fresh_price(5)
    assert raised.value.code == "price_invalid"
    assert raised.value.__context__ is None


@pytest.mark.parametrize("failure", [Unavailable("down", retry_after=3), Rejected("no", status=403)])
def test_failed_fetch_is_told_for_half_a_second(
    failure: AxisorError, ticker: SharedTicker, source: Source, clock: Clock
) -> None:
    source.failure = failure
    with pytest.raises(type(failure)) as raised:
        ticker.fresh_price(5)
    assert raised.value is failure
    source.failure = None
    clock.now += 0.375
    for _ in range(1000):
        with pytest.raises(type(failure)) as again:
            ticker.fresh_price(5)
        assert again.value is not failure
        assert again.value.as_dict() == failure.as_dict()
    assert source.asked == 1
    clock.now += 0.125
    assert ticker.fresh_price(5)[0] == Decimal("50000.5")


def test_price_that_was_young_enough_when_it_came_is_asked_anew(
    ticker: SharedTicker, source: Source, clock: Clock
) -> None:
    ticker.fresh_price(0.75)
    clock.now += 0.25
    assert ticker.fresh_price(0.75)[1] == 0.75
    clock.now += 0.125
    assert ticker.read()[1] == 0.875
    assert source.asked == 1
    assert ticker.fresh_price(0.75)[1] == 0.5
    assert source.asked == 2


def test_age_that_the_exchange_shows_brings_on_no_fetch_before_its_time(
    ticker: SharedTicker, source: Source, clock: Clock
) -> None:
    source.age = 60
    for _ in range(100):
        with pytest.raises(StaleData):
            ticker.fresh_price(5)
        clock.now += 0.01
    assert source.asked == 1


@given(shown=st.floats(0, 10), limit=st.floats(0.1, 10))
def test_no_age_limit_makes_more_than_four_fetches_a_second(shown: float, limit: float) -> None:
    clock, source = Clock(), Source(age=shown)
    ticker = SharedTicker(source, 1.0, clock=clock)
    asked_at: list[float] = []
    source.meanwhile = lambda: asked_at.append(clock.now)
    for _ in range(300):
        with suppress(StaleData):
            ticker.fresh_price(limit)
        clock.now += 0.01
    assert all(later - earlier >= 0.249 for earlier, later in pairwise(asked_at))


@pytest.mark.parametrize("error", [Throttled("no room", retry_after=0.4), Throttled("no room")])
def test_without_room_to_ask_an_older_price_within_the_limit_serves(
    error: Throttled, ticker: SharedTicker, source: Source, clock: Clock
) -> None:
    ticker.read()
    source.failure = error
    clock.now += 1.5
    assert [ticker.fresh_price(5) for _ in range(100)] == [(Decimal("50000.5"), 2.0)] * 100
    assert source.asked == 2
    with pytest.raises(Throttled):
        ticker.fresh_price(1.75)
    with pytest.raises(Throttled):
        ticker.read()
    clock.now += 3.5
    with pytest.raises(Throttled) as raised:
        ticker.fresh_price(5)
    assert raised.value.retry_after == error.retry_after


def test_without_room_to_ask_and_without_a_price_there_is_none(ticker: SharedTicker, source: Source) -> None:
    source.failure = Throttled("no room", retry_after=0.4)
    with pytest.raises(Throttled):
        ticker.fresh_price(300)


def test_forgotten_price_is_asked_anew(ticker: SharedTicker, source: Source) -> None:
    ticker.read()
    source.price = "60000"
    ticker.forget()
    assert ticker.fresh_price(5)[0] == 60_000


def test_forgotten_failure_is_not_told(ticker: SharedTicker, source: Source) -> None:
    source.failure = Unavailable("down")
    with pytest.raises(Unavailable):
        ticker.read()
    source.failure = None
    ticker.forget()
    assert ticker.read()[1] == 0.5


def test_failed_fetch_leaves_no_older_price_in_use(ticker: SharedTicker, source: Source, clock: Clock) -> None:
    ticker.read()
    clock.now += 1.5
    source.failure = Unavailable("down")
    with pytest.raises(Unavailable):
        ticker.fresh_price(60)


class Crowd:
    """Threads that ask while one of them fetches; the fetch goes on when all the others wait."""

    def __init__(self, ticker: SharedTicker, source: Source, size: int = 8) -> None:
        self.ticker, self.size = ticker, size
        self.go_on = threading.Event()
        self.fetching = threading.Event()
        source.meanwhile = self._hold

    def _hold(self) -> None:
        self.fetching.set()
        assert self.go_on.wait(10)

    def ask(self) -> list[Decimal | BaseException]:
        def one() -> Decimal | BaseException:
            try:
                return self.ticker.fresh_price(60, timeout=10)[0]
            except BaseException as error:  # noqa: BLE001 - what each thread got is the result
                return error

        with ThreadPoolExecutor(self.size) as pool:
            first = pool.submit(one)
            assert self.fetching.wait(10)
            others = [pool.submit(one) for _ in range(self.size - 1)]
            self._wait_until_all_wait()
            self.go_on.set()
            return [task.result(10) for task in (first, *others)]

    def _wait_until_all_wait(self) -> None:
        flight = self.ticker._flight
        assert flight is not None
        for _ in range(2000):
            if len(flight._condition._waiters) == self.size - 1:  # type: ignore[attr-defined]
                return
            threading.Event().wait(0.002)
        raise AssertionError("the others don't wait")


def test_many_threads_share_one_fetch(ticker: SharedTicker, source: Source) -> None:
    assert Crowd(ticker, source).ask() == [Decimal("50000.5")] * 8
    assert source.asked == 1


def test_every_thread_that_waited_gets_an_error_of_its_own(ticker: SharedTicker, source: Source) -> None:
    source.failure = Unavailable("down", retry_after=7, details={"httpStatus": 503})
    errors = Crowd(ticker, source).ask()
    assert len({id(error) for error in errors}) == 8
    for error in errors:
        assert isinstance(error, Unavailable)
        assert (error.message, error.retry_after, error.details) == ("down", 7, {"httpStatus": 503})
    assert source.asked == 1


def test_interrupted_fetch_frees_those_who_wait(ticker: SharedTicker, source: Source) -> None:
    source.failure = KeyboardInterrupt()
    first, *others = Crowd(ticker, source).ask()
    assert isinstance(first, KeyboardInterrupt)
    assert all(isinstance(error, Unavailable) for error in others)


def test_waiting_ends_at_the_deadline(ticker: SharedTicker, source: Source) -> None:
    fetching, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        fetching.set()
        go_on.wait(10)

    source.meanwhile = hold
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ticker.read)
        assert fetching.wait(10)
        with pytest.raises(Unavailable, match=r"0\.05 s"):
            ticker.read(timeout=0.05)
        go_on.set()
        assert first.result(10)[1] == 0.5
