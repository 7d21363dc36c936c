"""What the processes of an installation share in Redis besides the queue: rates, prices, the state of breakers.

None of it is needed to be right, only to be a good citizen: when Redis is away each process goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from axisor_executor.observe.logs import say
from axisor_executor.redis_client import Client

T = TypeVar("T")

TIMEOUT_SECONDS = 0.25
AWAY_SECONDS = 1.0
SAID_SECONDS = 60.0
"""A Redis that answers some calls and not others (full, read-only, rights) is said to be so once in this time."""


class Shared:
    """One client of the installation's Redis that never holds anybody up.

    After a call that failed, Redis counts as away for a second, during which nobody waits for it.

    Args:
        url: of Redis.
        prefix: the installation's namespace.
        clock: monotonic, in seconds.
    """

    def __init__(self, url: str, prefix: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = Client.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # For a connection that went stale. After a time-out the call may have been carried out, and done twice it
            # would find its own probe, turn or opening taken.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._prefix = prefix
        self._clock = clock
        self._away_until = 0.0
        self._said_until = 0.0

    def key(self, *parts: str) -> str:
        """Return the name of a key of ours."""
        return ":".join((self._prefix, *parts))

    def ask(self, call: Callable[[Any], T]) -> T | None:
        """Return what ``call`` returns, given the client; ``None`` while Redis is away."""
        if self._clock() < self._away_until:
            return None
        try:
            answer = call(self._client)
        except (redis.RedisError, OSError) as error:
            now = self._clock()
            if not self._away_until and now >= self._said_until:
                say.warning(
                    f"Redis does not answer ({type(error).__name__}): rates and prices are kept by each process"
                )
                self._said_until = now + SAID_SECONDS
            self._away_until = now + AWAY_SECONDS
            return None
        self._away_until = 0.0
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
