"""Waiting for ends: however many requests wait, one look at the database in a while serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from starlette.concurrency import run_in_threadpool

from axisor_executor.errors import StorageError
from axisor_executor.observe.logs import say
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import TERMINAL

LOOK_SECONDS = 0.05
MOST_WAITING = 500


class Waiting:
    """The requests of an event loop that wait for executions; none of them holds a thread or a connection.

    With ``MOST_WAITING`` of them, further ones don't wait.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._released = False

    async def for_end(self, storage: Callable[[], Storage], execution_id: str, seconds: float) -> None:
        """Return when the execution is over, when ``seconds`` have passed, or when nobody may wait any more."""
        if self._released or seconds <= 0 or len(self._waiting) >= MOST_WAITING:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting[future] = execution_id
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look(storage))
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return
        finally:
            self._waiting.pop(future, None)

    def release(self) -> None:
        """Let nobody wait any more: the process stops. May be called from a signal's handler."""
        self._released = True

    async def _look(self, storage: Callable[[], Storage]) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            wanted = set(self._waiting.values())
            try:
                ended = wanted if self._released else await run_in_threadpool(_ended, storage, wanted)
            except (StorageError, *BROKEN) as error:
                say.warning(f"The database is away while clients wait: {type(error).__name__}")
                continue
            for future, execution_id in self._waiting.items():
                if execution_id in ended and not future.done():
                    future.set_result(None)


def _ended(storage: Callable[[], Storage], execution_ids: Collection[str]) -> set[str]:
    if not execution_ids:
        return set()
    database = storage()
    ids, over = (",".join("?" * len(values)) for values in (execution_ids, TERMINAL))
    with database.connection():
        rows = database.rows(
            f"SELECT id FROM axisor_executions WHERE id IN ({ids}) AND status IN ({over})",  # noqa: S608
            *execution_ids,
            *TERMINAL,
        )
    return {row[0] for row in rows}
