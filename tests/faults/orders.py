"""Orders to die or to stand still, which workers find in a folder and obey at marked points.

An order is a file ``<kill|stop>.<mark>.<number>``: whichever process reaches the mark first (by the toss of a seeded
coin) takes it away and obeys. A mark is a point of `axisor_executor.run.points`, or ``between``: the first step of a
group is settled, the second is still to come.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

RARELY_MISSED = 0.7  # there are few of them
_FRAMES_TO_THE_GROUP = 8


def _is_between() -> bool:
    """Whether the point was reached behind a step that others of its group follow."""
    frame = sys._getframe(3)
    for _ in range(_FRAMES_TO_THE_GROUP):
        if "outcome" in frame.f_locals and "index" in frame.f_locals:
            return bool(frame.f_locals["index"] + 1 < len(frame.f_locals["outcome"].group.actions))
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


class Orders:
    """Obeys what lies in the folder."""

    def __init__(self, folder: Path, seed: str, chance: float) -> None:
        self.folder = folder
        self.chance = chance
        self.random = random.Random(f"{seed}.{os.environ.get('STORM_LIFE', '0')}")

    def reached(self, point: str) -> None:
        """Listen to the marked points."""
        mark = "between" if point == "settled" and _is_between() else point
        if self.random.random() >= (RARELY_MISSED if mark == "between" else self.chance):
            return
        for what in ("kill", "stop"):
            order = next(iter(sorted(self.folder.glob(f"{what}.{mark}.*"))), None)
            if order is not None and self._take(order):
                self._obey(what)
                return

    def _take(self, order: Path) -> bool:
        try:
            order.rename(self.folder / f"done.{order.name}")
        except FileNotFoundError:
            return False  # another process was quicker
        return True

    def _obey(self, what: str) -> None:
        if what == "kill":
            os.killpg(0, signal.SIGKILL)  # with Dramatiq's master, which would only take a second to notice
        (self.folder / f"stopped.{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGSTOP)


def found() -> Orders | None:
    """Return the orders of this process, as its crew has set them in the environment; ``None`` outside a storm."""
    folder = os.environ.get("STORM_ORDERS")
    if folder is None:
        return None
    (Path(folder) / f"pid.{os.environ['STORM_LIFE']}").write_text(str(os.getpid()))
    return Orders(Path(folder), os.environ["STORM_SEED"], float(os.environ["STORM_CHANCE"]))
