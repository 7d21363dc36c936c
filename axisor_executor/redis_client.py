"""The client with which everything here asks Redis: redis-py's, without what its pool does around each command."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import redis
from redis.client import Pipeline
from redis.connection import HiredisRespSerializer
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.utils import HIREDIS_AVAILABLE

SOCKET_TIMEOUT_SECONDS = 3.0
AWAY_ERRORS = (redis.ConnectionError, redis.TimeoutError, OSError)
"""What a Redis that is away or hangs looks like."""
QUEUE_ERRORS = (redis.RedisError, OSError)
"""What a Redis that is away, hangs or refuses looks like."""
MOST_CONNECTIONS = 2**31
"""Each thread has one. redis-py's own bound (100, since version 8) would look like a Redis that is away."""
_REFUSED_IN_A_SCRIPT = "-READONLY "
"""What a replica's refusal holds that came out of a script; before version 7 it begins as any other error does."""
_QUOTED = ", with args beginning with"
"""What stands in front of the arguments, where a server quotes those of a command that it does not know."""


class _Packer(HiredisRespSerializer):
    """Packs commands with hiredis, which is handed numbers as texts.

    A number it makes a text of itself, and there it crashes (3.5) where the handler of a signal raises meanwhile.
    """

    def pack(self, *command: Any) -> list[Any]:
        """Return a command in the protocol's form."""
        parts: list[Any] = [repr(part) if type(part) in (int, float) else part for part in command]
        packed: list[Any] = super().pack(*parts)
        return packed


def _introduce(connection: Any) -> None:
    """Do what comes first on each connection. The password is part of it, and no refusal may quote it."""
    try:
        # Without a check of its health: where Redis hangs, that connects anew, which comes back to here, and so on.
        connection.on_connect_check_health(check_health=False)
    except RedisError as refusal:
        refusal.args = (str(refusal).partition(_QUOTED)[0],)
        raise


class NoMasterError(redis.ConnectionError):
    """The server is a replica (by now): the master is elsewhere, and to be found by connecting anew."""


class _Answers(redis.Redis):
    """Takes a server that is no master for one that is away, so that whoever asks gives the connection up.

    After a failover the old master may live on, and with it each connection that was open.
    """

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Read an answer."""
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as refusal:
            if isinstance(refusal, (ReadOnlyError, MasterDownError)) or _REFUSED_IN_A_SCRIPT in str(refusal):
                raise NoMasterError(str(refusal)) from None
            raise


class _Pipeline(_Answers, Pipeline):
    """A pipeline that does so, too."""


class Client(_Answers):
    """A client of many threads, which takes a connection that was used before as it is.

    redis-py's pool asks the operating system whether the connection still stands, under a lock, and counts for metrics
    that nobody reads; that takes longer than a short command. Here a connection that broke meanwhile is found by the
    command, which the client's ``retry`` sends again on a new one. Pipelines go through the pool.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: deque[Any] = deque()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a client of the Redis at a URL; nothing connects yet.

        It speaks RESP2, as redis-py did before version 8: RESP3 begins with a command that older servers and some
        proxies refuse, and takes the password along.
        """
        client = super().from_url(
            url,
            protocol=2,
            max_connections=MOST_CONNECTIONS,
            redis_connect_func=_introduce,
            command_packer=_Packer() if HIREDIS_AVAILABLE else None,
            **options,
        )
        return cast("Self", client)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """Return a pipeline."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and return its answer."""

        def ask(connection: Any) -> Any:
            connection.send_command(*args)
            return self.parse_response(connection, args[0], **options)

        return self._ask(ask)

    def execute_behind(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands at once, of which the first may wait, and return their answers: refusals as they are.

        Redis goes on to the next one the moment that the one before is over, without asking whether the client is there
        to be told.
        """

        def ask(connection: Any) -> list[Any]:
            connection.send_packed_command(connection.pack_commands(commands))
            return [self._answer(connection, command[0]) for command in commands]

        answers: list[Any] = self._ask(ask)
        return answers

    def _answer(self, connection: Any, name: str) -> Any:
        try:
            return self.parse_response(connection, name)
        except ResponseError as refusal:
            return refusal

    def _ask(self, ask: Callable[[Any], Any]) -> Any:
        connection = self._taken()
        try:
            return connection.retry.call_with_retry(lambda: ask(connection), lambda _: connection.disconnect())
        except ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # the answer may come yet, and would be taken for the next command's
            raise
        finally:
            self._idle.append(connection)

    def _taken(self) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            pool: Any = self.connection_pool
            return pool.get_connection()
        return connection if connection.pid == os.getpid() else self._taken()  # after a fork it is the parent's
