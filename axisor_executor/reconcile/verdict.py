"""What is concluded from what the exchange shows, and when "no effect" proves something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from axisor_executor.exchange.base import CrossOrder, CrossPosition, Trade

CLOCK_TOLERANCE = timedelta(seconds=6)
"""How far our clock, which signs, may be ahead of the exchange's, which says when something was closed or filled."""

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
    """What the exchange shows: its clock, and what the action was about.

    Of an isolated trade: the target in whatever state, and every trade with our client id. Of the cross position: the
    position, and its orders that are open or were filled since the request was signed.

    ``complete`` is false where a list was too long to be searched to the end.
    """

    server_time: datetime
    trade: Trade | None = None
    matches: tuple[Trade, ...] = ()
    position: CrossPosition | None = None
    orders: tuple[CrossOrder, ...] = ()
    complete: bool = True


def request_is_dead(timestamp_ms: int, server_time: datetime, *, window: float, margin: float) -> bool:
    """Return whether a request signed with ``timestamp_ms`` can't be accepted any more (seconds for both limits)."""
    signed = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return server_time > signed + timedelta(seconds=window + margin)


def nothing_yet(dead: bool, seen: Observation, why: str) -> Verdict:
    """No effect is visible: that proves something only once the request is dead and everything was searched."""
    shows = seen.trade or seen.position
    if not dead:
        return Verdict("unknown", f"{why}; the request may still be accepted", shows)
    if not seen.complete:
        return Verdict("uncertain", f"{why}, but not everything could be searched", shows)
    return Verdict("not_executed", f"{why}, and the request has expired", shows)
