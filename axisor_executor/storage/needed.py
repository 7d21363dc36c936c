"""Why the ledger still needs an execution that is over, however old it is.

An execution stays, with its actions and its lineage, as long as anything that a run may yet ask the ledger for depends
on it:

- what nobody knows the outcome of, and a close of the same trade;
- whatever sent something, for a time of its own, a year by default: so far back a cooldown may look, and handlers ask
  for their automation's entries. (The daily cap looks back 24 hours; nothing younger ever goes.)
- an entry, until the ledger shows its trade closed: by its actions ``own_trades``, and so ``max_open_trades``, know
  an automation's trades. The trade is the one at the end of the lineage, so a reduce stays with its remainder, too;
- a close or cancel, until the entry that it ends has gone: it is the proof that the entry may go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axisor_executor.automation import CancelOrder, ClosePosition, OpenPosition
from axisor_executor.storage import lineage
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.horizon import Ages
from axisor_executor.storage.values import document, maybe_instant

REASONS = {
    "uncertain": "uncertain, until a person resolves them",
    "unsettled": "with, or beside, an action whose outcome is not known",
    "acted_lately": "too young for executions that sent something, or settled since",
    "trade_open": "entries whose trade the ledger does not show closed",
    "closes_entry": "closes of entries that are kept",
    "in_use": "in use by another process",
}
"""Why an execution that is old enough is kept."""

_ENDS_A_TRADE = (ClosePosition.__name__, CancelOrder.__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What matters here of an action."""

    execution_id: str
    kind: str
    status: str
    account_id: str
    trade_id: str | None
    new_trade_id: str | None
    replaces: str | None
    sent_at: datetime | None
    settled_at: datetime | None


def _done(row: tuple[Any, ...]) -> Done:
    execution_id, kind, status, account_id, trade_id, new_trade_id, params, sent_at, settled_at = row
    replaces = document(params).get("replaces")
    instants = maybe_instant(sent_at), maybe_instant(settled_at)
    return Done(execution_id, kind, status, account_id, trade_id, new_trade_id, replaces, *instants)


def actions_of(storage: Storage, ids: Sequence[str]) -> dict[str, list[Done]]:
    """Return the actions of executions, by execution; one without any is not in it."""
    found: dict[str, list[Done]] = {}
    if not ids:
        return found
    rows = storage.rows(
        "SELECT execution_id, kind, status, account_id, trade_id, new_trade_id, params, sent_at, "  # noqa: S608
        f"settled_at FROM axisor_actions WHERE execution_id IN ({marks(ids)}) ORDER BY execution_id, seq",
        *ids,
    )
    for row in rows:
        found.setdefault(row[0], []).append(_done(row))
    return found


@dataclass(frozen=True, slots=True)
class Needs:
    """Tells what is needed. ``going``: executions that are about to go, whose entries count as gone already."""

    storage: Storage
    wanted: Ages
    going: Collection[str]

    def reason(self, actions: Sequence[Done]) -> str | None:
        """Return why an execution with these actions is needed, ``None`` where it is not."""
        if any(one.status in ("sending", "unknown") for one in actions):
            return "unsettled"
        if any(self._is_young(one) for one in actions):
            return "acted_lately"
        happened = [one for one in actions if one.sent_at and one.status in ("confirmed", "superseded")]
        if any(one.kind == OpenPosition.__name__ and not self._is_over(one) for one in happened):
            return "trade_open"
        proofs = (self._is_proof(one) for one in happened if one.kind in _ENDS_A_TRADE)
        return next((reason for reason in proofs if reason is not None), None)

    def _is_young(self, one: Done) -> bool:
        limit = self.wanted.before if one.sent_at is None else self.wanted.acted_before
        return any(at is not None and at >= limit for at in (one.sent_at, one.settled_at))

    def _is_over(self, entry: Done) -> bool:
        """Return whether an entry's trade, or what it has become, is shown closed for good, or old enough to be."""
        if entry.new_trade_id is None:
            return self._is_old(entry.settled_at)
        trade_id = lineage.current_id(self.storage, entry.account_id, entry.new_trade_id)
        return self._is_closed(entry.account_id, trade_id) or self._is_old(self._opened_at(entry.account_id, trade_id))

    def _is_closed(self, account_id: str, trade_id: str) -> bool:
        """Only a completed execution proves it: of any other a person may yet have the remainder reopened."""
        return (
            self.storage.one(
                "SELECT 1 FROM axisor_actions a JOIN axisor_executions e ON e.id = a.execution_id "  # noqa: S608
                f"WHERE a.trade_id = ? AND a.account_id = ? AND a.kind IN ({marks(_ENDS_A_TRADE)}) "
                "AND a.status = 'confirmed' AND e.status = 'completed'",
                trade_id,
                account_id,
                *_ENDS_A_TRADE,
            )
            is not None
        )

    def _opened_at(self, account_id: str, trade_id: str) -> datetime | None:
        row = self.storage.one(
            "SELECT MAX(settled_at) FROM axisor_actions WHERE new_trade_id = ? AND account_id = ?", trade_id, account_id
        )
        return maybe_instant(row[0]) if row else None

    def _is_old(self, opened_at: datetime | None) -> bool:
        limit = self.wanted.trades_before
        return limit is not None and opened_at is not None and opened_at < limit

    def _is_proof(self, close: Done) -> str | None:
        entries = self.storage.rows(
            "SELECT execution_id FROM axisor_actions WHERE new_trade_id = ? AND account_id = ?",
            close.trade_id,
            close.account_id,
        )
        if any(row[0] not in self.going for row in entries):
            return "closes_entry"
        unsettled = self.storage.one(
            "SELECT 1 FROM axisor_actions WHERE trade_id = ? AND account_id = ? AND status IN ('sending', 'unknown')",
            close.trade_id,
            close.account_id,
        )
        return None if unsettled is None else "unsettled"


def marks(values: Sequence[Any]) -> str:
    """Return so many question marks."""
    return ",".join("?" * len(values))
