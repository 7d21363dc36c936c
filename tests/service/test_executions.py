"""Executions over HTTP: found, paged, explained as the command line does, tried again and resolved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from axisor_executor.explain import explain
from tests.harness.world import World
from tests.integration.test_interventions import ONCE, make_uncertain
from tests.service.conftest import JSON, Client

LIST = "/api/automation/executions"


@pytest.fixture
def ran(world: World) -> dict[str, str]:
    """Ids: a trade opened, one closed, one that waits for a price, one of an unknown type, one that is queued."""
    account = world.account()
    world.account("user456", "Other Account")
    trade = world.open_trade(account)
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 10, "trigger_price": 1_000})
    unknown = world.automation(account, "grid_bot", {})
    return {
        "account": account.id,
        "guard": guard,
        "completed": str(world.run(guard, trade_id=trade)["executionId"]),
        "pending": str(world.run(entry)["executionId"]),
        "failed": str(world.run(unknown)["executionId"]),
        "queued": world.enqueue(world.job(guard, trade_id="t")),
    }


class TestList:
    def test_filters(self, admin: Client, ran: dict[str, str]) -> None:
        def ids(**params: Any) -> list[str]:
            return [one["id"] for one in admin.get(LIST, **params)["executions"]]

        newest = [ran[name] for name in ("queued", "failed", "pending", "completed")]
        assert ids()[:4] == newest
        assert len(ids()) == 5
        assert ids(status="failed") == [ran["failed"]]
        assert ids(status=["failed", "pending"]) == [ran["failed"], ran["pending"]]
        assert ids(automation=ran["guard"]) == [ran["queued"], ran["completed"]]
        assert ids(automation=ran["guard"], status="completed") == [ran["completed"]]
        assert ids(account="Main Account")[:4] == newest
        assert ids(account=ran["account"])[:4] == newest
        assert ids(account="Other Account") == ids(user="user456") == ids(type="tp_sl") == ids(automation="%") == []
        assert ids(type="grid_bot") == [ran["failed"]]
        assert ids(user="user123")[:4] == newest

    def test_times_are_those_that_are_shown(self, admin: Client, world: World, ran: dict[str, str]) -> None:
        (one,) = admin.get(LIST, status="failed")["executions"]
        taken = one["createdAt"]
        assert one["id"] in [other["id"] for other in admin.get(LIST, since=taken)["executions"]]
        assert one["id"] not in [other["id"] for other in admin.get(LIST, until=taken)["executions"]]
        later = (world.execution(one["id"]).created_at + timedelta(seconds=60)).isoformat()
        assert admin.get(LIST, since=later)["executions"] == []
        assert len(admin.get(LIST, until=later)["executions"]) == 5

    def test_pages(self, admin: Client, ran: dict[str, str]) -> None:
        for limit in (1, 2, 3, 5):
            page = admin.get(LIST, limit=limit)
            found = [one["id"] for one in page["executions"]]
            while page["next"] is not None:
                assert len(page["executions"]) == limit
                page = admin.get(LIST, limit=limit, cursor=page["next"])
                found += [one["id"] for one in page["executions"]]
            assert found == sorted(found, reverse=True)
            assert len(set(found)) == 5

    def test_wrong_filters_are_refused(self, admin: Client) -> None:
        for query in (
            "limit=0",
            "limit=201",
            "limit=x",
            "status=fine",
            "statsu=failed",
            "since=yesterday",
            "since=2026-01-01T00:00:00",
            "since=2027",
            "since=20260101",
            "until=20261124",
            "until=2026-11-24",
            "since=1e9",
            "since=20260101T000000Z",
            "since=0001-01-01T00:00:00%2B23:00",
            "until=9999-12-31T23:59:59-23:00",
            "cursor=",
            "cursor=zzz",
            "account=" + "x" * 201,
            "limit=1&limit=2",
            "limit=1&limi%74=1",
            "account=&account=x",
        ):
            assert admin.error("GET", f"{LIST}?{query}") == (400, "invalid_request"), query

    def test_strange_filters_find_nothing(self, admin: Client, ran: dict[str, str]) -> None:
        for text in ("%00", "%ff", "%ed%a0%80", "'%20OR%201=1--", "%f0%9f%92%a5", "%3Cscript%3E"):
            for name in ("account", "automation", "user", "type"):
                answer = admin("GET", f"{LIST}?{name}={text}")
                assert (answer.status_code, answer.json()["executions"]) == (200, []), (name, text)
            assert admin.error("GET", f"{LIST}?cursor={text}") == (400, "invalid_request")
            assert admin.error("GET", f"{LIST}/{text}") == (404, "execution_not_found")


class TestExplained:
    def test_it_is_what_the_command_line_tells(self, admin: Client, world: World, ran: dict[str, str]) -> None:
        for name in ("completed", "pending", "failed", "queued"):
            with world.storage.connection():
                told = explain(world.storage, world.execution(ran[name]))
            assert admin.get(f"{LIST}/{ran[name]}") == told

    def test_decision_action_request_and_answer_are_in_it(self, admin: Client, ran: dict[str, str]) -> None:
        told = admin.get(f"{LIST}/{ran['completed']}")
        (plan,) = told["plans"]
        assert plan["decision"] == "act"
        assert plan["seen"]
        (action,) = told["actions"]
        assert (action["action"]["kind"], action["status"]) == ("ClosePosition", "confirmed")
        assert action["baseline"]
        assert action["answer"]
        assert action["timestampMs"]
        assert told["result"]["status"] == "completed"

    def test_only_a_whole_id_is_one(self, admin: Client, ran: dict[str, str]) -> None:
        assert admin.error("GET", f"{LIST}/{ran['completed'][:-1]}") == (404, "execution_not_found")
        assert admin.error("GET", f"{LIST}/{'x' * 201}") == (400, "invalid_request")


@pytest.fixture
def uncertain(world: World) -> str:
    """An entry of which nobody knows whether it was carried out."""
    world.restart(retries={"auto_entry": ONCE})
    return make_uncertain(
        world, world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100}), fault="drop_after"
    )


class TestInterventions:
    def test_a_failed_one_is_tried_again(self, admin: Client, world: World, ran: dict[str, str]) -> None:
        answer = admin("POST", f"{LIST}/{ran['failed']}/retry")
        assert answer.status_code == 202
        assert answer.json()["status"] == world.execution(ran["failed"]).status == "queued"

    def test_one_that_went_well_is_not(self, admin: Client, ran: dict[str, str]) -> None:
        assert admin.error("POST", f"{LIST}/{ran['completed']}/retry") == (400, "not_retryable")
        assert admin.error("POST", f"{LIST}/{ran['queued']}/retry") == (400, "not_retryable")

    def test_an_uncertain_one_is_resolved(self, uncertain: str, admin: Client, world: World) -> None:
        path = f"{LIST}/{uncertain}/resolve"
        (trade,) = world.paper.trades(world.accounts[-1].paper)
        assert admin.error("POST", path, json={"verdict": "not_executed"}) == (409, "was_executed")
        assert admin.error("POST", path, json={"verdict": "executed", "tradeId": "t"}) == (400, "not_our_trade")
        answer = admin("POST", path, json={"verdict": "executed", "tradeId": trade["id"]})
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["tradeId"]) == ("completed", trade["id"])
        assert [one.status for one in world.actions(uncertain)] == ["confirmed"]
        assert admin.error("POST", path, json={"verdict": "executed"}) == (400, "not_uncertain")

    def test_a_word_that_makes_no_sense_is_refused(self, admin: Client, world: World) -> None:
        path = f"{LIST}/{world.enqueue(world.job('auto789'))}/resolve"
        for body in ("{}", '{"verdict": "maybe"}', '{"verdict": "executed", "trade": "x"}', "[]"):
            assert admin.error("POST", path, data=body, headers=JSON) == (400, "invalid_request")
