"""Waiting for ends: however many requests wait, one look at the database in a while serves them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from axisor_executor import switching
from axisor_executor.errors import StorageError
from axisor_executor.observe.logs import say
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import TERMINAL
from axisor_executor.switching import Pausing

LOOK_SECONDS = 0.05
LONGEST_LOOK_SECONDS = 1.0
"""Between two looks while the database is away."""
MOST_WAITING = 500
MOST_OF_ONE = 250
"""Of these, with one token: it does not keep all others from waiting."""

Key = TypeVar("Key", bound=Hashable)


class Waiting:
    """The requests of an event loop that wait for executions and pauses; none of them holds a thread or a connection.

    With ``MOST_WAITING`` of them, or ``MOST_OF_ONE`` with one token, further ones don't wait.
    """

    def __init__(self) -> None:
        self._ends: _Looked[str] = _Looked(_ended)
        self._pauses: _Looked[Pausing] = _Looked(_settled)

    @property
    def count(self) -> int:
        """How many requests wait."""
        return self._ends.count + self._pauses.count

    async def for_end(
        self,
        storage: Callable[[], Storage],
        execution_id: str,
        seconds: float,
        *,
        receive: Receive | None = None,
        whose: str = "",
    ) -> None:
        """Return when the execution is over, when ``seconds`` have passed, or when nobody may wait any more.

        Args:
            storage: gives the database.
            execution_id: what is waited for.
            seconds: how long at most.
            receive: the request's, behind its body: tells when the client has gone.
            whose: the token's id.

        Raises:
            ClientDisconnect: nobody is there to be answered.
        """
        await self._ends.wait(storage, execution_id, seconds, receive, whose)

    async def for_pause(
        self, storage: Callable[[], Storage], pausing: Pausing, seconds: float, *, receive: Receive, whose: str
    ) -> bool:
        """Wait as :meth:`for_end`; return whether :func:`axisor_executor.switching.found` can tell what was found."""
        return await self._pauses.wait(storage, pausing, seconds, receive, whose)

    def release(self) -> None:
        """Let nobody wait any more: the process stops. May be called from a signal's handler."""
        self._ends.release()
        self._pauses.release()


class _Looked(Generic[Key]):
    """Who waits for the same kind of thing, and the one task that looks for all of them."""

    def __init__(self, look: Callable[[Callable[[], Storage], Collection[Key]], Collection[Key]]) -> None:
        self._over = look
        self._waiting: dict[asyncio.Future[bool], tuple[Key, str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._released = False

    @property
    def count(self) -> int:
        return len(self._waiting)

    async def wait(
        self, storage: Callable[[], Storage], key: Key, seconds: float, receive: Receive | None, whose: str
    ) -> bool:
        if seconds <= 0 or self._is_full(whose):
            return False
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting[future] = (key, whose)
        client = None if receive is None else loop.create_task(_heard(receive, future))
        try:
            if self._released:  # asked behind the entry: whoever is entered by then is let go by `release`
                return False
            if self._looking is None or self._looking.done():
                self._looking = loop.create_task(self._look(storage))
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(future, None)
            if client is not None:
                client.cancel()

    def release(self) -> None:
        self._released = True
        # Not by the task that looks: its database may hang.
        for future in list(self._waiting):
            future.get_loop().call_soon_threadsafe(_tell, future, False)

    def _is_full(self, whose: str) -> bool:
        if len(self._waiting) >= MOST_WAITING:
            return True
        return whose != "" and Counter(one for _, one in self._waiting.values())[whose] >= MOST_OF_ONE

    async def _look(self, storage: Callable[[], Storage]) -> None:
        pause = LOOK_SECONDS
        while self._waiting:
            await asyncio.sleep(pause)
            wanted = {key for key, _ in self._waiting.values()}
            try:
                over = await run_in_threadpool(self._over, storage, wanted)
            except (StorageError, *BROKEN) as error:
                if pause == LOOK_SECONDS:
                    say.warning(f"The database is away while clients wait: {type(error).__name__}")
                pause = min(pause * 2, LONGEST_LOOK_SECONDS)
                continue
            pause = LOOK_SECONDS
            for future, (key, _) in self._waiting.items():
                if key in over:
                    _tell(future, True)


async def _heard(receive: Receive, future: asyncio.Future[bool]) -> None:
    """End a wait when the client has gone. What comes behind a body is that, or nothing that matters."""
    message: Message = await receive()
    if message["type"] == "http.disconnect" and not future.done():
        future.set_exception(ClientDisconnect())


def _tell(future: asyncio.Future[bool], is_over: bool) -> None:
    if not future.done():
        future.set_result(is_over)


def _ended(storage: Callable[[], Storage], execution_ids: Collection[str]) -> Collection[str]:
    if not execution_ids:
        return ()
    database = storage()
    ids, over = (",".join("?" * len(values)) for values in (execution_ids, TERMINAL))
    with database.connection():
        rows = database.rows(
            f"SELECT id FROM axisor_executions WHERE id IN ({ids}) AND status IN ({over})",  # noqa: S608
            *execution_ids,
            *TERMINAL,
        )
    return {row[0] for row in rows}


def _settled(storage: Callable[[], Storage], pausings: Collection[Pausing]) -> Collection[Pausing]:
    if not pausings:
        return ()
    database = storage()
    with database.connection():
        return {one for one in pausings if switching.is_settled(database, one)}
