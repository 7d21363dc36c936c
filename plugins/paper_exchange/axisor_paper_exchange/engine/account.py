"""An account: its balance, the ledger that explains it, its trades by state, and its cross position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from axisor_paper_exchange.engine.funding import FundingFee
from axisor_paper_exchange.engine.history import History
from axisor_paper_exchange.engine.trade import Trade

if TYPE_CHECKING:
    from axisor_paper_exchange.engine.cross import CrossPosition

__all__ = ["Account", "EntryKind", "LedgerEntry"]

EntryKind = Literal[
    "deposit",
    "trade_placed",
    "order_canceled",
    "margin_added",
    "cashed_in",
    "trade_closed",
    "funding_received",
    "cross_deposited",
    "cross_withdrawn",
]


class LedgerEntry(NamedTuple):
    """One movement of an account's balance, in sats, at an instant in milliseconds since the epoch."""

    at: int
    kind: EntryKind
    amount: int
    trade_id: str | None


@dataclass(slots=True, eq=False)
class Account:
    """An account of the exchange; `balance` in sats never includes what trades and the cross wallet hold."""

    id: str
    username: str
    balance: int = 0
    ledger: list[LedgerEntry] = field(default_factory=list)
    trades: dict[str, Trade] = field(default_factory=dict)
    open: dict[str, Trade] = field(default_factory=dict)
    running: dict[str, Trade] = field(default_factory=dict)
    closed: History[Trade] = field(default_factory=History)
    canceled: History[Trade] = field(default_factory=History)
    paid_funding: History[FundingFee] = field(default_factory=History)
    """Funding fees of isolated trades."""
    paid_funding_of: dict[str, History[FundingFee]] = field(default_factory=dict)
    """The same by trade."""
    cross: CrossPosition = field(init=False)
    """Set when the exchange opens the account."""

    def book(self, at: int, kind: EntryKind, amount: int, trade_id: str | None = None) -> None:
        """Move the balance by `amount` sats, and write down why."""
        self.balance += amount
        self.ledger.append(LedgerEntry(at, kind, amount, trade_id))
