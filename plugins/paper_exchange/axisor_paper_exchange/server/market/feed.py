"""Where a market is on its way: which step comes next, and when funding is due.

Market time runs `speed` times as fast as the clock, and stands still while the market is paused. It says when steps and
settlements are due, nothing else: what happens is stamped with the exchange's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from axisor_paper_exchange.engine.funding import FUNDING_PERIOD
from axisor_paper_exchange.server.market.sources import Replay, Source

__all__ = ["Due", "Feed"]


class Due(NamedTuple):
    """What comes next, at an instant of market time."""

    time: int
    what: Literal["step", "funding"]


@dataclass(slots=True)
class Feed:
    """A source and the position in it; instants are milliseconds of market time."""

    source: Source
    speed: Decimal
    paused: bool
    time: int
    """When the last step or settlement was, or where time stood when the feed was changed."""
    due: int | None
    """When the next step is."""
    funding: int
    """When funding is due next: at the multiples of eight hours since the epoch."""
    position: int = 0

    @classmethod
    def starting(cls, source: Source, now: int, *, speed: Decimal = Decimal(1), paused: bool = False) -> Feed:
        """Return a source at its first step: candles begin at their own time, everything else at `now`."""
        time = source.rows[0].time if isinstance(source, Replay) else now
        return cls(source, speed, paused, time, source.due(0, time), _funding_after(time))

    def next(self) -> Due:
        """Return what comes next; a step goes before a settlement at the same time, which is at its price."""
        if self.due is not None and self.due <= self.funding:
            return Due(self.due, "step")
        return Due(self.funding, "funding")

    def stepped(self, time: int) -> None:
        """Go on to the step after the one that was at `time`."""
        self.time = max(time, self.time)
        self.position += 1
        self.due = self.source.due(self.position, time)

    def settled(self) -> None:
        """Go on to the settlement after the one that was due."""
        self.time = max(self.funding, self.time)
        self.funding += FUNDING_PERIOD

    def wait_until(self, time: int) -> None:
        """Let time pass in which nothing happens: up to `time`, at most to what is next."""
        self.time = max(self.time, min(time, self.next().time - 1))

    def woken(self, now: int) -> None:
        """Go on after the server was away: prices that have a time of their own where they were, others at `now`.

        Nothing is made up for: no step, and no funding, for the time without a server.
        """
        if isinstance(self.source, Replay) or now <= self.time:
            return
        self.time, self.funding = now, max(self.funding, _funding_after(now))
        if self.due is not None:
            self.due = self.source.due(self.position, now)


def _funding_after(time: int) -> int:
    return (time // FUNDING_PERIOD + 1) * FUNDING_PERIOD
