"""One price for all: the public ticker may be asked once a second from one address, whatever the number of accounts."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from decimal import Decimal
from functools import partial

from axisor_executor.errors import CircuitOpen, StaleData, Throttled, Unavailable
from axisor_executor.exchange.base import Answer, Ticker
from axisor_executor.exchange.clock import lasting
from axisor_executor.exchange.failures import UNREADABLE
from axisor_executor.exchange.price_board import Posted, PriceBoard, Turn
from axisor_executor.exchange.reading import Reading
from axisor_executor.exchange.ticker_text import FUTURE_TOLERANCE, HIGHEST_PRICE

FAILURE_SECONDS = 0.5
"""How long a fetch that failed answers for those who ask next."""
POLL_SECONDS = 0.025

SPARE_SECONDS = 0.04
"""By how much more than the reuse time a fetch that is begun ahead comes after the last one.

The rate budget's window is a little longer than a second, for what the way to the exchange differs from call to call.
Who asked sooner than it leaves room would wait for it there, each time longer, until there is none soon enough.
"""
KNOWN_FETCHES = 4
"""From how many fetches in the background it is known how long one takes; the first has to connect."""
FIRST_LEAD_SECONDS = 2 * SPARE_SECONDS
"""How long one takes at most, for all that is known before."""
AHEAD_TIMEOUT = 15.0
"""How long a fetch that was begun ahead waits for another process, in seconds."""
_NOTHING_SENT = (Throttled, CircuitOpen)


class _Flight(Future[Reading]):
    """One fetch, for all who wait for it; ``ahead_of``: the reading that serves while it is under way."""

    def __init__(self, max_age: float, until: float, ahead_of: Reading | None = None) -> None:
        super().__init__()
        self.max_age = max_age
        self.until = until
        self.ahead_of = ahead_of


class SharedTicker:
    """The last ticker, asked for by one thread at a time; with a board, by one thread of all processes.

    Everybody else gets it from here while it is young enough, with an age that grows. No age is too low by a second
    or more (what the exchange's Date leaves open), whatever the clocks of the machines show.

    Where it can be asked ``in_background``, the next one is fetched there while the old one serves, so that it comes
    about when the old one's time is over: nobody waits, and no price gets older than without. Whoever wants the price
    then begins that, or has had it begun when it was time (``remind``); a price that has served nobody but who fetched
    it is followed by none. Two fetches reach the exchange no less than the reuse time
    apart: one that took longer than usual may have been held up on its way there, and the next is as much later.

    A failed fetch is told to all who waited for it and, for half a second, to those who ask next in this process. An
    older price takes its place only when the rate budget had no room for it, and only within the caller's age limit.
    """

    def __init__(
        self,
        fetch: Callable[[], Answer[Ticker]],
        max_reuse_seconds: float = 1.0,
        *,
        board: PriceBoard | None = None,
        in_background: Callable[[Callable[[], None]], None] | None = None,
        remind: Callable[[float, Callable[[], None]], None] | None = None,
        clock: Callable[[], float] = lasting,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a ticker that asks ``fetch`` (any thread may call it) again ``max_reuse_seconds`` after it has come.

        Args:
            fetch: asks the exchange.
            max_reuse_seconds: how long all get the same ticker. Only who allows a lower age has it asked anew.
            board: where processes share it. Without one, and while its Redis is away, each asks for itself.
            in_background: has a job run in another thread. Without it, all wait for every fetch.
            remind: has a job run there after some seconds. Without it, who comes for the price in waves (they wait for
                it together, and from then on for all else) finds the old one's time over, and waits.
            clock: in seconds; one that stands while the machine sleeps makes a price of before look new.
            pause: waits some seconds between two looks at the board.
        """
        self._fetch = fetch
        self._max_reuse = max_reuse_seconds
        self._board = board
        self._in_background = in_background
        self._remind = remind
        self._reminded_of: Reading | None = None
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._failure: tuple[Exception, float] | None = None  # and until when it is told
        self._flight: _Flight | None = None
        self._took = deque([FIRST_LEAD_SECONDS] * KNOWN_FETCHES, maxlen=KNOWN_FETCHES)
        self._lead = FIRST_LEAD_SECONDS

    def read(self, timeout: float = 15.0) -> tuple[Ticker, float]:
        """Return the ticker and its age in seconds: by the exchange's own clock, plus the time since it was asked for.

        Args:
            timeout: how long to wait for the fetch of another thread or process, in seconds.

        Raises:
            Unavailable: it can't be had now, or not in time.
            Rejected: the exchange refuses it.
        """
        reading = self._current(math.inf, timeout)
        return reading.ticker, reading.age(self._clock())

    def fresh_price(self, max_age_seconds: float, timeout: float = 15.0) -> tuple[Decimal, float]:
        """Return the last price in USD per BTC, and its age in seconds.

        Raises:
            StaleData: code ``price_stale``, older than ``max_age_seconds`` (or from the future); or
                ``price_invalid``, missing or not above 0.
            Unavailable, Rejected: as :meth:`read`.
        """
        unreadable: Unavailable | None = None
        try:
            reading = self._current(max_age_seconds, timeout)
        except Throttled:
            known = self._reading
            if known is None or known.age(self._clock()) > max_age_seconds:
                raise
            reading = known
        except Unavailable as error:
            if error.code != UNREADABLE:
                raise
            unreadable = error
        if unreadable is not None:
            raise StaleData("the exchange shows no last price", code="price_invalid", details=unreadable.details)
        return _checked(reading, max_age_seconds, self._clock())

    def forget(self) -> None:
        """Have the next price asked anew: drop what this process knows, and what stands on the board.

        Other processes keep what they know up to its end. A fetch that is under way is not called back, but only those
        who wait for it already get what it brings.
        """
        with self._lock:
            self._reading = self._failure = self._flight = None
        if self._board is not None:
            self._board.clear()

    def _current(self, max_age: float, timeout: float) -> Reading:
        now = self._clock()
        reading = self._reading
        if reading is not None and self._serves(reading, max_age, now):
            if self._in_background is not None and self._flight is None:
                if now >= self._due_at(reading):
                    self._begin_ahead(reading, now, self._in_background)
                elif self._remind is not None and self._reminded_of is not reading:
                    self._be_reminded(reading, now, self._in_background, self._remind)
            return reading
        until = now + timeout
        while True:
            with self._lock:
                now = self._clock()
                reading = self._reading
                if reading is not None and self._serves(reading, max_age, now):
                    return reading
                if self._failure is not None and now < self._failure[1]:
                    raise copy.copy(self._failure[0])  # one error object must not be raised in several threads
                others = self._flight
                if others is None:
                    own = self._flight = _Flight(max_age, until)
            if others is None:
                return self._fly(own)
            reading = _landed(others, until - now, timeout)
            if not self._outlived(reading, max_age, self._clock()):
                return reading

    def _serves(self, reading: Reading, max_age: float, now: float) -> bool:
        return now - reading.come_at <= self._max_reuse and not self._outlived(reading, max_age, now)

    def _outlived(self, reading: Reading, max_age: float, now: float) -> bool:
        return reading.outlived(max_age, now, patience=self._max_reuse / 4)

    def _due_at(self, reading: Reading) -> float:
        """Return from when on the next one is asked for while this one serves."""
        return reading.come_at - min(reading.took, self._lead) + self._max_reuse + SPARE_SECONDS

    def _begin_ahead(self, known: Reading, now: float, run: Callable[[Callable[[], None]], None]) -> None:
        with self._lock:
            is_failure_told = self._failure is not None and now < self._failure[1]
            if self._flight is not None or self._reading is not known or is_failure_told:
                return
            flight = self._flight = _Flight(math.inf, now + AHEAD_TIMEOUT, ahead_of=known)
        try:
            run(partial(self._fly_ahead, flight))
        except Exception as error:  # noqa: BLE001  who asks has a price; who waits already may come again
            self._land(flight, Unavailable(f"the ticker can't be asked for in the background: {error}"))

    def _be_reminded(
        self,
        reading: Reading,
        now: float,
        run: Callable[[Callable[[], None]], None],
        remind: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """Have the one after ``reading`` asked for when it is time, whether somebody comes for it then or not."""
        with self._lock:
            if self._reminded_of is reading:
                return
            self._reminded_of = reading
        with suppress(Exception):  # who asks has a price; who comes when it is time does as without
            remind(self._due_at(reading) - now, lambda: self._begin_ahead(reading, self._clock(), run))

    def _fly_ahead(self, flight: _Flight) -> None:
        with suppress(BaseException):  # those who wait for it are told
            self._fly(flight)

    def _fly(self, flight: _Flight) -> Reading:
        """Get the ticker, for oneself and for those who wait for ``flight``."""
        landing: Reading | Exception = Unavailable("the ticker's fetch was interrupted")
        told: tuple[Exception, float] | None = None
        try:
            landing = self._ask(flight)[1] if self._board is None else self._from_board(self._board, flight)
            return landing
        except Exception as error:
            landing = error
            told = copy.copy(error), self._clock() + FAILURE_SECONDS
            raise
        finally:
            self._land(flight, landing, told)

    def _land(self, flight: _Flight, landing: Reading | Exception, told: tuple[Exception, float] | None = None) -> None:
        with self._lock:
            if self._flight is flight:  # else it was to be forgotten
                self._flight, self._failure = None, told
                if isinstance(landing, Reading):
                    self._reading = landing
        if isinstance(landing, Reading):
            flight.set_result(landing)
        else:
            flight.set_exception(landing)

    def _from_board(self, board: PriceBoard, flight: _Flight) -> Reading:
        """Take the ticker from the board when it is young enough, else ask the exchange when it is our turn.

        Ahead, only one that was asked for later than what we have will do. Else it is asked for when that on the board
        is due: by Redis' clock, the same for all processes, which is a little later than what we have taken from
        there seems to be.
        """
        wants_turn = False
        while True:
            now = self._clock()
            look = board.look(wants_turn=wants_turn)
            if look is None:
                return self._ask(flight)[1]
            early = 0.0
            if look.posted is not None:
                reading = _taken(look.posted, now)
                if self._serves(reading, flight.max_age, now) and self._is_news(reading, flight):
                    if look.turn is not None:
                        board.pass_on(look.turn)
                    return reading
                self._keep_newer(reading, flight)
                if flight.ahead_of is not None:
                    early = self._due_at(reading) - now
            if early > 0:
                self._pause(early)
            if look.turn is not None:
                return self._ask_for_all(board, look.turn, flight)
            if now >= flight.until:
                raise Unavailable("another process has the turn to ask for the ticker, and none came in time")
            if wants_turn:
                self._pause(POLL_SECONDS)
            wants_turn = True

    def _is_news(self, reading: Reading, flight: _Flight) -> bool:
        """Whether a posted reading is another one than that which its flight was begun ahead of, and newer.

        When it was asked for is known up to how long a look at the board took; no two are asked for in a quarter of
        the reuse time.
        """
        known = flight.ahead_of
        if known is None:
            return True
        return reading.asked_at - known.asked_at > self._max_reuse / 4

    def _keep_newer(self, reading: Reading, flight: _Flight) -> None:
        """Keep a reading that is too old to be given to all, should there be no room to ask for a new one."""
        with self._lock:
            known = self._reading
            if self._flight is flight and (known is None or known.ticker.time < reading.ticker.time):
                self._reading = reading

    def _ask(self, flight: _Flight) -> tuple[Answer[Ticker], Reading]:
        asked_at = self._clock()
        answer = self._fetch()
        reading = Reading.of(answer, asked_at=asked_at, come_at=self._clock())
        if flight.ahead_of is not None:
            with self._lock:
                self._took.append(reading.took)
                self._lead = min(self._took)
        return answer, reading

    def _ask_for_all(self, board: PriceBoard, turn: Turn, flight: _Flight) -> Reading:
        pause = FAILURE_SECONDS  # nobody else asks at once what has just failed
        try:
            answer, reading = self._ask(flight)
            is_forgotten = self._flight is not flight  # then it is not for those who ask from now on
            if is_forgotten or board.post(turn, answer):
                pause = 0.0
            return reading
        except _NOTHING_SENT:
            pause = 0.0
            raise
        finally:
            board.pass_on(turn, pause)


def _taken(posted: Posted, now: float) -> Reading:
    return Reading.of(posted.answer, asked_at=now - posted.asked_ago, come_at=now - posted.posted_ago)


def _landed(flight: _Flight, seconds: float, timeout: float) -> Reading:
    try:
        failure = flight.exception(max(seconds, 0.0))
    except TimeoutError:
        failure = Unavailable(f"the ticker was not there within {timeout:g} s")
    if failure is None:
        return flight.result()
    raise copy.copy(failure)  # one error object must not be raised in several threads


def _checked(reading: Reading, max_age: float, now: float) -> tuple[Decimal, float]:
    price = reading.ticker.last_price
    if not 0 < price <= HIGHEST_PRICE:
        raise StaleData(f"the last price is not above 0 and up to {HIGHEST_PRICE}: {price:.6g}", code="price_invalid")
    is_early = reading.shown_age < -FUTURE_TOLERANCE
    age = reading.shown_age if is_early else reading.age(now)
    if is_early or age > max_age:
        raise StaleData(
            f"the last price is {age:.1f} s old by the exchange's clock, allowed are {max_age:g} s",
            code="price_stale",
            details={"ageSeconds": round(age, 3), "maxAgeSeconds": max_age},
        )
    return price, age
