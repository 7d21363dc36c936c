"""The API inside another ASGI application, as the monolith would mount it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from axisor_executor.service import create_app
from axisor_executor.service.callers import COOKIE
from axisor_executor.storage import sessions, tokens
from tests.harness.world import World
from tests.service.conftest import Client, served


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.mark.parametrize("prefix", ["/executor", "/api/v2/executor"])
def test_mounted_under_a_prefix(world: World, prefix: str) -> None:
    """Without a runtime of its own it uses the process's, and the host's own paths stay the host's."""
    host = Starlette(routes=[Route("/hello", hello), Mount(prefix, create_app())])
    text, _ = tokens.create(world.storage, "one", tokens.SCOPES)
    with served(host) as base:
        client, nobody = Client(base, text), Client(base, None)
        assert nobody("GET", "/hello").text == "hello"
        assert nobody("GET", f"{prefix}/healthz").status_code == 204
        for path in ("/", "/api/switches", "/api/openapi.json", "/healthz/x", f"{prefix}/healthz"):
            assert nobody.error("GET", f"{prefix}{path}") == (401, "unauthenticated"), path
        answer = client("POST", f"{prefix}/api/automation/execute?wait=0.1", json=world.job("auto789"))
        assert answer.status_code == 202
        assert answer.headers["Location"].startswith(f"{prefix}/api/automation/executions/")
        assert client.get(answer.headers["Location"])["id"] == answer.json()["executionId"]
        assert client.error("GET", f"{prefix}/nothing") == (404, "not_found")
        described = client.get(f"{prefix}/api/openapi.json")
        assert described["servers"] == [{"url": prefix}]
        client.close()
        nobody.close()


def test_the_state_of_the_host_stays_the_hosts(world: World) -> None:
    """Its middleware may keep a session and a token of its own there, and never finds ours."""
    theirs = {"session": object(), "token": "of the host"}
    found: list[tuple[dict[str, object], str]] = []

    class Keeps:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(theirs)
            await self.app(scope, receive, send)
            found.append((scope["state"], repr(scope)))

    text, made = tokens.create(world.storage, "one", tokens.SCOPES)
    session = sessions.begin(world.storage, made)
    host = Starlette(routes=[Mount("/executor", create_app(world.parts))], middleware=[Middleware(Keeps)])
    with served(host) as base:
        client, browser = Client(base, text), Client(base, None)
        assert client("GET", "/executor/api/switches").status_code == 200
        assert browser("GET", "/executor/", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 200
        client.close()
        browser.close()
    assert [state for state, _ in found] == [theirs, theirs]
    assert found[1][1].count(session) == 1, "in the request's own header, and nowhere else that a log may show"
