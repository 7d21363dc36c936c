"""The HTTP API on the monolith's own tables, with ids that are UUIDs."""

from __future__ import annotations

import pytest

from tests.harness.world import Account, World
from tests.integration.test_monolith_schema import (  # noqa: F401  fixtures
    ENTRY,
    USER,
    USERS_TOO,
    prisma_url,
    query,
)
from tests.integration.test_monolith_schema import world as monolith  # noqa: F401
from tests.service.conftest import Api, Client

PATH = "/api/switches"


@pytest.fixture
def world(monolith: World, prisma_url: str) -> World:  # noqa: F811
    query(prisma_url, USERS_TOO)
    monolith.storage.forget_tables()
    return monolith


@pytest.fixture
def account(world: World) -> Account:
    return world.account(user_id=USER)


@pytest.fixture
def entry(world: World, account: Account) -> str:
    return world.automation(account, "auto_entry", ENTRY)


@pytest.mark.parametrize("scope", ["account", "automation"])
def test_a_pause_holds_however_it_is_written(
    world: World, account: Account, entry: str, admin: Client, scope: str
) -> None:
    own = {"account": account.id, "automation": entry}[scope]
    answer = admin("POST", PATH, json={"scope": scope, "id": own.upper()})
    assert answer.json() == {"scope": scope, "id": own, "mode": "paused", "alreadyOut": []}
    assert [one["id"] for one in admin.get(PATH)["switches"]] == [own]
    for written in (entry, entry.upper()):
        assert world.run(written, user_id=USER)["waitingFor"] == "paused"
    for removed in (True, False):
        assert admin("DELETE", PATH, params={"scope": scope, "id": own.upper()}).json() == {"removed": removed}


def test_a_job_is_taken_however_it_is_written(world: World, entry: str, admin: Client) -> None:
    taken = admin("POST", "/api/automation/execute", json=world.job(entry.upper(), user_id=USER.upper())).json()
    assert (taken["automationId"], taken["userId"]) == (entry, USER)
    (listed,) = admin.get("/api/automation/executions", automation=entry.upper(), user=USER.upper())["executions"]
    assert listed["id"] == taken["executionId"]


def test_a_token_acts_for_its_user_however_they_are_written(
    world: World, account: Account, entry: str, api: Api
) -> None:
    client = api(user=USER.upper())
    assert world.run(entry, user_id=USER)["status"] == "completed"
    assert client.get(f"/api/metrics/accounts/{account.id.upper()}")["executions"] == 1
    for user in (USER, USER.upper()):
        taken = client("POST", "/api/automation/execute", json=world.job(entry, user_id=user))
        assert taken.status_code == 202
        assert client.get("/api/automation/executions", user=user)["executions"]
    assert client("POST", PATH, json={"scope": "account", "id": account.id}).status_code == 200


def test_the_console_looks_for_them(account: Account, api: Api) -> None:
    for user in (None, USER, "user123"):
        client = api(user=user)
        for asked in ({}, {"q": "main"}, {"q": USER[:8]}):
            page = client("GET", "/", params=asked)
            assert page.status_code == 200
            assert (account.id in page.text) is (user != "user123")
