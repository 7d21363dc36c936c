"""What is asked again and again never reads the whole ledger, however long it has grown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from axisor_executor import exposition
from axisor_executor.storage import figures, horizon, leftover, lineage, pruning, taking
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.taking import NewExecution
from tests.harness.world import World

LEDGER = "axisor_executions"
LONG_AGO = 3 * 86_400.0


class Plans:
    """Keeps the plan of every query that is made of the ledger."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storage = storage
        self.found: list[tuple[str, str]] = []
        self._execute: Any = storage._execute
        monkeypatch.setattr(storage, "_execute", self.explained)

    def explained(self, sql: str, params: tuple[Any, ...]) -> Any:
        """Have a query planned, then make it."""
        if sql.lstrip().startswith("SELECT") and LEDGER in sql:
            explain = "EXPLAIN QUERY PLAN " if self.storage.is_sqlite else "EXPLAIN "
            plan = self._execute(explain + sql, params).fetchall()
            self.found.append((sql, "\n".join(str(row[-1]) for row in plan)))
        return self._execute(sql, params)

    def without_an_index(self) -> list[str]:
        """Return the queries that read all rows of the ledger."""
        return [f"{sql}\n{plan}" for sql, plan in self.found if _reads_all(plan)]


def _reads_all(plan: str) -> bool:
    """Return whether a plan goes through all rows, or through all of an index that is not of a few rows only."""
    few = "_(live|live_automation|line|uncertain)"
    sqlite = rf"^SCAN ({LEDGER}|e)\b(?!.*{few}$)"
    postgres = rf"Seq Scan on {LEDGER}|Scan (?:using|on) {LEDGER}_(?!live|line|uncertain).*\n(?!.*Index Cond)"
    return re.search(rf"{sqlite}|{postgres}", plan + "\n", re.MULTILINE) is not None


@pytest.fixture
def plans(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plans of what this test asks."""
    with world.storage.connection():
        if not world.storage.is_sqlite:
            # Without rows all indexes cost the same, and few are read as quickly as found.
            world.storage.run(
                "INSERT INTO axisor_executions (id, user_id, automation_id, account_id, lane, lane_rank, job, status, "
                "created_at, started_at, finished_at) SELECT 'e' || n, 'u' || n % 50, 'a' || n % 200, "
                "'acc' || n % 100, 'default', 1, '{}', 'completed', {later}, {later}, {later} "
                "FROM generate_series(1, 5000) n",
                *(-LONG_AGO,) * 3,
            )
            world.storage.run(
                "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, trade_id, "
                "params, automation_id, account_id, status, created_at, sent_at, settled_at) SELECT 'e' || n, 1, 1, 0, "
                "0, 'SetStopLoss', 't' || n, '{}', 'a' || n % 200, 'acc' || n % 100, 'confirmed', {later}, {later}, "
                "{later} FROM generate_series(1, 5000) n",
                *(-LONG_AGO,) * 3,
            )
            world.storage.run("ANALYZE axisor_executions, axisor_actions")
            world.storage.run("SET enable_seqscan = off")
        yield Plans(world.storage, monkeypatch)
        if not world.storage.is_sqlite:
            world.storage.run("RESET enable_seqscan")


def test_recovery(world: World, plans: Plans) -> None:
    leftover.due(world.storage, 10)
    leftover.abandoned(world.storage, 10, grace_seconds=1)
    leftover.unsent(world.storage, 10, grace_seconds=1)
    leftover.overdue(world.storage, "protect", None, 10, seconds=1)
    assert len(plans.found) == 4
    assert plans.without_an_index() == []


def test_figures(world: World, plans: Plans) -> None:
    figures.performance(world.storage, 3600)
    figures.performance(world.storage, 3600, user_id="user123")
    figures.accounts(world.storage, 3600)
    figures.accounts(world.storage, 3600, worst_first=True)
    figures.account(world.storage, "acc456", 3600)
    assert len(plans.found) == 9
    assert plans.without_an_index() == []


def test_metrics(world: World, plans: Plans) -> None:
    exposition.render(world.parts)
    assert len(plans.found) == 3
    assert plans.without_an_index() == []


def test_pruning(world: World, plans: Plans) -> None:
    world.storage.run(
        "INSERT INTO axisor_executions (id, user_id, automation_id, account_id, lane, lane_rank, job, status, "
        "created_at, finished_at) VALUES ('entry','u','a','acc','default',1,'{}','completed',{later},{later})",
        *(-LONG_AGO,) * 2,
    )
    world.storage.run(
        "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, params, "
        "automation_id, account_id, status, new_trade_id, created_at, sent_at, settled_at) "
        "VALUES ('entry',1,1,0,0,'OpenPosition','{}','a','acc','confirmed','trade',{later},{later},{later})",
        *(-LONG_AGO,) * 3,
    )
    wanted = pruning.ages(world.storage, horizon.LEAST_SECONDS, acted_older_than=horizon.LEAST_SECONDS)
    pruning.count(world.storage, wanted.before)
    *_, done = pruning.prune(world.storage, wanted, rest=lambda _: None)
    assert done.kept == {"trade_open": 1}, "for which the ledger was searched for the end of its trade"
    assert plans.without_an_index() == []
    assert {sql.split(" FROM")[0] for sql, _ in plans.found} == {
        "SELECT COUNT(*)",
        "SELECT id, status, finished_at",
        "SELECT id",
        "SELECT 1",
    }


def test_collapsing(world: World, plans: Plans) -> None:
    new = NewExecution("u5", "a5", "protect", {"v": 1}, 600, collapses=True)
    taken = [taking.record(world.storage, new)[0].status for _ in range(2)]
    assert taken == ["queued", "cancelled"]
    plan = next(plan for sql, plan in plans.found if "axisor_actions s" in sql)
    assert "axisor_executions_live_automation" in plan
    assert re.search(r"SEARCH s USING|Index Scan using axisor_actions_pkey", plan), "of a twin, not of all"


def test_remainders(world: World, plans: Plans) -> None:
    lineage.unresolved(world.storage, "acc5", "t5", but="another")
    lineage.owing(world.storage, "acc5", but="another")
    indexes = ("trade", "owed", "unsettled")
    assert all(f"axisor_actions_{one}" in plan for one, (_, plan) in zip(indexes, plans.found, strict=True))
    assert plans.without_an_index() == []


def test_a_query_without_an_index_is_found(world: World, plans: Plans) -> None:
    world.storage.rows("SELECT id FROM axisor_executions WHERE user_id || '' = ?", "x")
    assert len(plans.without_an_index()) == 1
    if not world.storage.is_sqlite:
        world.storage.rows("SELECT 1 FROM axisor_executions WHERE finished_at > {later}", -1)
        assert len(plans.without_an_index()) == 2, "no index is compared with a clock that goes on"
