"""Which trade replaced which: a reduce closes a trade and opens its remainder under a new id."""

from __future__ import annotations

from collections.abc import Collection

from axisor_executor.storage.connection import Storage


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
    row = storage.one(
        "WITH RECURSIVE line(id, depth) AS (SELECT CAST(? AS TEXT), 0 UNION ALL "
        "SELECT l.new_id, line.depth + 1 FROM axisor_trade_lineage l JOIN line ON l.old_id = line.id "
        "WHERE l.account_id = ? AND line.depth < 1000) SELECT id FROM line ORDER BY depth DESC LIMIT 1",
        trade_id,
        account_id,
    )
    assert row is not None
    return str(row[0])


def original_id(storage: Storage, account_id: str, trade_id: str) -> str:
    """Return the id of the trade that ``trade_id`` began as on this account (itself where it replaced nothing)."""
    row = storage.one(
        "WITH RECURSIVE line(id, depth) AS (SELECT CAST(? AS TEXT), 0 UNION ALL "
        "SELECT l.old_id, line.depth + 1 FROM axisor_trade_lineage l JOIN line ON l.new_id = line.id "
        "WHERE l.account_id = ? AND line.depth < 1000) SELECT id FROM line ORDER BY depth DESC LIMIT 1",
        trade_id,
        account_id,
    )
    assert row is not None
    return str(row[0])


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
