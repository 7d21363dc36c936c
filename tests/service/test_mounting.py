"""The API inside another ASGI application, as the monolith would mount it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from axisor_executor.service import create_app
from axisor_executor.storage import tokens
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
