"""The broker module of a worker that kills itself (SIGKILL) where it is told: at a point of a run, or before any.

``BENCH_DIE_AT`` names the point. Whoever reaches it while the file ``BENCH_ARMED`` is there takes it away by renaming
it to ``BENCH_DIED``, leaves the time in it, and dies: one worker for each time that it is put there.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy

from axisor_executor.actors import broker
from axisor_executor.run import points

__all__ = ["broker"]

FETCHED = "fetched"
ARMED, DIED = Path(os.environ["BENCH_ARMED"]), Path(os.environ["BENCH_DIED"])


def die(point: str) -> None:
    """Die if this is the point, and somebody is to die."""
    if point != os.environ["BENCH_DIE_AT"]:
        return
    try:
        ARMED.rename(DIED)
    except FileNotFoundError:
        return
    DIED.write_text(f"{time.time()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


class DiesFetched(Middleware):
    """Die with a message in hand of which the ledger knows nothing."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        die(FETCHED)


broker.add_middleware(DiesFetched())
points.listeners.append(die)
