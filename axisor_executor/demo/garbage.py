"""Messages that other producers put on the queue: a job in the shape of old, and what no worker can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

QUEUE, ACTOR = "default", "run_default"
RAW = (
    b"\x00\xff\xfe these bytes are no message",
    b'{"hello": "world"}',
    json.dumps(
        {
            "queue_name": "of-someone-else",
            "actor_name": ACTOR,
            "args": [],
            "kwargs": {},
            "options": {"redis_message_id": "garbage-2"},
            "message_id": "garbage-2",
            "message_timestamp": 0,
        }
    ).encode(),
)
ODD_ARGUMENTS: tuple[tuple[Any, ...], ...] = ((1, 2, 3), ({"userId": 7, "automation": None},), ([],))
PIECES = len(RAW) + len(ODD_ARGUMENTS)


class Producer:
    """A program that knows the queue's address, and not this library."""

    def __init__(self, redis_url: str, namespace: str) -> None:
        self._client = redis.Redis.from_url(redis_url)
        self._namespace = namespace
        self._broker: Any = RedisBroker(  # type: ignore[no-untyped-call]
            client=self._client, namespace=namespace, middleware=[]
        )

    def send(self, job: Mapping[str, Any]) -> str:
        """Put a job on the queue as a plain dictionary; return the message's id."""
        return self._send(dict(job))

    def litter(self) -> None:
        """Put :data:`PIECES` messages on the queue that are no jobs."""
        for number, raw in enumerate(RAW):
            self._client.hset(f"{self._namespace}:{QUEUE}.msgs", f"garbage-{number}", raw)
            self._client.rpush(f"{self._namespace}:{QUEUE}", f"garbage-{number}")
        for arguments in ODD_ARGUMENTS:
            self._send(*arguments)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _send(self, *arguments: Any) -> str:
        message: Message[Any] = Message(queue_name=QUEUE, actor_name=ACTOR, args=arguments, kwargs={}, options={})
        self._broker.enqueue(message)
        return message.message_id
