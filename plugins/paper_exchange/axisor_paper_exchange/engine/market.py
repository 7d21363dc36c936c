"""The market: a last price and the prices around it that orders are filled at."""

from __future__ import annotations

from axisor_paper_exchange.engine.arithmetic import LONG, MAX_PRICE

__all__ = ["Market"]


class Market:
    """The last price and the spread between bid and ask, in ticks."""

    __slots__ = ("last", "spread")

    def __init__(self, last: int, spread: int = 0) -> None:
        self.last = last
        self.spread = spread

    @property
    def bid(self) -> int:
        """What a seller gets."""
        return max(1, self.last - self.spread // 2)

    @property
    def ask(self) -> int:
        """What a buyer pays."""
        return min(MAX_PRICE, self.bid + self.spread)

    def entry(self, side: int) -> int:
        """Return the price that a market order of this side opens at."""
        return self.ask if side == LONG else self.bid

    def exit(self, side: int) -> int:
        """Return the price that a trade of this side closes at."""
        return self.bid if side == LONG else self.ask
