"""Nothing is open that should not be: tokens, scopes, users, sizes and rates, on every path there is."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from starlette.types import Message

from axisor_executor.service import create_app
from axisor_executor.service.gate import MAX_BODY, SECURITY_HEADERS
from axisor_executor.storage import tokens
from axisor_executor.storage.tokens import SCOPES
from tests.docs.pages import page, section, table
from tests.harness.world import World
from tests.integration.conftest import Said
from tests.service.conftest import JSON, Api, Client, served

NEEDS = {
    ("post", "/api/automation/execute"): "execute",
    ("get", "/api/automation/executions"): "read",
    ("get", "/api/automation/executions/{execution_id}"): "read",
    ("post", "/api/automation/executions/{execution_id}/retry"): "operate",
    ("post", "/api/automation/executions/{execution_id}/resolve"): "operate",
    ("get", "/api/health/workers"): "read",
    ("get", "/api/metrics/performance"): "read",
    ("get", "/api/metrics/accounts"): "read",
    ("get", "/api/metrics/accounts/{account_id}"): "read",
    ("get", "/metrics"): "read",
    ("get", "/api/switches"): "read",
    ("post", "/api/switches"): "operate",
    ("delete", "/api/switches"): "operate",
}
PATHS = [
    *sorted({path for _, path in NEEDS}),
    "/",
    "/api",
    "/api/openapi.json",
    "/docs",
    "/nothing",
    "/healthz/",
    "//healthz",
]


def test_the_table_above_is_complete(world: World) -> None:
    paths = create_app(world.parts).openapi()["paths"]
    assert {(method, path) for path, operations in paths.items() for method in operations} == NEEDS.keys()


def test_without_a_token_every_path_is_closed(base: str) -> None:
    nobody = Client(base, None)
    for method, path in itertools.product(("GET", "POST", "DELETE", "OPTIONS", "PUT"), PATHS):
        answer = nobody(method, path, data="{", headers=JSON)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthenticated"


def test_who_leaves_in_the_middle_of_a_body_is_no_failure(world: World, said: Said) -> None:
    """Anybody may begin a login: it must not fill the log with errors."""
    came: list[Message] = [
        {"type": "http.request", "body": b"token=", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Message] = []

    async def receive() -> Message:
        return came.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/login", "root_path": "", "query_string": b"", "headers": []}
    asyncio.run(create_app(world.parts)(scope, receive, send))
    assert came == []
    assert (answers, said.problems) == ([], [])


def test_what_is_no_token_is_refused(world: World, base: str) -> None:
    text, _ = tokens.create(world.storage, "one", SCOPES)
    nobody = Client(base, None)
    wrong = (
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        f"Bearer axisor_0123456789abcdef_{'A' * 43}",
        "Token {}",
        "Bearer {} x",
    )
    for header in wrong:
        assert nobody.error("GET", "/api/switches", headers={"Authorization": header.format(text)})[0] == 401, header
    assert nobody("GET", "/api/switches", headers={"Authorization": f"bearer {text}"}).status_code == 200


def test_a_token_in_the_query_does_not_count(world: World, base: str) -> None:
    text, _ = tokens.create(world.storage, "one", SCOPES)
    nobody = Client(base, None)
    assert nobody.error("GET", f"/api/switches?token={text}&access_token={text}") == (401, "unauthenticated")


def test_a_revoked_token_ends_at_once(world: World, base: str) -> None:
    text, made = tokens.create(world.storage, "one", ["read"])
    client = Client(base, text)
    assert client("GET", "/api/switches").status_code == 200
    tokens.revoke(world.storage, made.id)
    assert client.error("GET", "/api/switches") == (401, "unauthenticated")


def test_a_scope_opens_what_is_its_own(api: Api) -> None:
    for scope in SCOPES:
        client = api(scope)
        for (method, path), needed in NEEDS.items():
            status = client(method.upper(), path.format(execution_id="x", account_id="x"), json={}).status_code
            assert (status == 403) == (needed != scope), (method, path, status)


def test_openapi_and_unknown_paths_need_any_token(api: Api) -> None:
    client = api("execute")
    assert client.get("/api/openapi.json")["openapi"].startswith("3.")
    assert client.error("GET", "/nothing") == (404, "not_found")
    assert client.error("PUT", "/api/switches") == (405, "method_not_allowed")
    for path, allowed in (
        ("/api/switches", "GET, POST, DELETE"),
        ("/api/automation/executions/x", "GET"),
        ("/login", "GET, POST"),
        ("/healthz", "GET, HEAD"),
    ):
        assert client("PUT", path).headers["Allow"] == allowed


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_is_open_and_says_nothing(base: str, method: str) -> None:
    answer = Client(base, None)(method, "/healthz")
    assert (answer.status_code, answer.content) == (204, b"")


def test_every_answer_has_the_security_headers_and_none_lets_others_read_it(base: str, admin: Client) -> None:
    nobody = Client(base, None)
    answers = [
        nobody("GET", "/healthz"),
        nobody("GET", "/api/switches"),
        admin("GET", "/api/switches"),
        admin("GET", "/nothing", headers={"Origin": "https://evil.example"}),
        admin(
            "OPTIONS", "/api/switches", headers={"Origin": "https://e.example", "Access-Control-Request-Method": "GET"}
        ),
        admin("POST", "/api/switches", data=b"x" * (MAX_BODY + 1)),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


class TestSizes:
    def test_a_body_of_the_limit_is_read(self, admin: Client) -> None:
        body = b'{"scope": "all"' + b" " * (MAX_BODY - 16) + b"}"
        assert len(body) == MAX_BODY
        assert admin("POST", "/api/switches", data=body, headers=JSON).status_code == 200

    def test_a_larger_one_is_not(self, admin: Client) -> None:
        body = b'{"scope": "all"}' + b" " * MAX_BODY
        assert admin.error("POST", "/api/switches", data=body, headers=JSON) == (413, "body_too_large")

    def test_one_of_no_announced_length_is_not_read_further(self, admin: Client) -> None:
        def endless() -> Iterator[bytes]:
            for _ in range(8):
                yield b" " * 8192

        assert admin.error("POST", "/api/switches", data=endless(), headers=JSON) == (413, "body_too_large")


def within_a_minute(ask: Callable[[], list[requests.Response]]) -> list[requests.Response]:
    """Return the answers; ask anew where a minute began meanwhile, in which one or two more are let in."""
    began = time.time() // 60
    answers = ask()
    return answers if time.time() // 60 == began else ask()


class TestRates:
    def test_too_many_requests_are_told_to_wait(self, world: World) -> None:
        world.restart(http_requests_per_minute=5)
        with served(create_app(world.parts)) as base:

            def client() -> Client:
                return Client(base, tokens.create(world.storage, "of a test", SCOPES)[0])

            def hasty() -> list[requests.Response]:
                one = client()
                return [one("GET", path) for path in ["/api/switches"] * 12 + ["/nothing"]]

            answers = within_a_minute(hasty)
            assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 8
            assert answers[-1].json()["error"]["code"] == "too_many_requests"
            assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
            assert client()("GET", "/api/switches").status_code == 200, "each token has its own"

    def test_who_has_asked_too_often_can_still_pause(self, world: World) -> None:
        world.restart(http_requests_per_minute=3)
        with served(create_app(world.parts)) as base:

            def hasty() -> list[requests.Response]:
                one = Client(base, tokens.create(world.storage, "of a test", SCOPES)[0])
                asked = [one("GET", "/api/switches") for _ in range(5)]
                return asked + [one("POST", "/api/switches", json={"scope": "all"}) for _ in range(4)]

            answers = within_a_minute(hasty)
            assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2 + [200] * 3 + [429]
            assert "pauses" in answers[-1].json()["error"]["message"]


class TestUsers:
    """A token that is bound to a user acts and sees for no other, and can't tell foreign from missing."""

    @pytest.fixture
    def ran(self, world: World) -> dict[str, Any]:
        """One execution of each of two users, with their accounts and automations."""
        made: dict[str, Any] = {}
        for user in ("user123", "user456"):
            account = world.account(user, f"Account of {user}")
            entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
            result = world.run(entry, user_id=user)
            made[user] = {"account": account.id, "automation": entry, "execution": result["executionId"]}
        return made

    def test_executions(self, api: Api, ran: dict[str, Any]) -> None:
        client = api(user="user123")
        own, foreign = ran["user123"]["execution"], ran["user456"]["execution"]
        assert [one["id"] for one in client.get("/api/automation/executions")["executions"]] == [own]
        assert client.get("/api/automation/executions", user="user456") == {"executions": [], "next": None}
        assert client.get("/api/automation/executions", account=ran["user456"]["account"])["executions"] == []
        assert client.get(f"/api/automation/executions/{own}")["userId"] == "user123"
        for method, tail in (("GET", ""), ("POST", "/retry"), ("POST", "/resolve")):
            body = {"verdict": "executed"} if tail == "/resolve" else None
            missing = client(method, f"/api/automation/executions/no-such-one{tail}", json=body)
            hidden = client(method, f"/api/automation/executions/{foreign}{tail}", json=body)
            assert (hidden.status_code, missing.status_code) == (404, 404)
            assert hidden.text.replace(foreign, "ID") == missing.text.replace("no-such-one", "ID")

    def test_jobs(self, world: World, api: Api, ran: dict[str, Any]) -> None:
        client, automation = api(user="user123"), ran["user456"]["automation"]
        with world.changes() as changes:
            job = world.job(automation, user_id="user456")
            assert client.error("POST", "/api/automation/execute", json=job) == (404, "automation_not_found")
            job = world.job(automation, user_id="user123")
            taken = client("POST", "/api/automation/execute", json=job)
            world.parts.executor.run(taken.json()["executionId"])
        assert world.execution(taken.json()["executionId"]).error["code"] == "automation_not_found"  # type: ignore[index]
        assert changes.sent == []

    def test_figures(self, api: Api, ran: dict[str, Any]) -> None:
        client = api(user="user123")
        assert client.get("/api/metrics/performance")["executions"] == 1
        assert client.get("/api/metrics/performance")["cacheHitRate"] is None
        assert [one["userId"] for one in client.get("/api/metrics/accounts")["accounts"]] == ["user123"]
        assert client.get(f"/api/metrics/accounts/{ran['user123']['account']}")["executions"] == 1
        path = "/api/metrics/accounts/"
        assert client.error("GET", path + ran["user456"]["account"]) == (404, "account_not_found")
        assert client.error("GET", path + "no-such-one") == (404, "account_not_found")

    def test_switches(self, api: Api, admin: Client, ran: dict[str, Any]) -> None:
        client = api(user="user123")
        for scope in ("account", "automation"):
            own, foreign = ({"scope": scope, "id": ran[user][scope]} for user in ("user123", "user456"))
            assert client("POST", "/api/switches", json=own).status_code == 200
            assert client.error("POST", "/api/switches", json=foreign) == (404, "scope_not_found")
            assert admin("POST", "/api/switches", json=foreign).status_code == 200
            assert client.error("DELETE", "/api/switches", params=foreign) == (404, "scope_not_found")
        assert admin("POST", "/api/switches", json={"scope": "exchange", "id": "lnmarkets"}).status_code == 200
        assert {one["id"] for one in client.get("/api/switches")["switches"]} == {
            ran["user123"]["account"],
            ran["user123"]["automation"],
        }
        for scope in ({"scope": "all"}, {"scope": "exchange", "id": "lnmarkets"}):
            assert client.error("POST", "/api/switches", json=scope) == (403, "forbidden")
            assert client.error("DELETE", "/api/switches", params=scope) == (403, "forbidden")

    def test_health_and_metrics_concern_all(self, api: Api) -> None:
        for path in ("/api/health/workers", "/metrics"):
            assert api(user="user123").error("GET", path) == (403, "forbidden")


def test_the_documentation_lists_every_path_with_its_scope() -> None:
    rows = table(section(page("http-api.md"), "Endpoints"))
    assert {(row[0].lower(), row[1]): row[2] for row in rows} == NEEDS
