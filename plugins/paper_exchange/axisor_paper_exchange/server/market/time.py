"""Market time: as fast as the market is, from an instant of the machine's clock on."""

from __future__ import annotations

from axisor_paper_exchange.server.clock import system_time
from axisor_paper_exchange.server.market.feed import Feed

__all__ = ["MarketTime"]


class MarketTime:
    """Tells what time it is on the market of a feed; milliseconds."""

    __slots__ = ("_began", "_feed", "_from")

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._from = feed.time
        self._began = system_time()

    def now(self) -> int:
        """Return the market's time; while it is paused, when it was last anything but waiting."""
        feed = self._feed
        if feed.paused:
            return feed.time
        return max(feed.time, self._from + int((system_time() - self._began) * feed.speed))

    def until(self, time: int) -> float:
        """Return in how many seconds it will be `time`, at the market's speed even while it is paused."""
        return max(0.0, float((time - self.now()) / self._feed.speed) / 1000)
