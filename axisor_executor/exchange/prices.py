"""One price for all: the public ticker may be asked once a second from one address, whatever the number of accounts."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal

from axisor_executor.errors import StaleData, Unavailable
from axisor_executor.exchange.base import Answer, Ticker
from axisor_executor.exchange.failures import UNREADABLE

_FUTURE_TOLERANCE = 2.0  # Date shows whole seconds only, and the ticker's time may come from another machine


@dataclass(frozen=True, slots=True)
class _Reading:
    ticker: Ticker
    age: float  # by the exchange's clock, when it was read
    read_at: float  # by the monotonic clock, before it was asked for


class SharedTicker:
    """The last ticker, fetched by one thread at a time and shared with all that ask meanwhile.

    A failed fetch is not kept: each thread that waited for it gets the error, the next one asks again.
    """

    def __init__(
        self,
        fetch: Callable[[], Answer[Ticker]],
        max_reuse_seconds: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a ticker that asks ``fetch`` (any thread may call it) at most once in ``max_reuse_seconds``.

        ``clock`` is monotonic, in seconds.
        """
        self._fetch = fetch
        self._max_reuse = max_reuse_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._flight: Future[_Reading] | None = None

    def read(self, timeout: float = 15.0) -> tuple[Ticker, float]:
        """Return the ticker and its age in seconds: by the exchange's own clock, plus the time since it was asked for.

        Args:
            timeout: how long to wait for another thread's fetch, in seconds.

        Raises:
            Unavailable: it can't be had now, or not in time.
            Rejected: the exchange refuses it.
        """
        reading = self._current(timeout)
        return reading.ticker, reading.age + max(self._clock() - reading.read_at, 0.0)

    def fresh_price(self, max_age_seconds: float, timeout: float = 15.0) -> tuple[Decimal, float]:
        """Return the last price in USD per BTC, and its age in seconds.

        Raises:
            StaleData: code ``price_stale``, older than ``max_age_seconds`` (or from the future); or
                ``price_invalid``, missing or not above 0.
            Unavailable, Rejected: as :meth:`read`.
        """
        unreadable: Unavailable | None = None
        try:
            ticker, age = self.read(timeout)
        except Unavailable as error:
            if error.code != UNREADABLE:
                raise
            unreadable = error
        if unreadable is not None:
            raise StaleData("the exchange shows no last price", code="price_invalid", details=unreadable.details)
        if ticker.last_price <= 0:
            raise StaleData(f"the last price is not positive: {ticker.last_price}", code="price_invalid")
        if not -_FUTURE_TOLERANCE <= age <= max_age_seconds:
            raise StaleData(
                f"the last price is {age:.1f} s old by the exchange's clock, allowed are {max_age_seconds:g} s",
                code="price_stale",
                details={"ageSeconds": round(age, 3), "maxAgeSeconds": max_age_seconds},
            )
        return ticker.last_price, age

    def _current(self, timeout: float) -> _Reading:
        with self._lock:
            reading = self._reading
            if reading is not None and 0 <= self._clock() - reading.read_at <= self._max_reuse:
                return reading
            others = self._flight
            if others is None:
                own = self._flight = Future[_Reading]()
        return self._fly(own) if others is None else _landed(others, timeout)

    def _fly(self, flight: Future[_Reading]) -> _Reading:
        """Fetch, for oneself and for those who wait for ``flight``."""
        asked_at = self._clock()
        reading: _Reading | None = None
        failure: BaseException = Unavailable("the ticker's fetch was interrupted")
        try:
            answer = self._fetch()
            reading = _Reading(answer.value, (answer.server_time - answer.value.time).total_seconds(), asked_at)
            return reading
        except Exception as error:
            failure = error
            raise
        finally:
            with self._lock:
                self._reading, self._flight = reading or self._reading, None
            if reading is not None:
                flight.set_result(reading)
            else:
                flight.set_exception(failure)


def _landed(flight: Future[_Reading], timeout: float) -> _Reading:
    try:
        failure = flight.exception(timeout)
    except TimeoutError:
        failure = Unavailable(f"the ticker was not there within {timeout:g} s")
    if failure is None:
        return flight.result()
    raise copy.copy(failure)  # one error object must not be raised in several threads
