"""How far back the ledger reaches since it was pruned: what is asked for from before, nobody knows any more.

A message that is delivered again finds its execution by its id, so one of before the horizon that is not in the ledger
is not new (:func:`may_be_forgotten`). A cooldown or a budget that looks further back than what sent something is kept
would count too little (:func:`check`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from axisor_executor.errors import Refused
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import instant

LEAST_SECONDS = 86_400.0
"""Nothing younger is ever forgotten: the daily cap looks so far back, and a redelivery is over long before."""
_CLOCKS_SECONDS = 3600.0  # a producer's clock may be ahead of the database's
_FIRST_YEAR = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ages:
    """Instants by the database's clock, from :func:`axisor_executor.storage.pruning.ages`.

    Attributes:
        before: executions that ended before it are looked at, and go if they sent nothing.
        acted_before: those that sent something before it go, too, where nothing depends on them.
        trades_before: trades opened before it, and not replaced since, count as closed, also where the ledger does
            not show it: ``own_trades`` then does not know them any more. ``None``: none does.
    """

    before: datetime
    acted_before: datetime
    trades_before: datetime | None = None


def move(storage: Storage, wanted: Ages) -> None:
    """Write down, for good, that the ledger reaches no further back than this; it never moves back itself."""
    with storage.write(durable=True):
        storage.run(
            "INSERT INTO axisor_horizon (id, ended, acted) VALUES (1,?,?) ON CONFLICT DO NOTHING", *_both(wanted)
        )
        for column, before in zip(("ended", "acted"), _both(wanted), strict=True):
            storage.run(f"UPDATE axisor_horizon SET {column} = ? WHERE {column} < ?", before, before)  # noqa: S608


def may_be_forgotten(storage: Storage, sent_at: datetime) -> bool:
    """Return whether an execution of a message sent then may have been pruned: one that is not there is not new.

    Only asks the database for what was sent long ago. An instant before 2020 is none: some producers write seconds
    where milliseconds are meant.
    """
    if not _FIRST_YEAR <= sent_at < datetime.now(UTC) - timedelta(seconds=LEAST_SECONDS / 2):
        return False
    row = storage.one("SELECT ended FROM axisor_horizon")
    return row is not None and sent_at < instant(row[0]) + timedelta(seconds=_CLOCKS_SECONDS)


def check(storage: Storage, automation_id: str, seconds: float) -> None:
    """Raise where the ledger does not reach so far back for an automation that is older than the ledger's memory.

    Only asks the database for more than a day.

    Raises:
        Refused: what it did may have been pruned (``ledger_pruned``).
    """
    if seconds <= LEAST_SECONDS:
        return
    row = storage.one("SELECT acted FROM axisor_horizon WHERE acted > {later}", -seconds)
    if row is None:
        return
    made = storage.one('SELECT created_at FROM "Automation" WHERE id = ?', automation_id)
    if made is None or instant(made[0]) < instant(row[0]):
        raise Refused(
            f"what automation {automation_id} did in the last {seconds / LEAST_SECONDS:.1f} days is not known: "
            f"the ledger was pruned up to {instant(row[0]):%Y-%m-%d %H:%M} UTC",
            code="ledger_pruned",
        )


def _both(wanted: Ages) -> tuple[datetime, datetime]:
    return wanted.before, wanted.acted_before
