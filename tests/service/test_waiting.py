"""Who waits, and who does not any more: clients that go, a token that is greedy, a database that is away."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from axisor_executor.errors import StorageError
from axisor_executor.service import waiting
from axisor_executor.service.waiting import Waiting
from axisor_executor.storage.connection import Storage
from tests.integration.conftest import Said

LONG = 60.0


def away() -> Storage:
    raise StorageError("the database can't be reached", code="database_unavailable", status=503)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_LOOK_SECONDS", 0.004)


async def entered(all_: Waiting, count: int) -> None:
    async with asyncio.timeout(10):
        while all_.count != count:
            await asyncio.sleep(0)


def test_a_client_that_has_gone_waits_no_longer() -> None:
    async def scene() -> None:
        all_, hung_up = Waiting(), asyncio.Event()

        async def receive() -> Message:
            await hung_up.wait()
            return {"type": "http.disconnect"}

        one = asyncio.create_task(all_.for_end(away, "1", LONG, receive=receive))
        await entered(all_, 1)
        hung_up.set()
        with pytest.raises(ClientDisconnect):
            await one
        assert all_.count == 0

    asyncio.run(scene())


def test_what_comes_behind_a_body_ends_no_wait() -> None:
    """Not every server waits with its next message until the client has gone."""

    async def scene() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await Waiting().for_end(away, "1", 0.05, receive=receive)

    asyncio.run(scene())


def test_one_token_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_OF_ONE", 2)
    monkeypatch.setattr(waiting, "MOST_WAITING", 3)

    async def scene() -> None:
        all_ = Waiting()
        greedy = [asyncio.create_task(all_.for_end(away, "1", LONG, whose="greedy")) for _ in range(2)]
        await entered(all_, 2)
        await all_.for_end(away, "1", LONG, whose="greedy")
        other = asyncio.create_task(all_.for_end(away, "1", LONG, whose="another"))
        await entered(all_, 3)
        await all_.for_end(away, "1", LONG, whose="a third")
        all_.release()
        await asyncio.gather(*greedy, other)

    asyncio.run(scene())


def test_an_outage_is_told_once(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is asked less often; when it is back, and away again, that is told again."""
    looks = 0

    def ended(*_: Any) -> set[str]:
        nonlocal looks
        looks += 1
        if looks not in (6, 12):
            away()
        return {"1"} if looks == 12 else set()

    monkeypatch.setattr(waiting, "_ended", ended)
    asyncio.run(Waiting().for_end(away, "1", LONG))
    assert looks == 12
    assert sum("The database is away while clients wait" in line for line in said.lines) == 2


def test_a_database_that_hangs_keeps_nobody_when_the_process_stops() -> None:
    answers, asked = threading.Event(), threading.Event()

    def hanging() -> Storage:
        asked.set()
        answers.wait(30)
        return away()

    async def scene() -> None:
        all_ = Waiting()
        one = asyncio.create_task(all_.for_end(hanging, "1", LONG))
        await asyncio.to_thread(asked.wait, 10)
        all_.release()
        async with asyncio.timeout(5):
            await one
        answers.set()

    try:
        asyncio.run(scene())
    finally:
        answers.set()
