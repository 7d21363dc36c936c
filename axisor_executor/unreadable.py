"""Messages on the queue that are none: bytes of another program, JSON of another shape, another queue's name.

Dramatiq's consumer dies of the first one, leaves those that were fetched with it lying until its process ends, and
stumbles over it again in the next; one that names another queue ends a worker thread for good.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import DecodeError

from axisor_executor.observe.logs import say


class TolerantBroker(RedisBroker):
    """A Redis broker that logs what is no message and puts it with the dead letters."""

    def do_fetch(self, queue_name: str, prefetch: int) -> list[bytes]:
        """Return the next messages, as a consumer asks for them."""
        fetched: list[bytes | None] = self._dispatch("fetch")(queue_name, prefetch)  # type: ignore[no-untyped-call]
        readable = [data for data in fetched if _is_message(data, queue_name)]
        if len(readable) < len(fetched):
            self._drop_unreadable(queue_name)
        return [data for data in readable if data is not None]

    def _drop_unreadable(self, queue_name: str) -> None:
        """Dead-letter what this process holds and can't read; a fetch does not tell under which id it stands."""
        client: Any = self.client
        for message_id in client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"):
            if not _is_message(client.hget(f"{self.namespace}:{queue_name}.msgs", message_id), queue_name):
                self._dispatch("nack")(queue_name, message_id)  # type: ignore[no-untyped-call]
                say.error(f"A message on queue {queue_name} can't be read and was dropped")


def _is_message(data: bytes | None, queue_name: str) -> bool:
    """Whether a worker can take ``data`` and acknowledge it."""
    if data is None:
        return False
    try:
        message: Message[Any] = Message.decode(data)
    except DecodeError:
        return False
    return (
        message.queue_name == queue_name
        and isinstance(message.actor_name, str)
        and isinstance(message.kwargs, dict)
        and isinstance(message.options, dict)
        and isinstance(message.options.get("redis_message_id"), str)
    )
