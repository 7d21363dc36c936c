"""What the processes of one test run share: a directory, locks, and the guard that ends it all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from axisor_executor.embedded import Guard

_VARIABLE: Final = "AXISOR_TEST_RUN"
_LIFELINE: Final = "lifeline"


class _RunGuard(Guard):
    """A guard whose pipe has a name, so that xdist's workers can report what they start."""

    def __init__(self, directory: Path) -> None:
        self._name = directory / _LIFELINE
        super().__init__(remove=directory)

    def _open_pipe(self) -> tuple[int, int]:
        os.mkfifo(self._name, 0o600)
        # Opening for reading would wait for a writer, which is the next line.
        read_end = os.open(self._name, os.O_RDONLY | os.O_NONBLOCK)
        write_end = os.open(self._name, os.O_WRONLY)
        os.set_blocking(read_end, True)
        return read_end, write_end


class TestRun:
    """One test run: made by the first process (pytest, or xdist's controller), joined by its workers.

    The directory's name is new each time, so what a killed run may have left is never in the way of the next.
    """

    __test__ = False

    def __init__(self, directory: Path, guard: Guard | None) -> None:
        self.directory = directory
        self._guard = guard
        self._joined: int | None = None
        self._started: list[Callable[[], object]] = []

    @classmethod
    def begin(cls) -> Self:
        """Join the run that the environment names, or begin one."""
        if named := os.environ.get(_VARIABLE):
            return cls(Path(named), None)
        directory = Path(tempfile.mkdtemp(prefix="axisor-tests-", dir=_base()))
        # Servers that run as another user pass through, and see nothing but what is theirs.
        directory.chmod(0o711)
        os.environ[_VARIABLE] = str(directory)
        return cls(directory, _RunGuard(directory))

    @property
    def lifeline(self) -> int:
        """For `ChildProcess`: the child lives until the run ends, whichever process started it."""
        if self._guard is not None:
            return self._guard.lifeline
        if self._joined is None:
            # Without waiting: if the run's first process is dead, so is its guard, and nothing may be started.
            self._joined = os.open(self.directory / _LIFELINE, os.O_WRONLY | os.O_NONBLOCK)
        return self._joined

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock among all processes of the run."""
        with (self.directory / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """Make a folder that servers running as another user can pass through, and remove it after use."""
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.directory))
        folder.chmod(0o711)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def at_end(self, stop: Callable[[], object]) -> None:
        """Have the first process call ``stop`` at its end.

        What a worker started is left to the guard. The guard could stop all, but would wait in vain for a child of the
        living process, which stays listed as dead until its parent takes notice.
        """
        self._started.append(stop)

    def end(self) -> None:
        """Stop everything and remove the directory (first process), or leave the run (workers)."""
        if self._joined is not None:
            os.close(self._joined)
            self._joined = None
        if self._guard is not None:
            for stop in self._started:
                stop()
            del os.environ[_VARIABLE]
            self._guard.fire()
            shutil.rmtree(self.directory, ignore_errors=True)


def _base() -> Path | None:
    """Return a folder for temporary files that every user can pass through, which a private TMPDIR is not."""
    usual = Path(tempfile.gettempdir()).resolve()
    for folder in (usual, Path("/tmp"), Path("/var/tmp")):
        if all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents)) and os.access(folder, os.W_OK):
            return folder
    return None
