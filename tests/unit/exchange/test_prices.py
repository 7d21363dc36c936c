"""One ticker for all threads: fetched once, aged by the exchange's clock, never believed when old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import responses

from axisor_executor.errors import AxisorError, Rejected, StaleData, Unavailable
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
    assert ticker.fresh_price(5)[0] == Decimal("50000.5")


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
def test_failed_fetch_is_passed_on_and_not_kept(failure: AxisorError, ticker: SharedTicker, source: Source) -> None:
    source.failure = failure
    with pytest.raises(type(failure)) as raised:
        ticker.fresh_price(5)
    assert raised.value is failure
    source.failure = None
    assert ticker.fresh_price(5)[0] == Decimal("50000.5")


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
