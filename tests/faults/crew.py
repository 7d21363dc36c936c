"""Workers that are killed and come back: what systemd or a container's restart policy does in production."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from axisor_executor.embedded import ChildProcess
from tests.harness.world import World

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
POINTS = ("claimed", "planned", "sending", "answered", "settled", "between", "finished")
_STEP = 0.03


class Crew:
    """``size`` worker masters on one world, each with one process; `tend` starts anew whichever has ended.

    Args:
        world: whose environment the workers get.
        folder: for their output and their orders.
        seed: of everything random.
        stopped_for: seconds after which a worker that was told to stop (SIGSTOP) goes on.
        chance: that a process obeys an order at the mark it has reached.
    """

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        seed: int,
        size: int = 2,
        threads: int = 4,
        stopped_for: float = 3.5,
        chance: float = 0.3,
        module: str = "tests.faults.worker_main",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.orders.mkdir(parents=True)
        self.random = random.Random(seed)
        self.stopped_for = stopped_for
        self.ended = 0
        self._command = [sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", str(threads)]
        self._environment = {
            **(environment if environment is not None else world.environment()),
            "STORM_ORDERS": str(self.orders),
            "STORM_SEED": str(seed),
            "STORM_CHANCE": str(chance),
        }
        self._lives = 0
        self._size = size
        self.workers: list[ChildProcess] = []
        self._over = threading.Event()
        self._alarm = threading.Thread(target=self._awaken, name="alarm", daemon=True)

    def __enter__(self) -> Self:
        self._alarm.start()
        try:
            self.workers = [self._start() for _ in range(self._size)]
            for worker in self.workers:
                worker.wait_for_line("Worker process is ready", timeout=60)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> ChildProcess:
        self._lives += 1
        return ChildProcess(
            self._command,
            output=self.folder / f"worker-{self._lives}.log",
            env={**self._environment, "STORM_LIFE": str(self._lives)},
            cwd=ROOT,
            name=f"worker {self._lives}",
        ).start()

    def tend(self) -> None:
        """Restart who has died."""
        for index, worker in enumerate(self.workers):
            if not worker.running:
                self.ended += 1
                worker.kill()
                self.workers[index] = self._start()

    def _awaken(self) -> None:
        """Let those go on that have been stopped for long enough; in a thread, for they may block everybody else."""
        while not self._over.wait(_STEP):
            for note in self.orders.glob("stopped.*"):
                if time.time() - note.stat().st_mtime > self.stopped_for:
                    note.unlink()  # first: once awake, it may be stopped again, and leave a new note
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(note.name.partition(".")[2]), signal.SIGCONT)

    def order(self, what: str, mark: str, count: int = 1) -> None:
        """Leave orders: whoever reaches ``mark`` is killed (``kill``) or stopped (``stop``)."""
        for _ in range(count):
            number = len(list(self.orders.iterdir()))
            (self.orders / f"{what}.{mark}.{number}").touch()

    @property
    def open_orders(self) -> list[str]:
        """The orders that nobody has obeyed yet."""
        return sorted(path.name for path in self.orders.iterdir() if path.name.startswith(("kill.", "stop.")))

    def obeyed(self, what: str) -> int:
        """Return how many orders of a kind were obeyed."""
        return len(list(self.orders.glob(f"done.{what}.*")))

    def wait(self, seconds: float) -> None:
        """Tend the workers for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.tend()
            time.sleep(_STEP)

    def stop_one(self) -> None:
        """Stop (SIGSTOP) the process of a worker, wherever it is; `tend` lets it go on later."""
        master = self.random.choice(self.workers)
        for child in self._children(master):
            (self.orders / f"done.stop.random.{child}.{time.monotonic_ns()}").touch()
            (self.orders / f"stopped.{child}").touch()
            os.kill(child, signal.SIGSTOP)

    @property
    def stopped(self) -> list[str]:
        """The processes that stand still."""
        return [path.name for path in self.orders.glob("stopped.*")]

    @property
    def stops(self) -> int:
        """How many processes were stopped."""
        return self.obeyed("stop")

    def terminate_one(self) -> None:
        """Ask a worker to stop (SIGTERM), as a deployment does; every third time once more, which means at once."""
        worker = self.random.choice(self.workers)
        worker.send_signal(signal.SIGTERM)
        if self.random.random() < 1 / 3:
            self.wait(0.2)
            worker.send_signal(signal.SIGTERM)

    def kill_one(self) -> None:
        """Kill a worker now, wherever it is."""
        self.random.choice(self.workers).kill()

    def keep_on(self, reached: Callable[[], T | None], *, within: float, what: str) -> T:
        """Tend the workers until ``reached`` returns something true, and return that."""
        deadline = time.monotonic() + within
        while True:
            self.tend()
            if result := reached():
                return result
            assert time.monotonic() < deadline, f"{what}: not within {within:g} s\n{self.last_words()}"
            time.sleep(_STEP)

    def last_words(self, lines: int = 15) -> str:
        """Return the end of each present worker's output."""
        return "\n".join(
            f"--- {worker.output.name}\n" + "\n".join(worker.text().splitlines()[-lines:]) for worker in self.workers
        )

    def pids(self) -> list[int]:
        """Return the processes that do the work."""
        return [child for worker in self.workers if worker.running for child in self._children(worker)]

    def _children(self, worker: ChildProcess) -> list[int]:
        note = self.orders / f"pid.{worker.name.rpartition(' ')[2]}"
        return [int(note.read_text())] if note.exists() and worker.running else []

    def log(self) -> str:
        """Return everything that any worker has said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log")))

    def stop(self) -> None:
        """End all workers."""
        self._over.set()
        if self._alarm.is_alive():
            self._alarm.join()
        for worker in self.workers:
            worker.kill()
        self.workers = []
