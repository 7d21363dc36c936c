"""Messages on the queue that are none: bytes of another program, JSON of another shape, another queue's name.

Dramatiq's consumer dies of the first one, leaves those that were fetched with it lying until its process ends, and
stumbles over it again in the next; one that names another queue ends a worker thread for good.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.errors import DecodeError

OPTIONS = {"redis_message_id", "eta"}
"""The options that mean anything here. What Dramatiq makes of others, such as ``throws``, can end a worker thread."""


def read(data: bytes, *, queue_name: str, message_id: bytes) -> Message[Any] | None:
    """Return the message that stands under this id on a queue; ``None`` where a worker can't take or acknowledge it.

    Of its options it has those alone that mean anything here.
    """
    try:
        message: Message[Any] = Message.decode(data)
    except DecodeError:
        return None
    is_one = (
        message.queue_name == queue_name
        and isinstance(message.actor_name, str)
        and isinstance(message.message_id, str)
        and isinstance(message.kwargs, dict)
        and isinstance(message.options, dict)
        and isinstance(own_id := message.options.get("redis_message_id"), str)
        and own_id.encode(errors="replace") == message_id
    )
    if not is_one:
        return None
    for name in message.options.keys() - OPTIONS:
        del message.options[name]
    return message
