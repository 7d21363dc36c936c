"""Pause and resume over HTTP."""

from __future__ import annotations

from tests.harness.world import World
from tests.integration.test_interventions import ONCE
from tests.service.conftest import JSON, Client, client_of

PATH = "/api/switches"


def test_nothing_leaves_while_a_switch_is_set(world: World, admin: Client) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
    answer = admin("POST", PATH, json={"scope": "account", "id": account.id, "reason": "the user asked"})
    assert answer.json() == {"scope": "account", "id": account.id, "mode": "paused", "alreadyOut": []}
    (switch,) = admin.get(PATH)["switches"]
    assert (switch["scope"], switch["id"], switch["reason"]) == ("account", account.id, "the user asked")
    with world.changes() as changes:
        held = world.run(entry)
    assert (held["waitingFor"], changes.sent) == ("paused", [])
    for removed in (True, False):
        answer = admin("DELETE", PATH, params={"scope": "account", "id": account.id})
        assert answer.json() == {"removed": removed}
    assert admin.get(PATH) == {"switches": []}
    assert world.go_on(held["executionId"])["status"] == "completed"


def test_every_scope_and_mode(world: World, admin: Client) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
    scopes = [("all", None), ("exchange", "lnmarkets"), ("account", account.id), ("automation", entry)]
    for scope, scope_id in scopes:
        body = {"scope": scope, "id": scope_id, "mode": "reduce_only"}
        assert admin("POST", PATH, json=body).status_code == 200
    assert [(one["scope"], one["id"]) for one in admin.get(PATH)["switches"]] == scopes
    assert world.run(entry)["error"]["code"] == "reduce_only"
    for scope, scope_id in scopes:
        assert admin("DELETE", PATH, params={"scope": scope, "id": scope_id}).json() == {"removed": True}


def test_what_was_out_already_is_listed(world: World) -> None:
    """A request that is lost on its way may still arrive until its signature has expired; the pause waits for that."""
    world.restart(retries={"auto_entry": ONCE})
    account = world.account()
    world.paper.add_fault("drop_after", count=1, mutating=True)
    lost = world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))
    with client_of(world) as admin:
        (out,) = admin("POST", PATH, json={"scope": "all"}).json()["alreadyOut"]
    assert (out["executionId"], out["accountId"], out["action"]) == (lost["executionId"], account.id, "open_position")
    assert out["status"] == "unknown"


def test_a_scope_is_never_guessed(admin: Client) -> None:
    for body, status, code in (
        ('{"scope": "account"}', 400, "invalid_scope"),
        ('{"scope": "all", "id": "x"}', 400, "invalid_scope"),
        ('{"scope": "everything"}', 400, "invalid_request"),
        ('{"scope": "all", "mode": "off"}', 400, "invalid_request"),
        ('{"scope": "all", "id": ""}', 400, "invalid_request"),
        ('{"scope": "all", "until": "tomorrow"}', 400, "invalid_request"),
        ('{"scope": "all", "reason": "a\\nb"}', 400, "invalid_request"),
        ("{}", 400, "invalid_request"),
        ("[1]", 400, "invalid_request"),
        ('{"scope": "account", "id": "no-such-one"}', 404, "scope_not_found"),
        ('{"scope": "automation", "id": "\' OR 1=1 --"}', 404, "scope_not_found"),
        ('{"scope": "exchange", "id": "<b>lnmarkets</b>"}', 404, "scope_not_found"),
    ):
        assert admin.error("POST", PATH, data=body, headers=JSON) == (status, code), body
    assert admin.get(PATH) == {"switches": []}


def test_resuming_needs_a_scope_that_makes_sense(admin: Client) -> None:
    assert admin.error("DELETE", PATH) == (400, "invalid_request")
    assert admin.error("DELETE", PATH, params={"scope": "account"}) == (400, "invalid_scope")
    assert admin.error("DELETE", PATH, params={"scope": "all", "id": "x"}) == (400, "invalid_scope")
    gone = {"scope": "account", "id": "of an account that is gone"}
    assert admin("DELETE", PATH, params=gone).json() == {"removed": False}
