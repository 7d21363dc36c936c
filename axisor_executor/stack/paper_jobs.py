"""Brings a job for each of the paper users' automations again and again, as the monolith's scheduler would.

Run as ``python -m axisor_executor.stack.paper_jobs SECONDS``; SIGTERM ends it.
"""

from __future__ import annotations

import signal
import sys
import threading

from axisor_executor import automations, runtime
from axisor_executor.api import enqueue
from axisor_executor.cli.environment import read_settings
from axisor_executor.errors import AxisorError
from axisor_executor.observe.logs import say
from axisor_executor.runtime import Runtime
from axisor_executor.stack.paper_world import USERS
from axisor_executor.storage.connection import BROKEN


def bring(parts: Runtime) -> int:
    """Enqueue a job for each active automation of the paper users and return how many."""
    active = [one for user in USERS for one in automations.listed(parts, user_id=user, is_active=True)]
    for automation in active:
        enqueue({"userId": automation["userId"], "automationId": automation["id"]})
    return len(active)


def main(every_seconds: float) -> None:
    """Bring jobs every so many seconds until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parts = Runtime(read_settings(least="INFO"))
    runtime.use(parts)
    try:
        while not stop.is_set():
            try:
                say.info(f"{bring(parts)} jobs were brought")
            except (*BROKEN, AxisorError) as error:
                say.warning(f"No jobs were brought: {type(error).__name__}")
            stop.wait(every_seconds)
    finally:
        runtime.use(None)
        parts.close()


if __name__ == "__main__":
    main(float(sys.argv[1]))
