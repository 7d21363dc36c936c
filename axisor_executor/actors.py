"""The actors, for ``dramatiq axisor_executor.actors``: the broker first, then thin functions.

A message holds an execution's id. One of another producer may hold a job (as its only argument, or as keyword
arguments); it gets an execution from its message id, so it is carried out once however often it is delivered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dramatiq
import peewee
from dramatiq import Message
from dramatiq.middleware import CurrentMessage

from axisor_executor import runtime
from axisor_executor.automation import Lane
from axisor_executor.broker import make_broker
from axisor_executor.errors import AxisorError, StorageError
from axisor_executor.lanes import ACTORS
from axisor_executor.lifecycle import Lifecycle, stopping
from axisor_executor.observe.logs import configure, say
from axisor_executor.redis_client import QUEUE_ERRORS
from axisor_executor.settings import Settings, load_settings, settings_warnings
from axisor_executor.storage.connection import BROKEN
from axisor_executor.storage.executions import Execution

DATABASE_AWAY = (*BROKEN, StorageError)
REFUSED = (peewee.DataError, peewee.IntegrityError)
"""What a database says of what it is to write, however often; all else is its own, and may pass."""
FIRST_PAUSE, SLOWEST_PAUSE = 0.1, 3.0


def _start() -> Settings:
    try:
        settings = load_settings()
        settings.require_database()
    except AxisorError as error:
        # Dramatiq would show a traceback; what is wrong with the environment is all that its owner needs.
        raise SystemExit(f"axisor-executor: {error}") from None
    import os

    configure(
        settings.log_format,
        settings.log_level,
        levels=settings.log_levels,
        debug_runs=settings.log_debug_runs,
        gathered=True,
    )
    for warning in settings_warnings(os.environ):
        say.warning(warning)
    return settings


broker = make_broker(_start(), [Lifecycle()])
dramatiq.set_broker(broker)


def _run(lane: Lane, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Carry a message out; while the database is away there is nothing else to do than to wait for it."""
    pause = FIRST_PAUSE
    while True:
        try:
            return _run_once(lane, args, kwargs)
        except DATABASE_AWAY as error:
            reason = runtime.current().storage.reason(error)
            say.warning(f"A message waits for the database, trying again in {pause:g} s: {reason}")
            if stopping.wait(pause):
                return _hand_back()
            pause = min(pause * 2, SLOWEST_PAUSE)


def _hand_back() -> None:
    """Put the message that is being worked on back on its queue: this worker stops before it can be carried out.

    Dramatiq acknowledges it when this returns or raises, so it must be back by then. While it can't be, the message
    stays this process', and goes to another one when the time to stop has run out.
    """
    message = CurrentMessage.get_current_message()
    while message is not None:
        try:
            broker.enqueue(message)  # with its id: its execution may be in the ledger already
            return
        except QUEUE_ERRORS as error:
            say.warning(f"Redis is away, a message is handed back later: {type(error).__name__}")
            time.sleep(FIRST_PAUSE)


def _run_once(lane: Lane, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    parts = runtime.current()
    if len(args) == 1 and isinstance(args[0], str) and not kwargs:
        parts.executor.run(args[0])
        return
    execution = _take(lane, args[0] if len(args) == 1 and not kwargs else kwargs)
    if execution is None:
        return
    if execution.lane == lane:
        parts.executor.run(execution.id)
    else:
        parts.intake.announce(execution)


def _take(lane: Lane, job: Any) -> Execution | None:
    """Return the execution of a job that stands in a message; ``None`` where it gets none.

    Until it has one the job is nowhere else. So its message waits for a database that refuses everybody, and becomes a
    dead letter where it is its own fault that there is no execution, or a mistake of ours.

    Raises:
        StorageError: the database is away, or can't take any job.
    """
    intake = runtime.current().intake
    message: Any = CurrentMessage.get_current_message()  # none where an application calls the actor as a function
    try:
        execution, _ = intake.take(job, message_id=message.message_id if message else None, sent_at=_sent_at(message))
        return execution
    except StorageError:
        raise
    except AxisorError as error:
        say.error(f"A message on queue {lane} is no job and was dropped: {error}")
    except Exception as error:  # with whatever else, Dramatiq would acknowledge the message
        if isinstance(error, peewee.PeeweeException) and not isinstance(error, REFUSED):
            raise StorageError(intake.storage.reason(error), code="database_error") from None
        if message is None:
            raise
        say.crash(f"A job on queue {lane} could not be taken, and its message became a dead letter")
        message.fail()
    return None


def _sent_at(message: Message[Any] | None) -> datetime | None:
    """Return when a message was first sent; what another producer wrote there may be anything."""
    stamp: Any = message.message_timestamp if message else None
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


@dramatiq.actor(actor_name=ACTORS["protect"], queue_name="protect", priority=0)
def run_protect(*args: Any, **kwargs: Any) -> None:
    """Carry out an execution of the lane that must never wait behind entries."""
    _run("protect", args, kwargs)


@dramatiq.actor(actor_name=ACTORS["default"], queue_name="default", priority=10)
def run_default(*args: Any, **kwargs: Any) -> None:
    """Carry out an execution of the default lane."""
    _run("default", args, kwargs)
