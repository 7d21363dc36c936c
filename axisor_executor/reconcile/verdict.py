"""What is concluded from what the exchange shows, and when "no effect" proves something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from axisor_executor.exchange.base import CrossOrder, CrossPosition, Trade

_RESOLUTION = 1.0  # seconds; the Date header by which our clock is compared with the exchange's shows whole ones

Outcome = Literal["executed", "not_executed", "superseded", "unknown", "uncertain"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, why in one sentence, and the trade, cross order or cross position that shows it.

    ``unknown`` means look again later; ``uncertain`` means that looking again can't help.
    """

    outcome: Outcome
    reason: str
    evidence: Trade | CrossOrder | CrossPosition | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What the exchange shows, and of which instant by its clock the oldest of that is (``server_time``).

    Of an isolated trade: the target in whatever state, every trade with our client id (``matches``), and those that
    show none (``nameless``). Of the cross position: the position, and its orders that are open or were filled since
    the request was signed.

    ``complete`` is false where a list was too long to be searched to the end.
    """

    server_time: datetime
    trade: Trade | None = None
    matches: tuple[Trade, ...] = ()
    nameless: tuple[Trade, ...] = ()
    position: CrossPosition | None = None
    orders: tuple[CrossOrder, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request, and when it can have had its effect by the exchange's clock.

    ``timestamp_ms`` is what it was signed with, milliseconds since the epoch by our clock. The rest are seconds:
    ``window`` is how long the exchange accepts it, ``margin`` how much later it has acted on it at the latest, and
    ``max_skew`` how far our clock was off at most.
    """

    timestamp_ms: int
    window: float
    margin: float
    max_skew: float

    @property
    def signed_at(self) -> datetime:
        """The instant that was signed."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def tolerance(self) -> timedelta:
        """How far our clock, which signs, may be off the exchange's, which says when it closed or filled something."""
        return timedelta(seconds=self.max_skew + _RESOLUTION)

    def is_early(self, at: datetime) -> bool:
        """Return whether it can't have had an effect yet at an instant: the exchange would have refused it then."""
        return at < self.signed_at - max(timedelta(seconds=self.window), self.tolerance)

    @property
    def lives_until(self) -> datetime:
        """The last instant at which it can have its effect."""
        return self.signed_at + timedelta(seconds=self.window + self.margin)

    def is_dead(self, at: datetime) -> bool:
        """Return whether it can't have an effect any more at an instant."""
        return at > self.lives_until


def nothing_yet(dead: bool, seen: Observation, why: str) -> Verdict:
    """No effect is visible: that proves something only once the request is dead and everything was searched."""
    shows = seen.trade or seen.position
    if not dead:
        return Verdict("unknown", f"{why}; the request may still be accepted", shows)
    if not seen.complete:
        return Verdict("uncertain", f"{why}, but not everything could be searched", shows)
    return Verdict("not_executed", f"{why}, and the request has expired", shows)
