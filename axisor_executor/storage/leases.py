"""Account leases: one run at a time acts on an account. The database's clock says until when.

A lease is (execution, fence, until). A reserved one (fence -1) is held for the next in line, who has not started yet.
All functions belong inside a transaction of the caller, except :func:`renew`.
"""

from __future__ import annotations

from collections.abc import Collection

from axisor_executor.storage.connection import Statement, Storage

_RESERVED = -1
UNLESS_HELD = (
    "ON CONFLICT (account_id) DO UPDATE SET execution_id = excluded.execution_id, "
    "worker_id = excluded.worker_id, fence = excluded.fence, until = excluded.until "
    "WHERE axisor_leases.until <= {now} OR axisor_leases.until > {far} "
    "OR axisor_leases.execution_id = excluded.execution_id"
)
"""What lets an insertion take a lease that is over, or kept for this execution, and no other."""
HOLDS = "l.until > {now} AND l.until <= {far}"
"""What tells that a lease ``l`` keeps others away: the dead would for as long as the database's clock was set back."""


def take(storage: Storage, name: str, execution_id: str, *, worker_id: str, fence: int, seconds: float) -> bool:
    """Take the lease if it is free, over, or kept for this execution; return whether it was taken."""
    return bool(
        storage.run(
            "INSERT INTO axisor_leases (account_id, execution_id, worker_id, fence, until) "  # noqa: S608
            f"VALUES (?,?,?,?,{{later}}) {UNLESS_HELD}",
            name,
            execution_id,
            worker_id,
            fence,
            seconds,
        )
    )


def is_live(storage: Storage, execution_id: str, fence: int) -> bool:
    """Return whether this very run holds a lease that is not over."""
    return (
        storage.one(
            f"SELECT 1 FROM axisor_leases l WHERE execution_id = ? AND fence = ? AND {HOLDS}",  # noqa: S608
            execution_id,
            fence,
        )
        is not None
    )


def hold(storage: Storage, name: str, execution_id: str, fence: int) -> bool:
    """Lock the lease row and return whether this run (still, or last) owns it."""
    return (
        storage.one(
            "SELECT 1 FROM axisor_leases WHERE account_id = ? AND execution_id = ? AND fence = ? {for_update}",
            name,
            execution_id,
            fence,
        )
        is not None
    )


def hold_live(storage: Storage, name: str, execution_id: str, fence: int) -> bool:
    """Lock the lease row and return whether this run owns it and it is not over."""
    return (
        storage.one(
            "SELECT 1 FROM axisor_leases WHERE account_id = ? AND execution_id = ? AND fence = ? AND until > {now} "
            "{for_update}",
            name,
            execution_id,
            fence,
        )
        is not None
    )


def reserve(storage: Storage, name: str, execution_id: str, *, seconds: float) -> None:
    """Keep the lease for an execution that has been woken; if it does not come in time, the lease is over."""
    storage.run(
        "UPDATE axisor_leases SET execution_id = ?, worker_id = NULL, fence = ?, until = {later} WHERE account_id = ?",
        execution_id,
        _RESERVED,
        seconds,
        name,
    )


def letting_go(name: str, execution_id: str, fence: int) -> tuple[Statement, Statement]:
    """Return what gives back the lease of a run for which nobody stands in line; it returns a row if it does.

    It is locked first, by a statement of its own: a claim that is just joining the line has then committed, and is
    seen.
    """
    held = "account_id = ? AND execution_id = ? AND fence = ?"
    return (
        (f"SELECT 1 FROM axisor_leases WHERE {held} {{for_update}}", name, execution_id, fence),  # noqa: S608
        (
            (
                f"DELETE FROM axisor_leases WHERE {held} AND NOT EXISTS ("  # noqa: S608
                "SELECT 1 FROM axisor_executions WHERE account_id = ? AND status = 'waiting' "
                "AND wait_for = 'lease' AND id <> ?) RETURNING 1"
            ),
            name,
            execution_id,
            fence,
            name,
            execution_id,
        ),
    )


def free(storage: Storage, name: str) -> None:
    """Give the lease back."""
    storage.run("DELETE FROM axisor_leases WHERE account_id = ?", name)


def renew(storage: Storage, worker_id: str, execution_ids: Collection[str], *, seconds: float) -> None:
    """Prolong the leases of a worker's present runs. One that is over already is not revived.

    One whose row somebody holds is left for the next time: it must not keep the others from being prolonged.
    """
    if not execution_ids:
        return
    marks = ",".join("?" * len(execution_ids))
    skip = "" if storage.is_sqlite else "FOR UPDATE SKIP LOCKED"
    storage.run(
        "UPDATE axisor_leases SET until = {later} WHERE account_id IN (SELECT account_id FROM axisor_leases "  # noqa: S608
        f"WHERE worker_id = ? AND until > {{now}} AND execution_id IN ({marks}) {skip})",
        seconds,
        worker_id,
        *execution_ids,
    )
