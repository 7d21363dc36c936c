"""An account: its balance, the ledger that explains it, and its trades by state."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from axisor_paper_exchange.engine.trade import Trade

__all__ = ["Account", "EntryKind", "History", "LedgerEntry"]

EntryKind = Literal["deposit", "trade_placed", "order_canceled", "margin_added", "cashed_in", "trade_closed"]


class LedgerEntry(NamedTuple):
    """One movement of an account's balance, in sats, at an instant in milliseconds since the epoch."""

    at: int
    kind: EntryKind
    amount: int
    trade_id: str | None


class History:
    """Finished trades in the order of their end, readable in pages from the newest to the oldest."""

    def __init__(self) -> None:
        self._ended: list[tuple[int, int, Trade]] = []

    def __len__(self) -> int:
        return len(self._ended)

    def add(self, at: int, number: int, trade: Trade) -> None:
        """Append a trade that ended at `at` (milliseconds); `number` breaks ties and is unique."""
        insort(self._ended, (at, number, trade))

    def page(
        self, *, since: int | None, until: int | None, before: tuple[int, int] | None, limit: int
    ) -> tuple[list[Trade], tuple[int, int] | None]:
        """Return up to `limit` trades, newest first, and where the next page begins (None at the end).

        `since` and `until` are milliseconds, both inclusive; `before` is what an earlier call returned.
        """
        low = 0 if since is None else bisect_left(self._ended, (since,))
        high = len(self._ended) if until is None else bisect_left(self._ended, (until + 1,))
        if before is not None:
            high = min(high, bisect_left(self._ended, before))
        first = max(low, high - limit)
        rows = self._ended[first:high][::-1]
        following = (rows[-1][0], rows[-1][1]) if rows and first > low else None
        return [trade for _, _, trade in rows], following


@dataclass(slots=True, eq=False)
class Account:
    """An account of the exchange; `balance` in sats never includes what trades hold."""

    id: str
    username: str
    balance: int = 0
    ledger: list[LedgerEntry] = field(default_factory=list)
    trades: dict[str, Trade] = field(default_factory=dict)
    open: dict[str, Trade] = field(default_factory=dict)
    running: dict[str, Trade] = field(default_factory=dict)
    closed: History = field(default_factory=History)
    canceled: History = field(default_factory=History)

    def book(self, at: int, kind: EntryKind, amount: int, trade_id: str | None = None) -> None:
        """Move the balance by `amount` sats, and write down why."""
        self.balance += amount
        self.ledger.append(LedgerEntry(at, kind, amount, trade_id))
