"""When the next call may leave: pure, for one caller, whose calls may come from many threads and processes.

Three rules, of which the latest time counts:

- The exchange's: no more than ``count`` calls in any ``window``, wherever it is laid.
- The lane's own: no more than ``own_count`` in a window that is shorter in proportion. It takes nothing from the
  rate, but ends bursts before the last call of a window (so that one is there for the other lane) and lets a caller
  under full load settle to even steps. On a caller that guards have used lately, calls of the lane ``default`` have to
  leave that last share free in the full window: there a guard finds room at once.
- Those who wait: one place after the other. ``default`` goes behind ``protect``, never the other way round.

A place is no token. Whoever wakes up asks again and the call counts from then on: a thread that slept too long, died,
or was overtaken by a guard or a slow-down takes nothing away and sends nothing too early.

``pace_script.py`` says the same in Lua. All times are in microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from axisor_executor.automation import Lane

SECOND = 1_000_000
JITTER = 30_000
"""By how much a window is longer than the exchange's: what the way there may differ from call to call."""
GRACE = 50_000
"""How long a place is kept for a thread that wakes up late."""
HORIZON = 5 * SECOND
"""Over what time those who are sent away are told to come back one by one."""
GUARDED = 300 * SECOND
"""How long after a call on the lane ``protect`` its share is kept free in full."""
LONGEST_SLOW_DOWN = 600 * SECOND
LONGEST_WAIT = 12 * SECOND
"""More than the window of the lowest rate that can be set: a run must be able to make its second call."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a caller may call."""

    count: int
    window: int
    own_count: int
    own_window: int
    spacing: int

    @classmethod
    def per_second(cls, rate: float) -> Pace:
        """Return the pace of ``rate`` calls a second: so many in any second or, below 1, one in a longer time."""
        count = max(1, math.floor(rate))
        window = math.ceil(count / rate * SECOND) + JITTER
        own_count = count - max(1, count // 5) if count > 1 else 1
        return cls(count, window, own_count, math.ceil(window * own_count / count), math.ceil(window / count))


class Turn(NamedTuple):
    """The answer to a caller: go (``after`` is 0), wait ``after`` and ask again with ``place``, or go away.

    ``place`` is 0 for those that must not wait; ``after`` says when to come back.
    """

    after: int
    place: int


@dataclass(slots=True)
class Calls:
    """What is known of one caller's calls: those that left, newest first, and who waits."""

    sent: list[tuple[int, Lane]] = field(default_factory=list)
    places: dict[Lane, int] = field(default_factory=lambda: {"protect": 0, "default": 0})
    told: dict[Lane, int] = field(default_factory=lambda: {"protect": 0, "default": 0})
    quiet_until: int = 0
    guarded_until: int = 0

    def ask(self, pace: Pace, lane: Lane, now: int, wait: int, place: int = 0) -> Turn:
        """Let a call go, or give it a place within ``wait``, or send it away.

        ``place`` is that of an earlier answer; what is granted has been counted.
        """
        self._put_right(now)
        if place > now + LONGEST_WAIT:
            place = 0
        if lane == "protect":
            self.guarded_until = now + GUARDED
        turn = max(self._free(pace, lane, now), place)
        if not place and self._is_held(lane, now):
            turn = max(turn, self.places[lane] + pace.spacing)
        if turn <= now:
            sent = [(now, lane), *self.sent[: pace.count - 1]]
            self.sent = [(at, other) for at, other in sent if at + pace.window > now]
            if self.places[lane] <= place:
                self.places[lane] = 0
            return Turn(0, 0)
        if turn - now <= wait:
            self.places[lane] = max(self.places[lane], turn)
            return Turn(turn - now, turn)
        self.told[lane] = self._return_at(pace, lane, now, turn)
        return Turn(self.told[lane] - now, 0)

    def slow_down(self, now: int, duration: int) -> None:
        """Let nothing go for ``duration``, or as long as was said before."""
        self._put_right(now)
        self.quiet_until = max(self.quiet_until, now + min(duration, LONGEST_SLOW_DOWN))

    def _put_right(self, now: int) -> None:
        """Keep no time that is further ahead than any can be: where the clock was set back, all would wait for it.

        What is over is forgotten, lest it be ahead again then.
        """
        for lane in self.places:
            if not now - GRACE < self.places[lane] <= now + LONGEST_WAIT:
                self.places[lane] = 0
            if not now - GRACE < self.told[lane] <= now + LONGEST_SLOW_DOWN + HORIZON:
                self.told[lane] = 0
        self.quiet_until = min(self.quiet_until, now + LONGEST_SLOW_DOWN) if self.quiet_until > now - GRACE else 0
        self.guarded_until = min(self.guarded_until, now + GUARDED)
        self.sent = [(min(at, now), lane) for at, lane in self.sent]

    def _free(self, pace: Pace, lane: Lane, now: int) -> int:
        free = max(now, self.quiet_until)
        if len(self.sent) >= pace.count:
            free = max(free, self.sent[pace.count - 1][0] + pace.window)
        own = [at for at, other in self.sent if other == lane]
        is_guarded = lane == "default" and now < self.guarded_until
        if len(own) >= pace.own_count:
            free = max(free, own[pace.own_count - 1] + (pace.window if is_guarded else pace.own_window))
        if lane == "default" and self._is_held("protect", now):
            free = max(free, self.places["protect"] + pace.spacing)
        return free

    def _is_held(self, lane: Lane, now: int) -> bool:
        return self.places[lane] > 0 and now < self.places[lane] + GRACE

    def _return_at(self, pace: Pace, lane: Lane, now: int, turn: int) -> int:
        """Return when to come back: not all at the same time, nor, where many never do, ever later."""
        told = max(turn, self.told[lane] + pace.spacing) if self.told[lane] > now else turn
        return told if told <= turn + HORIZON else turn
