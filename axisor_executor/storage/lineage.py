"""Which trade replaced which: a reduce closes a trade and opens its remainder under a new id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document

REOPEN_SECONDS = 300.0
"""How long after a reduce's close its reopen is still tried; later the remainder stays closed, with an alert."""


def replaced(storage: Storage, account_id: str, old_id: str, new_id: str, execution_id: str) -> None:
    """Record, inside the caller's transaction, that ``new_id`` is what became of ``old_id``. Safe twice."""
    storage.run(
        "INSERT INTO axisor_trade_lineage (account_id, old_id, new_id, execution_id, created_at) "
        "VALUES (?,?,?,?,{now}) ON CONFLICT DO NOTHING",
        account_id,
        old_id,
        new_id,
        execution_id,
    )


def current_id(storage: Storage, account_id: str, trade_id: str) -> str:
    """Return the id that ``trade_id`` has become on this account (itself where nothing replaced it)."""
    return _end_of_line(storage, _FORWARDS, account_id, trade_id)


def original_id(storage: Storage, account_id: str, trade_id: str) -> str:
    """Return the id of the trade that ``trade_id`` began as on this account (itself where it replaced nothing)."""
    return _end_of_line(storage, _BACKWARDS, account_id, trade_id)


def unresolved(storage: Storage, account_id: str, trade_id: str, *, but: str, for_certain: bool = False) -> str | None:
    """Return the execution, not ``but``, that closed a trade (or may have) to open its remainder, and has not yet.

    As long as it owes it, or nobody knows whether it was opened, the trade can't be told to be over. ``for_certain``
    leaves out the one that only may have closed it.
    """
    rows = storage.rows(_OF_A_TRADE[for_certain], account_id, but, trade_id)
    return next((str(execution_id) for execution_id, reopen in rows if replaces(reopen) == trade_id), None)


def owing(storage: Storage, account_id: str, *, but: str) -> str | None:
    """Return an execution, not ``but``, that is opening a remainder, or still will: with the sats that its close freed.

    Not for longer than a remainder is opened at all, and none that is uncertain: nothing opens that but a person.
    """
    rows = [row for sql in _ON_AN_ACCOUNT for row in storage.rows(sql, account_id, but, -REOPEN_SECONDS)]
    return next((str(execution_id) for execution_id, reopen in rows if replaces(reopen)), None)


def replaces(reopen: Any) -> str | None:
    """Return the trade of which the order with these stored fields opens the remainder, ``None``: of none."""
    found: str | None = (document(reopen) or {}).get("replaces")
    return found


# Asked whether it has ended, PostgreSQL would rather go through all that have not than look an execution up by its id.
_BEHIND_A_CLOSE = """
SELECT o.execution_id, o.params FROM axisor_actions o
JOIN axisor_actions c ON c.execution_id = o.execution_id AND c.plan_version = o.plan_version
    AND c.group_index = o.group_index AND c.step_index < o.step_index
JOIN axisor_executions e ON e.id = o.execution_id AND e.status IN ({states})
WHERE o.account_id = ? AND o.execution_id <> ? AND o.kind = 'OpenPosition' AND NOT o.dry_run
AND c.kind = 'ClosePosition' AND c.status IN ({closes})
"""
_LIVE = "'queued', 'running', 'waiting'"
_CLOSED = "'confirmed'"
_PERHAPS_CLOSED = f"'sending', 'unknown', {_CLOSED}"
_OF_A_TRADE = {
    for_certain: _BEHIND_A_CLOSE.format(states=f"{_LIVE}, 'uncertain'", closes=closes)
    + "AND c.trade_id = ? AND o.status IN ('planned', 'sending', 'unknown')"
    for for_certain, closes in ((False, _PERHAPS_CLOSED), (True, _CLOSED))
}
_ON_AN_ACCOUNT = tuple(
    _BEHIND_A_CLOSE.format(states=_LIVE, closes=_PERHAPS_CLOSED)
    + f"AND {which} AND (c.created_at > {{later}} OR e.expires_at > {{now}})"
    for which in ("o.status = 'planned' AND o.step_index > 0", "o.status IN ('sending', 'unknown')")  # an index each
)


def _end_of_line(storage: Storage, line: str, account_id: str, trade_id: str) -> str:
    return str(storage.lookup(line, trade_id, account_id)[0][0])


def _line(here: str, there: str) -> str:
    return (
        "WITH RECURSIVE line(id, depth) AS (SELECT CAST(? AS TEXT), 0 UNION ALL "  # noqa: S608
        f"SELECT l.{there}, line.depth + 1 FROM axisor_trade_lineage l JOIN line ON l.{here} = line.id "
        "WHERE l.account_id = ? AND line.depth < 1000) SELECT id FROM line ORDER BY depth DESC LIMIT 1"
    )


_FORWARDS, _BACKWARDS = _line("old_id", "new_id"), _line("new_id", "old_id")


def ancestors(storage: Storage, account_id: str, trade_ids: Collection[str]) -> dict[str, str]:
    """Return ``{id: id of the trade now}`` for the given trades and every trade that they replaced."""
    origin = {trade_id: trade_id for trade_id in trade_ids}
    layer = dict(origin)
    while layer:
        marks = ",".join("?" * len(layer))
        rows = storage.rows(
            "SELECT old_id, new_id FROM axisor_trade_lineage "  # noqa: S608
            f"WHERE account_id = ? AND new_id IN ({marks})",
            account_id,
            *layer,
        )
        layer = {old: layer[new] for old, new in rows if old not in origin}
        origin.update(layer)
    return origin
