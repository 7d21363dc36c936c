"""One ticker for all threads: fetched once, aged by the exchange's clock, never believed when old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.errors import AxisorError, Rejected, StaleData, Throttled, Unavailable
from axisor_executor.exchange import Answer, LNMarketsClient, SharedTicker, Ticker
from axisor_executor.exchange.own_thread import OwnThread
from axisor_executor.exchange.prices import KNOWN_FETCHES, SPARE_SECONDS
from axisor_executor.exchange.reading import Reading
from axisor_executor.limits.pace import SECOND, Calls, Pace
from tests.unit.exchange.samples import TICKER
from tests.unit.exchange.served import Exchange, answer

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


@pytest.mark.parametrize("price", ["0", "-1", "-0.5", "100000000.5", "1e17"])
def test_price_that_can_not_be_one_is_refused(price: str, ticker: SharedTicker, source: Source) -> None:
    source.price = price
    with pytest.raises(StaleData) as raised:
        ticker.fresh_price(5)
    assert raised.value.code == "price_invalid"


@pytest.mark.parametrize("shown", [{"lastPrice": None}, {"lastPrice": "50000"}, {"time": None}, {}])
def test_price_that_is_missing_is_refused(shown: dict[str, object]) -> None:
    body = {**TICKER, **shown} if shown else {}
    with Exchange() as exchange:
        exchange.register("GET", "/v3/futures/ticker", answer(value=body))
        with pytest.raises(StaleData) as raised:
            SharedTicker(LNMarketsClient(exchange.options, None).ticker).fresh_price(5)
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


class Ahead:
    """A ticker that is asked ahead, and knows how long that takes; in the background runs what is told to."""

    def __init__(self) -> None:
        self.clock, self.source = Clock(), Source()
        self.takes = 0.125
        self.asked_at: list[float] = []
        self.jobs: list[Callable[[], None]] = []
        self.source.meanwhile = self.take_time
        self.ticker = SharedTicker(self.source, 1.0, in_background=self.jobs.append, clock=self.clock)
        self.ticker.read()
        for _ in range(KNOWN_FETCHES):
            self.wait_until_begun()
            self.land()

    def take_time(self) -> None:
        self.asked_at.append(self.clock.now)
        self.clock.now += self.takes

    def wait_until_begun(self) -> None:
        for _ in range(1000):
            if self.jobs:
                return
            self.clock.now += 2**-7
            assert self.price() == Decimal(self.source.price)
        raise AssertionError("nothing begins")

    def land(self) -> None:
        self.jobs.pop()()
        assert self.jobs == []

    def price(self, timeout: float = 10) -> Decimal:
        return self.ticker.fresh_price(60, timeout)[0]

    def price_that_is_waited_for(self) -> Decimal:
        """Ask in another thread, which has to wait until the flight lands."""
        flight = self.ticker._flight
        assert flight is not None
        with ThreadPoolExecutor(1) as pool:
            task = pool.submit(self.price)
            for _ in range(5000):
                if flight._condition._waiters:  # type: ignore[attr-defined]
                    break
                threading.Event().wait(0.002)
            self.land()
            return task.result(10)


@pytest.fixture
def ahead() -> Ahead:
    return Ahead()


def test_next_ticker_is_asked_for_when_the_last_one_was_asked_for_a_reuse_time_ago(ahead: Ahead) -> None:
    due = ahead.asked_at[-1] + 1.0 + SPARE_SECONDS
    ahead.clock.now = due - 0.001
    ahead.price()
    assert ahead.jobs == []
    ahead.clock.now = due + 0.001
    ahead.price()
    ahead.land()
    assert ahead.asked_at[-1] == due + 0.001
    ahead.clock.now += 0.5
    assert ahead.price() == Decimal("50000.5")
    assert len(ahead.asked_at) == KNOWN_FETCHES + 2


def test_old_price_serves_while_the_next_one_is_on_its_way(ahead: Ahead) -> None:
    ahead.wait_until_begun()
    asked, ahead.source.price = ahead.source.asked, "60000"
    prices: list[Decimal] = []
    ahead.source.meanwhile = lambda: prices.extend(ahead.price() for _ in range(1000))
    ahead.land()
    assert prices == [Decimal("50000.5")] * 1000
    assert ahead.price() == 60_000
    assert ahead.source.asked == asked + 1
    assert ahead.jobs == []


def test_old_price_serves_no_longer_than_without(ahead: Ahead) -> None:
    come_at = ahead.asked_at[-1] + ahead.takes
    ahead.wait_until_begun()
    ahead.clock.now = come_at + 1.0
    assert ahead.price(timeout=0) == Decimal("50000.5")
    ahead.clock.now = come_at + 1.001
    asked = ahead.source.asked
    with pytest.raises(Unavailable, match="was not there"):
        ahead.price(timeout=0)
    assert ahead.source.asked == asked
    ahead.source.price = "60000"
    assert ahead.price_that_is_waited_for() == 60_000
    assert ahead.source.asked == asked + 1


def test_where_nobody_asks_nothing_is_fetched(ahead: Ahead) -> None:
    asked = ahead.source.asked
    ahead.clock.now += 1000
    assert ahead.jobs == []
    ahead.price()
    assert ahead.source.asked == asked + 1
    assert ahead.jobs == []


def test_fetch_that_took_longer_than_usual_has_the_next_one_later(ahead: Ahead) -> None:
    ahead.takes = 0.5
    ahead.wait_until_begun()
    ahead.land()
    come_at = ahead.clock.now
    ahead.wait_until_begun()
    assert come_at + 1.0 + SPARE_SECONDS - 0.125 <= ahead.clock.now <= come_at + 1.0 + SPARE_SECONDS - 0.125 + 2**-7


def test_as_long_as_it_is_not_known_how_long_a_fetch_takes_the_next_one_begins_just_before_it_is_needed() -> None:
    clock, source = Clock(), Source()
    jobs: list[Callable[[], None]] = []
    source.meanwhile = lambda: setattr(clock, "now", clock.now + 0.5)  # it has to connect
    ticker = SharedTicker(source, 1.0, in_background=jobs.append, clock=clock)
    ticker.read()
    clock.now += 0.95
    ticker.read()
    assert jobs == []
    clock.now += 0.02
    ticker.read()
    assert len(jobs) == 1


def test_budget_of_one_call_a_second_always_has_room_for_what_is_asked_ahead(ahead: Ahead) -> None:
    pace, calls = Pace.per_second(1.0), Calls()
    waited: list[float] = []

    def enter() -> None:
        began, place = ahead.clock.now, 0
        while (turn := calls.ask(pace, "protect", int(ahead.clock.now * SECOND), SECOND // 4, place)).after > 0:
            assert turn.place
            place = turn.place
            ahead.clock.now += turn.after / SECOND
        waited.append(ahead.clock.now - began)
        ahead.take_time()

    ahead.source.meanwhile = enter
    for _ in range(100):
        ahead.wait_until_begun()
        ahead.land()
    assert max(waited) == 0


def test_failure_ahead_is_told_only_to_those_who_have_no_price(ahead: Ahead) -> None:
    ahead.takes = 0.0625
    ahead.wait_until_begun()
    over = ahead.asked_at[-1] + 0.125 + 1.0
    ahead.source.failure = Unavailable("down", retry_after=3)
    ahead.land()
    failed_at, asked = ahead.clock.now, ahead.source.asked
    assert failed_at < over
    assert ahead.price() == Decimal("50000.5")
    assert ahead.jobs == []
    ahead.clock.now = over + 0.001
    for _ in range(100):
        with pytest.raises(Unavailable, match="down") as raised:
            ahead.price()
        assert raised.value is not ahead.source.failure
    ahead.source.failure = None
    ahead.clock.now = failed_at + 0.5
    assert ahead.source.asked == asked
    assert ahead.price() == Decimal("50000.5")
    assert ahead.source.asked == asked + 1


def test_after_a_failure_ahead_it_is_tried_again_while_the_old_price_serves(ahead: Ahead) -> None:
    ahead.takes = 0.75
    for _ in range(KNOWN_FETCHES):
        ahead.wait_until_begun()
        ahead.land()
    ahead.wait_until_begun()
    ahead.takes = 0.0
    ahead.source.failure = Unavailable("down")
    ahead.land()
    failed_at, ahead.source.failure = ahead.clock.now, None
    ahead.wait_until_begun()
    assert 0.5 <= ahead.clock.now - failed_at < 0.51
    ahead.land()


def test_failure_ahead_reaches_those_who_wait(ahead: Ahead) -> None:
    ahead.wait_until_begun()
    ahead.clock.now += 1
    ahead.source.failure = Rejected("no", status=403)
    with pytest.raises(Rejected) as raised:
        ahead.price_that_is_waited_for()
    assert raised.value is not ahead.source.failure


def test_without_room_to_ask_ahead_an_older_price_within_the_limit_serves(ahead: Ahead) -> None:
    ahead.wait_until_begun()
    ahead.source.failure = Throttled("no room", retry_after=0.4)
    ahead.clock.now += 1
    assert ahead.price_that_is_waited_for() == Decimal("50000.5")
    assert ahead.price() == Decimal("50000.5")
    with pytest.raises(Throttled):
        ahead.ticker.fresh_price(1)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit(1), ZeroDivisionError()])
def test_nothing_comes_out_of_the_background(failure: BaseException, ahead: Ahead) -> None:
    ahead.wait_until_begun()
    ahead.source.failure = failure
    ahead.land()
    ahead.source.failure = None
    ahead.clock.now += 2
    assert ahead.price() == Decimal("50000.5")


def test_where_nothing_can_run_in_the_background_those_who_have_no_price_ask(ahead: Ahead) -> None:
    def refuse(_: Callable[[], None]) -> None:
        assert ahead.ticker._flight is not None
        refused.append(ahead.ticker._flight)
        raise RuntimeError("can't start new thread")

    refused: list[Future[Reading]] = []
    ahead.ticker._in_background = refuse
    asked = ahead.source.asked
    while ahead.source.asked == asked:
        ahead.clock.now += 2**-7
        assert ahead.price() == Decimal("50000.5")
    assert refused
    # Who had begun to wait may come again: this is no mistake of its own.
    assert {type(flight.exception(0)) for flight in refused} == {Unavailable}


def test_forgotten_price_does_not_come_back_with_what_is_under_way(ahead: Ahead) -> None:
    ahead.wait_until_begun()

    def move_meanwhile() -> None:
        ahead.source.meanwhile = lambda: None
        ahead.source.price = "60000"
        ahead.ticker.forget()
        assert ahead.price() == 60_000
        ahead.source.price = "50000.5"

    ahead.source.meanwhile = move_meanwhile
    ahead.land()
    assert ahead.price() == 60_000


def test_own_thread_serves_a_ticker(source: Source) -> None:
    clock = Clock()
    ticker = SharedTicker(source, 1.0, in_background=OwnThread("axisor-ticker"), clock=clock)
    ticker.read()
    source.meanwhile = lambda: setattr(clock, "now", clock.now + 0.5)
    clock.now += 1.5
    ticker.read()
    clock.now += 0.97
    asking: list[str] = []
    source.meanwhile = lambda: asking.append(threading.current_thread().name)
    ticker.read()
    flight = ticker._flight
    assert flight is None or flight.result(10)
    assert asking == ["axisor-ticker"]
