"""What the tests of breakers share: a clock that they move, and calls that end as they are told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axisor_executor.automation import Lane
from axisor_executor.errors import CircuitOpen, OutcomeUnknown, Rejected, Unavailable
from axisor_executor.limits.breaker import AccountRef, Breakers
from axisor_executor.observe.alerts import Alert
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared

NOWHERE = "redis://127.0.0.1:1/0"
EXCHANGE = "lnmarkets@api.test"
MAIN = AccountRef("acc456", "Main Account", "f1", "d1", "user123")
OTHER = AccountRef("acc789", "Other Account", "f2", "d2", "user456")

AWAY = Unavailable("lnmarkets ticker: the exchange can't be reached (ConnectionError)")
UNAUTHORIZED = Rejected("rejected (HTTP 401)", code="exchange_unauthorized", status=401)
FORBIDDEN = Rejected("rejected (HTTP 403)", code="exchange_forbidden", status=403)
LOST = OutcomeUnknown("sent, outcome unknown: no complete answer (ReadTimeout)")


@dataclass
class Clock:
    """Seconds that pass when told to."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Scene:
    """The breakers of one process."""

    url: str = NOWHERE
    prefix: str = "test"
    limits: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.alerts: list[Alert] = []
        self.shared = Shared(self.url, self.prefix, clock=self.clock)
        self.breakers = Breakers(
            self.shared, Settings(**self.limits), self.alerts.append, clock=self.clock, now=self.clock
        )

    def passes(self, account: AccountRef | None = MAIN, lane: Lane = "default", *, mutating: bool = False) -> bool:
        """Ask for a call, and say whether it would go through."""
        try:
            self.breakers.check(EXCHANGE, account, lane, mutating=mutating)
        except CircuitOpen:
            return False
        return True

    def call(
        self,
        failure: BaseException | None = None,
        account: AccountRef | None = MAIN,
        lane: Lane = "default",
        *,
        mutating: bool = False,
    ) -> bool:
        """Make a call that ends so, if it goes through."""
        if not self.passes(account, lane, mutating=mutating):
            return False
        self.breakers.report(EXCHANGE, account, mutating=mutating, failure=failure)
        return True

    def take_exchange_away(self) -> None:
        """Let calls of two accounts fail until the breaker opens."""
        for number in range(5):
            assert self.call(AWAY, (MAIN, OTHER)[number % 2])

    def refuse(self, account: AccountRef = MAIN, failure: Rejected = UNAUTHORIZED, *, mutating: bool = False) -> None:
        """Let the exchange refuse the keys until the breaker opens."""
        for _ in range(2):
            assert self.call(failure, account, mutating=mutating)

    def open_names(self) -> list[tuple[str, bool]]:
        """Return subject and whether only changes are held back, of the circuits that are open."""
        return [(state.subject, state.changes_only) for state in self.breakers.states()]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.time += seconds

    def held_back(
        self, account: AccountRef | None = MAIN, lane: Lane = "default", *, mutating: bool = False
    ) -> CircuitOpen:
        """Return the error with which a call is held back."""
        try:
            self.breakers.check(EXCHANGE, account, lane, mutating=mutating)
        except CircuitOpen as error:
            return error
        raise AssertionError("it went through")
