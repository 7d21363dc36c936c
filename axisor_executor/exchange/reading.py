"""A ticker that has come, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from axisor_executor.exchange.base import Answer, Ticker


@dataclass(frozen=True, slots=True)
class Reading:
    """A ticker that came at ``come_at``, here or on the board; instants are seconds of this process' monotonic clock.

    ``shown_age`` are the seconds between the ticker and the exchange's answer, by the exchange's clock; below 0: from
    the future. The ticker was made at ``made_at`` or later, but for the part of a second that the exchange's Date
    doesn't show.
    """

    ticker: Ticker
    shown_age: float
    made_at: float
    come_at: float

    @classmethod
    def of(cls, answer: Answer[Ticker], *, asked_at: float, come_at: float) -> Self:
        """Return the reading of an answer that was asked for at ``asked_at`` or later."""
        shown_age = (answer.server_time - answer.value.time).total_seconds()
        return cls(answer.value, shown_age, asked_at - max(shown_age, 0.0), come_at)

    @property
    def asked_at(self) -> float:
        """When it was asked for, or somewhat earlier."""
        return self.made_at + max(self.shown_age, 0.0)

    @property
    def took(self) -> float:
        """The seconds from when it was asked for until it came."""
        return self.come_at - self.asked_at

    def age(self, now: float) -> float:
        """Return the ticker's age in seconds."""
        return now - self.made_at

    def outlived(self, max_age: float, now: float, *, patience: float) -> bool:
        """Whether it was young enough when it came and no longer is, so that asking again may help.

        In its first ``patience`` seconds it never counts as outlived: else, where the exchange itself shows an age
        near the limit, each fetch would bring on the next.
        """
        return self.age(now) > max_age >= self.age(self.come_at) and now - self.come_at >= patience
