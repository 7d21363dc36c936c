"""A world for the documentation: on SQLite, made once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from axisor_executor.embedded import PrivateRedis
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from tests.harness.paper import PaperExchange
from tests.harness.world import ENCRYPTION_KEY, World


@pytest.fixture(scope="module")
def docs_world(
    tmp_path_factory: pytest.TempPathFactory, redis_server: PrivateRedis, paper_server: PaperExchange
) -> Iterator[World]:
    """A world that a file's tests share."""
    url = f"sqlite:///{tmp_path_factory.mktemp('docs') / 'axisor.db'}"
    paper_server.reset()
    settings = Settings(
        database_url=url,
        redis_url=redis_server.url,
        exchange_url=paper_server.url,
        encryption_key=ENCRYPTION_KEY,
        queue_prefix=f"docs-{uuid4().hex[:8]}",
    )
    made = World(settings, Storage(url), paper_server)
    yield made
    made.close()
