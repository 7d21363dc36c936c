"""Forget what the ledger needs no more: ended executions of long ago and their actions, bit by bit, under load.

An execution goes with its actions and its lineage, all in one transaction, or stays whole: as long as anything depends
on it (``needed``).

How far the ledger still reaches back is written down (``horizon``) before anything younger goes, in a commit of its
own: who asks for more is told so, instead of taking what has gone for what never was.

Safe beside anything else: rows are locked (those that another has locked are left for the next time), looked at under
that lock, and an execution that was made live again meanwhile is not ended any more, so not touched. Two processes
that prune at once keep rather more than either would: what the other is just deleting still counts as there. An
interrupted batch is rolled back, and what was committed before stays done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from axisor_executor.storage import horizon
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import TERMINAL
from axisor_executor.storage.horizon import LEAST_SECONDS, Ages
from axisor_executor.storage.needed import Done, Needs, actions_of, marks

ACTED_SECONDS = 366 * 86_400.0
"""How long what sent something is kept by default: a cooldown may be a year long."""
BATCH = 200
LONGEST_REST_SECONDS = 1.0
_ENDED = tuple(sorted(TERMINAL - {"uncertain"}))

_OTHERS = {
    "sessions": "axisor_sessions WHERE expires_at < ?",
    "tokens": "axisor_tokens WHERE revoked_at < ? OR expires_at < ?",
    "workers": "axisor_workers WHERE heartbeat_at < ?",
    "leases": "axisor_leases WHERE until < ?",
}
"""What else ends and stays: what it meant was over before it is forgotten. Counts are sums, and stay."""


@dataclass
class Pruned:
    """What was done so far (or would be). ``kept``: how many old enough executions stay, by reason."""

    looked_at: int = 0
    executions: int = 0
    actions: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    others: dict[str, int] = field(default_factory=dict)


def ages(
    storage: Storage,
    older_than: float,
    *,
    acted_older_than: float = ACTED_SECONDS,
    trades_older_than: float | None = None,
) -> Ages:
    """Return the instants that lie so many seconds back; none less than :data:`LEAST_SECONDS`, nor than the first."""
    now, least = storage.now(), max(older_than, LEAST_SECONDS)
    trades = None if trades_older_than is None else now - timedelta(seconds=max(trades_older_than, least))
    return Ages(now - timedelta(seconds=least), now - timedelta(seconds=max(acted_older_than, least)), trades)


def count(storage: Storage, before: datetime) -> int:
    """Return how many executions ended before an instant."""
    row = storage.one("SELECT COUNT(*) FROM axisor_executions WHERE finished_at < ?", before)
    return int(row[0]) if row else 0


def prune(
    storage: Storage,
    wanted: Ages,
    *,
    batch: int = BATCH,
    dry_run: bool = False,
    rest: Callable[[float], None] = time.sleep,
) -> Iterator[Pruned]:
    """Forget what is old enough; yield how far it is after each batch, each of them one transaction.

    Args:
        storage: the database.
        wanted: how old that is.
        batch: how many executions to look at in one transaction.
        dry_run: change nothing.
        rest: called with the seconds that the batch took, so that the runs have the database to themselves as long.
    """
    done = Pruned()
    pruning = _Pruning(storage, wanted, done, dry_run=dry_run)
    if not dry_run:
        horizon.move(storage, wanted)
    done.others = {name: _others(storage, where, wanted.before, dry_run=dry_run) for name, where in _OTHERS.items()}
    yield done
    last: tuple[Any, Any] = ("" if storage.is_sqlite else "-infinity", "")
    while rows := _ended(storage, wanted.before, last, batch):
        started = time.monotonic()
        pruning.go_through(rows)
        last = (rows[-1][2], rows[-1][0])
        yield done
        if len(rows) < batch:
            return
        rest(min(time.monotonic() - started, LONGEST_REST_SECONDS))


def _others(storage: Storage, where: str, before: datetime, *, dry_run: bool) -> int:
    instants = (before,) * where.count("?")
    if not dry_run:
        return storage.run(f"DELETE FROM {where}", *instants)  # noqa: S608
    row = storage.one(f"SELECT COUNT(*) FROM {where}", *instants)  # noqa: S608
    return int(row[0]) if row else 0


def _ended(storage: Storage, before: datetime, last: tuple[Any, Any], batch: int) -> list[tuple[Any, ...]]:
    """Return ``(id, status, finished_at)`` of the next ones that are old enough, in the order they ended."""
    return storage.rows(
        "SELECT id, status, finished_at FROM axisor_executions WHERE finished_at < ? AND finished_at >= ? "
        "AND (finished_at > ? OR id > ?) ORDER BY finished_at, id LIMIT ?",
        before,
        last[0],
        *last,
        batch,
    )


class _Pruning:
    def __init__(self, storage: Storage, wanted: Ages, done: Pruned, *, dry_run: bool) -> None:
        self.storage = storage
        self.wanted = wanted
        self.done = done
        self.dry_run = dry_run
        self.going: set[str] = set()  # with actions; in a dry run those of earlier batches, too: they are still there

    def go_through(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Forget of one batch what can be forgotten; the order is kept: an entry goes before its trade's close."""
        ids = [row[0] for row in rows if row[1] in _ENDED]
        kept = Counter("uncertain" for row in rows if row[1] == "uncertain")
        if self.dry_run:
            gone = self._judge(ids, set(ids), kept)
            actions = sum(len(found) for found in gone.values())
        else:
            with self.storage.write():
                gone = self._judge(ids, self._lock(ids), kept)
                actions = self._delete(gone)
            self.going.clear()
        self.done.looked_at += len(rows)
        self.done.executions += len(gone)
        self.done.actions += actions
        self.done.kept += kept

    def _lock(self, ids: Sequence[str]) -> set[str]:
        """Lock those that are ended still; one that another process has locked is not waited for."""
        if not ids:
            return set()
        skip = "" if self.storage.is_sqlite else "FOR UPDATE SKIP LOCKED"
        rows = self.storage.rows(
            f"SELECT id FROM axisor_executions WHERE id IN ({marks(ids)}) AND status IN ({marks(_ENDED)}) "  # noqa: S608
            f"AND finished_at < ? ORDER BY id {skip}",
            *ids,
            *_ENDED,
            self.wanted.before,
        )
        return {row[0] for row in rows}

    def _judge(self, ids: Sequence[str], held: set[str], kept: Counter[str]) -> dict[str, list[Done]]:
        """Return what goes, each with its actions; count the rest by reason."""
        actions, needs = actions_of(self.storage, ids), Needs(self.storage, self.wanted, self.going)
        gone: dict[str, list[Done]] = {}
        for one in ids:
            found = actions.get(one, [])
            reason = "in_use" if one not in held else needs.reason(found)
            if reason is not None:
                kept[reason] += 1
                continue
            gone[one] = found
            if found:
                self.going.add(one)
        return gone

    def _delete(self, gone: dict[str, list[Done]]) -> int:
        if not gone:
            return 0
        for found in gone.values():
            for one in found:
                if one.replaces is not None:
                    self.storage.run(
                        "DELETE FROM axisor_trade_lineage WHERE account_id = ? AND old_id = ? AND execution_id = ?",
                        one.account_id,
                        one.replaces,
                        one.execution_id,
                    )
        ids = tuple(gone)
        deleted = self.storage.run(f"DELETE FROM axisor_actions WHERE execution_id IN ({marks(ids)})", *ids)  # noqa: S608
        self.storage.run(f"DELETE FROM axisor_executions WHERE id IN ({marks(ids)})", *ids)  # noqa: S608
        return deleted
