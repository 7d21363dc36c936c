"""Figures: what the SQL says is what counting by hand says."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.ids import uuid7
from axisor_executor.storage import figures
from axisor_executor.storage.models import ExecutionRow
from tests.harness.world import World
from tests.service.conftest import Client
from tests.service.test_health import worker_row

SUCCESS, ERROR = {"completed", "pending", "cancelled"}, {"failed", "uncertain", "expired"}
WINDOW = 3600
ENDED = st.fixed_dictionaries(
    {
        "status": st.sampled_from(sorted(SUCCESS | ERROR)),
        "account": st.sampled_from(["a1", "a2", "a3"]),
        # Far enough from the edge of the window that the time which a test takes does not matter.
        "ago": st.one_of(st.integers(0, WINDOW - 600), st.integers(WINDOW + 600, 9 * WINDOW)),
        "took": st.one_of(st.none(), st.integers(0, 120_000)),
        "code": st.sampled_from(["exchange_rejected", "plugin_error"]),
    }
)


def put(world: World, now: datetime, one: dict[str, Any]) -> None:
    """Write an execution that has ended so long ago."""
    ended = now - timedelta(seconds=one["ago"])
    began = None if one["took"] is None else ended - timedelta(milliseconds=one["took"])
    error = {"code": one["code"], "message": "no"} if one["status"] in ERROR else None
    ExecutionRow.create(
        id=uuid7(),
        user_id=f"user of {one['account']}",
        automation_id="auto789",
        account_id=one["account"],
        account_name=f"Account {one['account']}",
        exchange="lnmarkets",
        lane="default",
        lane_rank=1,
        job={},
        status=one["status"],
        error=error,
        created_at=began or ended,
        started_at=began,
        finished_at=ended,
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ENDED, max_size=12))
def test_they_are_what_counting_by_hand_says(world: World, rows: list[dict[str, Any]]) -> None:
    now = world.storage.now()
    with world.storage.connection():
        ExecutionRow.delete().execute()
        for one in rows:
            put(world, now, one)
        overall = figures.performance(world.storage, WINDOW)
        pages = [
            one
            for after in (None, "a1", "a2")
            for one in figures.accounts(world.storage, WINDOW, after=after, limit=1)
            if after is None or one["accountId"] > after
        ]
        listed = {one["accountId"]: one for one in figures.accounts(world.storage, WINDOW)}
        single = {name: figures.account(world.storage, name, WINDOW) for name in ("a1", "a2", "a3")}
        of_user = figures.performance(world.storage, WINDOW, user_id="user of a1")
    inside = [one for one in rows if one["ago"] < WINDOW]
    check(overall, inside)
    check(of_user, [one for one in inside if one["account"] == "a1"])
    assert overall["executionsPerMinute"] == round(len(inside) / 60, 3)
    assert overall["accountsActive"] == len({one["account"] for one in rows}), "all are of the last day"
    assert listed.keys() == {one["account"] for one in inside}
    assert {one["accountId"] for one in pages} == listed.keys()
    for name, found in single.items():
        own = [one for one in inside if one["account"] == name]
        check(found, own)
        assert found["errorCodes"] == Counter(one["code"] for one in own if one["status"] in ERROR)
        if own:
            check(listed[name], own)
            assert listed[name]["lastError"] == found["lastError"]
        failed = [one for one in own if one["status"] in ERROR]
        newest = min((one["ago"] for one in failed), default=None)
        codes = {one["code"] for one in failed if one["ago"] == newest}
        assert (found["lastError"] or {}).get("code") in (codes or {None})


def check(found: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    good = sum(one["status"] in SUCCESS for one in rows)
    took = [one["took"] for one in rows if one["took"] is not None]
    assert (found["executions"], found["successes"], found["errors"]) == (len(rows), good, len(rows) - good)
    assert found["successRate"] == (round(good / len(rows), 4) if rows else None)
    assert found["errorRate"] == (round((len(rows) - good) / len(rows), 4) if rows else None)
    wanted = sum(took) / len(took) if took else None
    assert found["averageExecutionTime"] == (None if wanted is None else pytest.approx(wanted, abs=0.2))


def test_the_caches_of_all_workers_count(world: World) -> None:
    assert figures.performance(world.storage, WINDOW)["cacheHitRate"] is None
    worker_row(world, counters={"cacheHits": 8, "cacheMisses": 1}, pid=1)
    worker_row(world, counters={"cacheHits": 1, "cacheMisses": 0}, pid=2)
    worker_row(world, counters=None, pid=3)
    worker_row(world, seconds=2 * WINDOW, counters={"cacheHits": 0, "cacheMisses": 90}, pid=4)
    assert figures.performance(world.storage, WINDOW)["cacheHitRate"] == 0.9


def test_workers_flush_what_they_counted(world: World) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100, "trigger_price": 1})
    for _ in range(4):
        world.run(entry)
    world.parts.presence.announce()
    assert figures.performance(world.storage, WINDOW)["cacheHitRate"] == 0.75


def test_a_real_worker_flushes_with_its_sign_of_life(world: World, tmp_path: Path) -> None:
    with world.worker(tmp_path / "worker.log"):
        (kept,) = world.storage.rows("SELECT counters FROM axisor_workers")
    for name in ("threads", "queues", "running", "cacheHits", "cacheMisses"):
        assert f'"{name}"' in str(kept[0]) or f"'{name}'" in str(kept[0])


class TestOverHttp:
    def test_performance(self, world: World, admin: Client) -> None:
        entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100})
        world.run(entry)
        world.run(world.automation(world.accounts[0], "grid_bot", {}))
        found = admin.get("/api/metrics/performance", window=600)
        assert (found["executions"], found["successRate"], found["errorRate"]) == (2, 0.5, 0.5)
        assert found["windowSeconds"] == 600
        assert found["executionsPerMinute"] == 0.2
        assert found["averageExecutionTime"] > 0
        assert found["accountsActive"] == 1

    def test_accounts(self, world: World, admin: Client) -> None:
        names = ("Main Account", "<b>Other</b>")
        for name in names:
            account = world.account(name=name)
            world.run(world.automation(account, "grid_bot", {}))
        first = admin.get("/api/metrics/accounts", limit=1)
        second = admin.get("/api/metrics/accounts", limit=1, cursor=first["next"])
        assert second["next"] is None
        found = first["accounts"] + second["accounts"]
        assert {one["accountName"] for one in found} == set(names)
        assert {one["lastError"]["code"] for one in found} == {"unknown_automation_type"}
        one = admin.get(f"/api/metrics/accounts/{found[0]['accountId']}")
        assert one["errorCodes"] == {"unknown_automation_type": 1}
        assert one["accountName"] == found[0]["accountName"]

    def test_an_account_of_which_nothing_has_ended(self, world: World, admin: Client) -> None:
        found = admin.get(f"/api/metrics/accounts/{world.account().id}")
        assert (found["executions"], found["successRate"], found["lastError"]) == (0, None, None)
        assert admin.error("GET", "/api/metrics/accounts/no-such-one") == (404, "account_not_found")

    def test_the_window_has_bounds(self, admin: Client) -> None:
        for path in ("performance", "accounts", "accounts/a"):
            for window in ("59", "2678401", "x", ""):
                refused = admin.error("GET", f"/api/metrics/{path}?window={window}")
                assert refused == (400, "invalid_request"), (path, window)
