"""Pause and resume over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from axisor_executor import runtime, switching
from axisor_executor.service import create_app
from axisor_executor.service.waiting import Waiting
from axisor_executor.storage import switches, tokens
from axisor_executor.storage.tokens import SCOPES
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.test_interventions import ONCE
from tests.service.conftest import JSON, Api, Client, client_of, served

PATH = "/api/switches"
MANY = 45
"""More than a server has threads."""


def out_for_long(world: World, account: Account) -> str:
    """Have a request on its way whose sender does not go on, and return its execution."""
    world.paper.add_fault("drop_before", count=1, mutating=True)
    lost = str(world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))["executionId"])
    world.storage.run("UPDATE axisor_actions SET status = 'sending', sent_at = {later}", 0)
    return lost


def arrive(world: World) -> None:
    world.storage.run("UPDATE axisor_actions SET status = 'confirmed'")


@dataclass
class Narrow:
    """An API with few connections, and who waits there."""

    base: str
    waiting: Waiting
    token: str

    def pause(self, account: Account) -> tuple[int, dict[str, object]]:
        client = Client(self.base, self.token)
        answer = client("POST", PATH, json={"scope": "account", "id": account.id})
        client.close()
        return answer.status_code, answer.json()


@contextmanager
def narrow_api(world: World) -> Iterator[Narrow]:
    world.restart(retries={"auto_entry": ONCE}, http_requests_per_minute=100_000)
    few = runtime.Runtime(world.settings.model_copy(update={"db_pool": 6}), registry=world.parts.registry)
    app = create_app(few)
    token, _ = tokens.create(world.storage, "one", SCOPES)
    with served(app) as base:
        yield Narrow(base, app.state.parts.waiting, token)
    few.close()


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


class TestWhileRequestsAreOut:
    @pytest.fixture
    def api(self, world: World) -> Iterator[Narrow]:
        with narrow_api(world) as found:
            yield found

    @pytest.fixture
    def account(self, world: World, api: Narrow) -> Account:
        del api  # which begins the world anew
        return world.account()

    @pytest.fixture
    def pool(self, api: Narrow) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(MANY) as pool:
            yield pool
            api.waiting.release()  # where a test has failed

    def test_many_pauses_keep_nobody_from_pausing(
        self, world: World, api: Narrow, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        """They hold neither the server's threads (40) nor its connections (6)."""
        other = world.account(name="Other", user_id="user456")
        lost = out_for_long(world, account)
        paused = [pool.submit(api.pause, account) for _ in range(MANY)]
        until(lambda: api.waiting.count == MANY)
        assert api.pause(other)[0] == 200
        assert not any(one.done() for one in paused)
        arrive(world)
        for status, answer in (one.result(30) for one in paused):
            assert status == 200
            assert answer["alreadyOut"] == [
                {
                    "executionId": lost,
                    "accountId": account.id,
                    "action": "open_position",
                    "tradeId": None,
                    "status": "confirmed",
                }
            ]

    @pytest.mark.parametrize("mode", [None, "reduce_only"])
    def test_a_switch_that_somebody_else_changes_is_not_told_to_stand(
        self, world: World, api: Narrow, account: Account, pool: ThreadPoolExecutor, mode: switches.Mode | None
    ) -> None:
        lost = out_for_long(world, account)
        paused = pool.submit(api.pause, account)
        until(lambda: api.waiting.count)
        if mode is None:
            switching.resume(world.storage, "account", account.id)
        else:
            switches.put(world.storage, "account", account.id, mode, None)
        status, answer = paused.result(30)
        error = answer["error"]
        assert isinstance(error, dict)
        assert (status, error["code"], error["details"]["mode"]) == (409, "switch_changed", mode)
        assert [(one["executionId"], one["status"]) for one in error["details"]["alreadyOut"]] == [(lost, "sending")]

    def test_a_client_that_hangs_up_is_not_waited_for(self, world: World, api: Narrow, account: Account) -> None:
        out_for_long(world, account)
        body = json.dumps({"scope": "account", "id": account.id})
        headers = f"Host: x\r\nAuthorization: Bearer {api.token}\r\nContent-Type: application/json"
        request = f"POST {PATH} HTTP/1.1\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        address = urlsplit(api.base)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(request.encode())
            until(lambda: api.waiting.count == 1)
        until(lambda: api.waiting.count == 0, timeout=5)
        assert [one.mode for one in switches.listed(world.storage)] == ["paused"], "the switch stands"

    def test_where_nobody_may_wait_the_switch_is_set_and_that_is_told(
        self, world: World, api: Narrow, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        """As at the process's stop: no answer says that nothing leaves, and none is without a word on the switch."""
        lost = out_for_long(world, account)
        paused = pool.submit(api.pause, account)
        until(lambda: api.waiting.count)
        api.waiting.release()
        for status, answer in (paused.result(10), api.pause(account)):
            error = answer["error"]
            assert isinstance(error, dict)
            assert (status, error["code"], error["details"]["mode"]) == (503, "pause_unconfirmed", "paused")
            assert f"the switch of account {account.id} is set to paused, but" in error["message"]
            assert [one["executionId"] for one in error["details"]["alreadyOut"]] == [lost]
        arrive(world)
        assert api.pause(account)[0] == 200


@pytest.mark.parametrize("scope", ["account", "automation"])
def test_a_users_own_token_lifts_an_operators_pause_of_what_is_its_users(
    world: World, admin: Client, api: Api, scope: str
) -> None:
    """What concerns all users it can't touch: that is where an operator holds a user back."""
    account = world.account()
    id_ = account.id if scope == "account" else world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
    own, another = api("operate", user="user123"), api("operate", user="user456")
    which = {"scope": scope, "id": id_}
    wide: list[dict[str, str]] = [{"scope": "all"}, {"scope": "exchange", "id": "lnmarkets"}]
    for one in (which, *wide):
        assert admin("POST", PATH, json=one).status_code == 200
    for one in wide:
        assert own.error("DELETE", PATH, params=one) == (403, "forbidden")
    assert another.error("DELETE", PATH, params=which) == (404, "scope_not_found")
    assert own("DELETE", PATH, params=which).json() == {"removed": True}
    assert [one["scope"] for one in admin.get(PATH)["switches"]] == ["all", "exchange"]
