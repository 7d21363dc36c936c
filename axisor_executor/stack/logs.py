"""The logs of a stack: each part's in a file of its own, told together, and never growing without end."""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from axisor_executor.observe.logs import timestamp
from axisor_executor.stack.folder import usable

LONGEST_BYTES: Final = 20_000_000
"""A log longer than this is moved aside, to be the ``.1`` of it, in the place of the one before."""
_POLL_SECONDS = 0.2


def keep_short(folder: Path, longest: int = LONGEST_BYTES) -> None:
    """Move logs that have grown too long aside.

    Each is copied and then emptied, because its writer, which only ever appends, keeps the file open. What is written
    between the two is lost.
    """
    for log in _logs(folder):
        if log.stat().st_size > longest:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def note(folder: Path, text: str) -> None:
    """Write a line into the log of ``up`` itself."""
    with (folder / "up.log").open("a", encoding="utf-8") as log:
        log.write(f"{timestamp()} {text}\n")


def components(folder: Path) -> list[str]:
    """Return whose logs there are.

    Raises:
        AxisorError: the folder can't be read (``folder_unusable``).
    """
    return [log.stem for log in _logs(folder)]


def last_lines(folder: Path, wanted: tuple[str, ...], count: int) -> Iterator[tuple[str, str]]:
    """Yield (component, line) of the last lines of each log.

    Raises:
        AxisorError: one can't be read (``folder_unusable``).
    """
    for log in _logs(folder, wanted):
        last: deque[str] = deque(maxlen=count)
        with usable(log), suppress(FileNotFoundError), log.open(encoding="utf-8", errors="replace") as lines:
            last.extend(lines)
        for line in last:
            yield log.stem, line.rstrip("\n")


def new_lines(folder: Path, wanted: tuple[str, ...], stop: threading.Event) -> Iterator[tuple[str, str]]:
    """Yield (component, line) of whatever is written after this call, until ``stop`` is set.

    Raises:
        AxisorError: one can't be read (``folder_unusable``).
    """
    read: dict[Path, int] = {}
    for log in _logs(folder, wanted):
        with usable(log), suppress(FileNotFoundError):
            read[log] = log.stat().st_size
    return _follow(folder, wanted, stop, read)


def _follow(
    folder: Path, wanted: tuple[str, ...], stop: threading.Event, read: dict[Path, int]
) -> Iterator[tuple[str, str]]:
    while True:
        is_last = stop.is_set()
        for log in _logs(folder, wanted):
            lines: list[str] = []
            with usable(log), suppress(FileNotFoundError):
                lines = _read_on(log, read)
            for line in lines:
                yield log.stem, line
        if is_last:
            return
        stop.wait(_POLL_SECONDS)


def _read_on(log: Path, read: dict[Path, int]) -> list[str]:
    """Return the whole lines behind what was read of a log, and note how far that is."""
    start = read.get(log, 0)
    if log.stat().st_size < start:
        start = 0  # it was emptied
    with log.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    read[log] = start + len(whole) + len(newline)
    return whole.decode(errors="replace").split("\n") if newline else []


def _logs(folder: Path, wanted: tuple[str, ...] = ()) -> list[Path]:
    """Return the logs that are there now: whoever opens one may find that it was moved aside meanwhile."""
    with usable(folder):
        try:
            found = sorted(path for path in folder.iterdir() if path.suffix == ".log")
        except FileNotFoundError:
            return []
    return [log for log in found if not wanted or log.stem.startswith(wanted)]
