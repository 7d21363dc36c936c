"""One price for all: the public ticker may be asked once a second from one address, whatever the number of accounts."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from decimal import Decimal

from axisor_executor.errors import CircuitOpen, StaleData, Throttled, Unavailable
from axisor_executor.exchange.base import Answer, Ticker
from axisor_executor.exchange.failures import UNREADABLE
from axisor_executor.exchange.price_board import Posted, PriceBoard, Turn
from axisor_executor.exchange.reading import Reading
from axisor_executor.exchange.ticker_text import FUTURE_TOLERANCE

FAILURE_SECONDS = 0.5
"""How long a fetch that failed answers for those who ask next."""
POLL_SECONDS = 0.025

_NOTHING_SENT = (Throttled, CircuitOpen)


class SharedTicker:
    """The last ticker, asked for by one thread at a time; with a board, by one thread of all processes.

    Everybody else gets it from here while it is young enough, with an age that grows. No age is too low by a second
    or more (what the exchange's Date leaves open), whatever the clocks of the machines show.

    A failed fetch is told to all who waited for it and, for half a second, to those who ask next in this process. An
    older price takes its place only when the rate budget had no room for it, and only within the caller's age limit.
    """

    def __init__(
        self,
        fetch: Callable[[], Answer[Ticker]],
        max_reuse_seconds: float = 1.0,
        *,
        board: PriceBoard | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a ticker that asks ``fetch`` (any thread may call it) again ``max_reuse_seconds`` after it has come.

        Args:
            fetch: asks the exchange.
            max_reuse_seconds: how long all get the same ticker. Only who allows a lower age has it asked anew.
            board: where processes share it. Without one, and while its Redis is away, each asks for itself.
            clock: monotonic, in seconds.
            pause: waits some seconds between two looks at the board.
        """
        self._fetch = fetch
        self._max_reuse = max_reuse_seconds
        self._board = board
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._failure: tuple[Exception, float] | None = None  # and until when it is told
        self._flight: Future[Reading] | None = None

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

        Other processes keep what they know up to its end, and a fetch that is under way is not called back.
        """
        with self._lock:
            self._reading = self._failure = None
        if self._board is not None:
            self._board.clear()

    def _current(self, max_age: float, timeout: float) -> Reading:
        reading = self._reading
        if reading is not None and self._serves(reading, max_age, self._clock()):
            return reading
        until = self._clock() + timeout
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
                    own = self._flight = Future[Reading]()
            if others is None:
                return self._fly(own, max_age, until)
            reading = _landed(others, until - now, timeout)
            if not self._outlived(reading, max_age, self._clock()):
                return reading

    def _serves(self, reading: Reading, max_age: float, now: float) -> bool:
        return now - reading.come_at <= self._max_reuse and not self._outlived(reading, max_age, now)

    def _outlived(self, reading: Reading, max_age: float, now: float) -> bool:
        return reading.outlived(max_age, now, patience=self._max_reuse / 4)

    def _fly(self, flight: Future[Reading], max_age: float, until: float) -> Reading:
        """Get the ticker, for oneself and for those who wait for ``flight``."""
        reading: Reading | None = None
        failure: BaseException = Unavailable("the ticker's fetch was interrupted")
        told: tuple[Exception, float] | None = None
        try:
            reading = self._ask()[1] if self._board is None else self._from_board(self._board, max_age, until)
            return reading
        except Exception as error:
            failure = error
            told = copy.copy(error), self._clock() + FAILURE_SECONDS
            raise
        finally:
            with self._lock:
                self._reading, self._failure, self._flight = reading or self._reading, told, None
            if reading is not None:
                flight.set_result(reading)
            else:
                flight.set_exception(failure)

    def _from_board(self, board: PriceBoard, max_age: float, until: float) -> Reading:
        """Take the ticker from the board when it is young enough, else ask the exchange when it is our turn."""
        wants_turn = False
        while True:
            now = self._clock()
            look = board.look(wants_turn=wants_turn)
            if look is None:
                return self._ask()[1]
            if look.posted is not None:
                reading = _taken(look.posted, now)
                if self._serves(reading, max_age, now):
                    if look.turn is not None:
                        board.pass_on(look.turn)
                    return reading
                self._keep_newer(reading)
            if look.turn is not None:
                return self._ask_for_all(board, look.turn)
            if now >= until:
                raise Unavailable("another process has the turn to ask for the ticker, and none came in time")
            if wants_turn:
                self._pause(POLL_SECONDS)
            wants_turn = True

    def _keep_newer(self, reading: Reading) -> None:
        """Keep a reading that is too old to be given to all, should there be no room to ask for a new one."""
        with self._lock:
            if self._reading is None or self._reading.ticker.time < reading.ticker.time:
                self._reading = reading

    def _ask(self) -> tuple[Answer[Ticker], Reading]:
        asked_at = self._clock()
        answer = self._fetch()
        return answer, Reading.of(answer, asked_at=asked_at, come_at=self._clock())

    def _ask_for_all(self, board: PriceBoard, turn: Turn) -> Reading:
        pause = FAILURE_SECONDS  # nobody else asks at once what has just failed
        try:
            answer, reading = self._ask()
            if board.post(turn, answer):
                pause = 0.0
            return reading
        except _NOTHING_SENT:
            pause = 0.0
            raise
        finally:
            board.pass_on(turn, pause)


def _taken(posted: Posted, now: float) -> Reading:
    return Reading.of(posted.answer, asked_at=now - posted.asked_ago, come_at=now - posted.posted_ago)


def _landed(flight: Future[Reading], seconds: float, timeout: float) -> Reading:
    try:
        failure = flight.exception(max(seconds, 0.0))
    except TimeoutError:
        failure = Unavailable(f"the ticker was not there within {timeout:g} s")
    if failure is None:
        return flight.result()
    raise copy.copy(failure)  # one error object must not be raised in several threads


def _checked(reading: Reading, max_age: float, now: float) -> tuple[Decimal, float]:
    price = reading.ticker.last_price
    if price <= 0:
        raise StaleData(f"the last price is not positive: {price}", code="price_invalid")
    is_early = reading.shown_age < -FUTURE_TOLERANCE
    age = reading.shown_age if is_early else reading.age(now)
    if is_early or age > max_age:
        raise StaleData(
            f"the last price is {age:.1f} s old by the exchange's clock, allowed are {max_age:g} s",
            code="price_stale",
            details={"ageSeconds": round(age, 3), "maxAgeSeconds": max_age},
        )
    return price, age
