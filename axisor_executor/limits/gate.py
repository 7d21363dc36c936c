"""What stands before every call to an exchange: the breakers first, then the rate budget."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, cast

from axisor_executor.automation import Lane
from axisor_executor.errors import AxisorError, CircuitOpen, OutcomeUnknown, Rejected, Throttled, Unavailable
from axisor_executor.exchange.base import ExchangeClient
from axisor_executor.exchange.observed import observed
from axisor_executor.limits.breaker import AccountRef, Breakers
from axisor_executor.limits.budget import Budget
from axisor_executor.observe import metrics

TOO_MANY_REQUESTS = 429
SLOW_DOWN_SECONDS = 1.0
"""How long all who share a caller's budget wait after a 429 that does not say how long."""

PUBLIC = frozenset({"ticker"})
CHANGING = frozenset(
    {
        "open_trade",
        "close_trade",
        "cancel_trade",
        "add_margin",
        "cash_in",
        "set_takeprofit",
        "set_stoploss",
        "open_cross_order",
        "close_cross_position",
    }
)
READING = frozenset(
    {
        "account",
        "running_trades",
        "open_trades",
        "closed_trades",
        "canceled_trades",
        "cross_position",
        "cross_open_orders",
        "cross_filled_orders",
    }
)


class Gate:
    """The gate of one run's account on one exchange, or, without an account, of all public calls.

    Args:
        budget: the rates of all callers.
        breakers: of all exchanges and accounts.
        exchange: slug and host, which is what can be away.
        account: whose keys sign; ``None`` for public calls.
        lane: of the run that calls.
    """

    def __init__(
        self, budget: Budget, breakers: Breakers, *, exchange: str, account: AccountRef | None, lane: Lane
    ) -> None:
        self._budget = budget
        self._breakers = breakers
        self.exchange = exchange
        self._slug = exchange.partition("@")[0]
        self._account = account
        self._lane: Lane = lane
        self._caller = f"public:{exchange}" if account is None else f"key:{exchange}:{account.fingerprint}"
        self._has_called = False
        self._failed: tuple[str, object] | None = None

    def enter(self, *, mutating: bool = False) -> None:
        """Wait shortly for the turn of one call.

        Raises:
            CircuitOpen: the exchange is away, or refuses this account's keys.
            Throttled: the rate budget has no room soon enough.
        """
        try:
            self._breakers.check(self.exchange, self._account, self._lane, mutating=mutating)
        except CircuitOpen:
            metrics.held_back.add(self._slug, self._lane, "circuit")
            raise
        try:
            self._budget.take(self._caller, lane=self._lane, goes_on=self._has_called)
        except Throttled:
            metrics.held_back.add(self._slug, self._lane, "rate")
            self.withdraw(mutating=mutating)
            raise
        self._has_called = self._account is not None  # the gate of public calls is no run's

    def count(self, call: str, seconds: float, failure: BaseException | None) -> None:
        """Count a call that took so long, for the metrics."""
        metrics.requests.add(self._slug, call, _outcome(failure))
        metrics.request_seconds.observe(seconds, self._slug, call)

    def withdraw(self, *, mutating: bool = False) -> None:
        """Hear that the call that entered last was not made, or that its end says nothing."""
        self._breakers.withdraw(self.exchange, self._account, mutating=mutating)

    def leave(self, failure: AxisorError | None, *, mutating: bool = False) -> None:
        """Hear how a call ended: with an answer, or with ``failure``.

        Of reads of one run that fail in a row, and alike, the first counts: it reads two things at once, and is not
        refused twice. Every other failure says something of its own: what changes something asks for each anew, and
        while a circuit is open it may be a probe's.
        """
        if isinstance(failure, Unavailable):
            too_many = failure.details.get("httpStatus") == TOO_MANY_REQUESTS
            wait = failure.retry_after or (SLOW_DOWN_SECONDS if too_many else 0.0)
            if wait > 0:
                self._budget.slow_down(self._caller, wait)
        failed = None if failure is None or mutating or self._account is None else _kind(failure)
        before, self._failed = self._failed, failed
        if failed is None or failed != before or self._breakers.has_open:
            self._breakers.report(self.exchange, self._account, mutating=mutating, failure=failure)


def gated(client: ExchangeClient, gate: Gate) -> ExchangeClient:
    """Return ``client`` behind ``gate``.

    Reads enter it by themselves. What changes something only leaves through it: the sender enters before it chooses
    the timestamp, so that no signed request ever waits.
    """
    return cast(ExchangeClient, _Gated(client, gate))


class _Gated:
    def __init__(self, client: ExchangeClient, gate: Gate) -> None:
        self._client = client
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name in CHANGING:
            return functools.partial(self._change, name, found)
        if name in READING or name in PUBLIC:
            return functools.partial(self._read, name, found)
        return found

    def _read(self, name: str, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        self._gate.enter()
        return self._heard(name, call, given, named, mutating=False)

    def _change(self, name: str, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        return self._heard(name, call, given, named, mutating=True)

    def _heard(self, name: str, call: Callable[..., Any], given: Any, named: Any, *, mutating: bool) -> Any:
        began = time.perf_counter()
        try:
            answer = observed(self._gate.exchange, call, given, named)
        except BaseException as error:
            self._gate.count(name, time.perf_counter() - began, error)
            if isinstance(error, AxisorError):
                self._gate.leave(error, mutating=mutating)
            else:
                self._gate.withdraw(mutating=mutating)
            raise
        self._gate.count(name, time.perf_counter() - began, None)
        self._gate.leave(None, mutating=mutating)
        return answer


def _kind(failure: AxisorError) -> tuple[str, object]:
    """Return what makes two failures alike."""
    return failure.code, failure.details.get("httpStatus")


def _outcome(failure: BaseException | None) -> str:
    """Return how a call ended, for the metrics; ``error`` is a mistake on this side."""
    match failure:
        case None:
            return "ok"
        case Rejected():
            return "rejected"
        case OutcomeUnknown():
            return "unknown"
        case Unavailable():
            return "unavailable"
    return "error"
