"""The HTTP API of a test's world, served by a real server in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import uvicorn
from starlette.types import ASGIApp

from axisor_executor.service import create_app
from axisor_executor.storage import tokens
from axisor_executor.storage.tokens import SCOPES, Scope
from tests.harness.world import World
from tests.integration.conftest import (  # noqa: F401  a migrated database is copied, not made, for each test
    database_url,
    migrated_postgres,
    migrated_sqlite,
    said,
)

JSON = {"Content-Type": "application/json"}


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application while the block runs, and return its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class Client:
    """Calls the API with one token; keeps every answer's text."""

    def __init__(self, base: str, token: str | None) -> None:
        self.base = base
        self.token = token
        self.heard: list[str] = []
        self._session = requests.Session()
        self._session.trust_env = False
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request; ``json`` and ``params`` as requests takes them."""
        answer = self._session.request(method, f"{self.base}{path}", timeout=60, **more)
        self.heard.append(f"{answer.headers}\n{answer.text}")
        return answer

    def get(self, path: str, **params: Any) -> Any:
        """Return what a path answers, which must be a success."""
        answer = self("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Return status and code of an error, which must have the one shape."""
        answer = self(method, path, **more)
        body = answer.json()
        assert body.keys() == {"error"}, body
        assert body["error"]["status"] == answer.status_code
        assert body["error"]["message"]
        return answer.status_code, body["error"]["code"]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


Api = Callable[..., Client]


@contextmanager
def client_of(world: World) -> Iterator[Client]:
    """A client with all scopes of a world that the test has restarted: its API begins with the block."""
    text, _ = tokens.create(world.storage, "of a test", SCOPES)
    with served(create_app(world.parts)) as base:
        client = Client(base, text)
        yield client
        client.close()


@pytest.fixture
def base(world: World) -> Iterator[str]:
    """The address of this world's API."""
    with served(create_app(world.parts)) as address:
        yield address


@pytest.fixture
def api(world: World, base: str) -> Iterator[Api]:
    """Makes clients: of these scopes (all if none is named), for this user."""
    made: list[Client] = []

    def client(*scopes: Scope, user: str | None = None) -> Client:
        text, _ = tokens.create(world.storage, "of a test", scopes or SCOPES, user_id=user)
        made.append(Client(base, text))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def admin(api: Api) -> Client:
    """A client with all scopes, for all users."""
    return api()
