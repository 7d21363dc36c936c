"""What breakers are about and what opens one: plain rules, without Redis and without a clock of their own.

A call passes up to four circuits: its exchange's, its account's, and of each a second one which only calls that change
something pass. So an exchange whose trading engine is away, or a key without the right to trade, holds back what
can't succeed, and reads that succeed all the while say nothing about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from axisor_executor.automation import Lane
from axisor_executor.errors import OutcomeUnknown, Rejected, Unavailable

Kind = Literal["exchange", "account", "plugin"]

FORBIDDEN = "exchange_forbidden"
REFUSED = frozenset({"exchange_unauthorized", FORBIDDEN})
_AWAY = frozenset({Unavailable.default_code, OutcomeUnknown.default_code})

DAY = 86_400.0
MEMORY_SECONDS: dict[Kind, float] = {"exchange": 60.0, "account": DAY, "plugin": 300.0}
"""A failure that is older than this when the next one comes does not count with it any more."""
ALONE_FACTOR = 3
"""How many times as many failures it takes when all are one account's, or one automation's: its own trouble, maybe."""
GUARD_FACTOR = 5
"""How many times as often the lane ``protect`` may probe."""


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Whose keys sign.

    ``fingerprint`` recognises the API key, whose calls the exchange counts; ``digest`` all of the credentials: changed
    ones start afresh, also where only a passphrase was mistyped.
    """

    id: str
    name: str
    fingerprint: str
    digest: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class PluginRef:
    """Whose code decides, and for which automation: another ``version`` of a ``distribution`` starts afresh."""

    distribution: str
    version: str
    automation_id: str

    @property
    def circuit(self) -> Circuit:
        """What all of the distribution's automations pass."""
        return Circuit("plugin", self.distribution)


class Circuit(NamedTuple):
    """One circuit. ``subject``: the exchange (slug and host), the account's id, or the plugin's distribution."""

    kind: Kind
    subject: str
    changes_only: bool = False

    @property
    def name(self) -> str:
        """Its name in Redis."""
        return f"{self.kind}:{self.subject}{':changes' if self.changes_only else ''}"


def passed(exchange: str, account: AccountRef | None, *, mutating: bool) -> Iterator[Circuit]:
    """Return the circuits that a call passes, the widest first."""
    yield Circuit("exchange", exchange)
    if mutating:
        yield Circuit("exchange", exchange, changes_only=True)
    if account is not None:
        yield Circuit("account", account.id)
        if mutating:
            yield Circuit("account", account.id, changes_only=True)


def caller_of(circuit: Circuit, account: AccountRef | None) -> str:
    """Return who counts as one in a streak."""
    if account is None:
        return "public"
    return account.id if circuit.kind == "exchange" else account.digest


def verdict(circuit: Circuit, failure: BaseException | None, *, mutating: bool) -> bool | None:
    """Return what the end of a call says of a circuit: good, bad, or nothing (``None``)."""
    if circuit.kind == "exchange":
        return _answered(failure)
    refused = isinstance(failure, Rejected) and failure.code in REFUSED
    if refused and mutating:
        return False if circuit.changes_only else None
    if refused:
        return False
    if failure is None:
        return True
    # A request that is refused for what it asks may have been looked at before the key's rights were.
    return True if isinstance(failure, Rejected) and not circuit.changes_only else None


def _answered(failure: BaseException | None) -> bool | None:
    """Whether the exchange is there: any clear answer proves it, also 429 and one that can't be read."""
    if failure is None or isinstance(failure, Rejected):
        return True
    if not isinstance(failure, (Unavailable, OutcomeUnknown)):
        return None
    status = failure.details.get("httpStatus")
    if isinstance(status, int) and (status == 429 or 200 <= status < 300):
        return True
    return False if failure.code in _AWAY else None  # the others are our own: no call was made


class Streak:
    """Failures in a row, in this process, of those who pass a circuit.

    Args:
        kind: of the circuit. An exchange's takes failures of several callers, a plugin's of several automations, or
            :data:`ALONE_FACTOR` times as many; an account's has one caller, and another one (changed credentials)
            starts afresh.
        limit: how many open it.
        memory: seconds after which a failure does not count with the next one any more.
    """

    def __init__(self, kind: Kind, limit: int, memory: float | None = None) -> None:
        self._limit = limit
        self._memory = MEMORY_SECONDS[kind] if memory is None else memory
        self._needs_company = kind != "account"
        self._count = 0
        self._callers: set[str] = set()
        self._last = 0.0

    def add(self, caller: str, now: float) -> bool:
        """Count one more, at ``now`` (seconds); return whether it opens the circuit."""
        if now - self._last > self._memory or not (self._needs_company or caller in self._callers):
            self._count = 0
            self._callers.clear()
        self._count += 1
        self._callers.add(caller)
        self._last = now
        alone = self._needs_company and len(self._callers) == 1
        return self._count >= self._limit * (ALONE_FACTOR if alone else 1)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a circuit stays open before a probe: ``first`` seconds, doubling with each failed one to ``limit``."""

    first: float
    limit: float

    def wait(self, failed_probes: int, lane: Lane) -> float:
        """Return the seconds until the next probe of a lane."""
        seconds = min(self.first * 2.0 ** min(failed_probes, 64), self.limit)
        return seconds / GUARD_FACTOR if lane == "protect" else seconds
