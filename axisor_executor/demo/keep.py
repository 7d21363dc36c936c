"""``demo --keep``: say how to go on with the stack, and keep it until Ctrl-C."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path

from axisor_executor.demo.perform import Played
from axisor_executor.demo.stack import Stack
from axisor_executor.demo.stage import Stage
from axisor_executor.errors import EmbeddedServerError

_AGAIN = "margin_guard, not at risk"
_LOWER_PRICE = 38_500
_POLL_SECONDS = 0.2


def how_to_go_on(stack: Stack, stage: Stage, played: list[Played]) -> str:
    """Return the exports and some commands that work in another terminal."""
    command = _command()
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in stack.variables.items())
    job = next(cast.job for cast in stage.casts if cast.case.title == _AGAIN)
    again = f"--user {job['userId']} --automation {job['automationId']} --trade {job['tradeId']}"
    return f"""The stack keeps running until Ctrl-C. In another terminal:

{exports}

{command} status
{command} executions list
{command} executions show {played[0].execution.id}
{command} db check

# This guard waits for 90 % of the way to the liquidation. Let the price fall, and it closes its trade:
{command} enqueue {again} --wait 10
curl -X PUT {stack.paper.url}/paper/price -d '{{"price": {_LOWER_PRICE}}}'
{command} enqueue {again} --wait 10

tail -f {shlex.quote(str(stack.worker.output))}
"""


def keep_running(stack: Stack) -> None:
    """Wait until the user has enough.

    Raises:
        KeyboardInterrupt: that is how.
        EmbeddedServerError: the worker has ended.
    """
    while stack.worker.running:
        time.sleep(_POLL_SECONDS)
    raise EmbeddedServerError(f"the worker has ended with status {stack.worker.returncode}")


def _command() -> str:
    """Return how this program is called from a shell: its name, or its path where the name finds another."""
    started = Path(sys.argv[0])
    if started.name != "axisor-executor":
        return f"{shlex.quote(sys.executable)} -m axisor_executor.cli"
    found = shutil.which(started.name)
    return started.name if found and Path(found).resolve() == started.resolve() else shlex.quote(str(started.resolve()))
