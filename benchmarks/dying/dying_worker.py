"""The broker module of a worker that kills itself (SIGKILL) where it is told: at a point of a run, or before any.

``BENCH_DIE_AT`` names the point, ``BENCH_NOTE`` the file in which it leaves the time; once that is there, nobody dies.
"""

from __future__ import annotations

import os
import signal
import time

from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy

from axisor_executor.actors import broker
from axisor_executor.run import points

__all__ = ["broker"]

FETCHED = "fetched"


def die(point: str) -> None:
    """Die if this is the point, and nobody has died yet."""
    if point != os.environ["BENCH_DIE_AT"]:
        return
    try:
        note = os.open(os.environ["BENCH_NOTE"], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(note, f"{time.time()}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


class DiesFetched(Middleware):
    """Die with a message in hand of which the ledger knows nothing."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        die(FETCHED)


broker.add_middleware(DiesFetched())
points.listeners.append(die)
