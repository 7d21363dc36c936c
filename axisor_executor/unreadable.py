"""Messages on the queue that are none: bytes of another program, JSON of another shape, another queue's name.

Dramatiq's consumer dies of the first one, leaves those that were fetched with it lying until its process ends, and
stumbles over it again in the next; one that names another queue ends a worker thread for good.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.errors import DecodeError

from axisor_executor.lanes import ACTORS

LONGEST_ID = 200
"""Characters of a message's id, under which its execution is found again; far longer ones go into no index."""
_OWN_ID = "redis_message_id"
OPTIONS = {_OWN_ID, "eta"}
"""The options that mean anything here. What Dramatiq makes of others, such as ``throws``, can end a worker thread.

``eta`` is for delay queues. On a lane Dramatiq would keep the message, and with it a thread's place, until then.
"""


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
        and len(message.message_id) <= LONGEST_ID
        and isinstance(message.kwargs, dict)
        and isinstance(message.options, dict)
        and isinstance(own_id := message.options.get(_OWN_ID), str)
        and own_id.encode(errors="replace") == message_id
    )
    if not is_one:
        return None
    for name in message.options.keys() - ({_OWN_ID} if queue_name in ACTORS else OPTIONS):
        del message.options[name]
    return message
