"""Where a worker's log lines leave the process: what gathers within some milliseconds is written together.

A line of its own costs a write, and every write hands the interpreter to another thread. Who puts a line down does not
wait for whoever reads it.

What that costs: a process that is killed takes along the lines of its last milliseconds. Warnings and errors go out at
once, behind what was said before them, and the ledger has what the lines were about.

A reader that does not read holds up who wants a line out for a second, once; then lines are kept until it reads again,
as many as there is room for. Where nobody is left to read, or the disk is full, they are lost at once. Either way it is
said how many were, as soon as a line gets through.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
import weakref
from collections import deque
from typing import TextIO

GATHER_SECONDS = 0.05
PATIENCE_SECONDS = 1.0
MOST_LINES = 10_000
MOST_URGENT_LINES = 12_000
"""How many lines are kept: warnings and errors have room where others have none."""
PORTION_BYTES = select.PIPE_BUF - 4
"""The most that is written at once: a pipe with room takes it whole, so that no other thread's output gets in between
and no write hangs halfway. Four bytes are Dramatiq's, whose workers write into a pipe to their master."""
WIDEST = 10
"""Bytes that a character takes at most: as ``\\U0001f50d``, where a stream can't show it."""


class GatheringHandler(logging.StreamHandler[TextIO]):
    """Writes lines together, a moment after the first of them; warnings and errors at once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._is_closed = False
        self.begin()
        _handlers.add(self)

    def begin(self) -> None:
        """Begin with nothing, as in a process that was forked: what its parent gathered, its parent writes."""
        self._lines: deque[str] = deque()
        self._lost = 0
        self._is_stuck = False
        self._gathered = threading.Event()
        self._thread: threading.Thread | None = None
        self._changing = threading.RLock()
        self._writing = threading.Lock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Put a record's line down. That is one step: no other thread need be locked out of it."""
        found = self.filter(record)
        if found:
            self.emit(found if isinstance(found, logging.LogRecord) else record)
        return bool(found)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  whatever a record holds, it never breaks a run
            self.handleError(record)
            return
        self.put(line, record.levelno)

    def put(self, line: str, level: int) -> None:
        """Put a line of this level down."""
        is_urgent = level >= logging.WARNING
        self._keep(line + self.terminator, MOST_URGENT_LINES if is_urgent else MOST_LINES)
        if is_urgent or self._is_closed:
            self.flush()
        if self._lines and not self._gathered.is_set():
            self._gathered.set()
            if self._thread is None:
                self._start()

    def flush(self) -> None:
        """Write what has gathered, now."""
        self._write_out(0.0 if self._is_stuck else PATIENCE_SECONDS)

    def close(self) -> None:
        """Write what has gathered, and from now on each line at once: the process may end any moment."""
        self._is_closed = True
        self._gathered.set()  # its thread ends
        self.flush()
        super().close()

    def hold(self) -> bool:
        """Let nobody write: what a stream has taken and not yet passed on would be written by a forked process, too.

        Returns:
            whether it was possible in time; then :meth:`let_go` is to be called.
        """
        return self._writing.acquire(timeout=PATIENCE_SECONDS)

    def let_go(self) -> None:
        """Let others write again."""
        self._writing.release()

    def _keep(self, line: str, most: int) -> None:
        if len(self._lines) >= most:
            self.flush()
        if len(self._lines) < most:
            self._lines.append(line)
        else:
            self._lose(1)

    def _lose(self, count: int) -> None:
        with self._changing:
            self._lost += count

    def _start(self) -> None:
        with self._changing:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._serve, name="axisor-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads can be had
            self._thread = None
            self._gathered.clear()
            self.flush()

    def _serve(self) -> None:
        while True:
            self._gathered.wait()
            if self._is_closed:
                return
            time.sleep(GATHER_SECONDS)
            self._gathered.clear()
            self._write_out(PATIENCE_SECONDS)
            if self._lines or self._is_closed:
                self._gathered.set()

    def _write_out(self, patience: float) -> None:
        """Write everything there is; ``patience``: for how many seconds the stream need not take it."""
        until = time.monotonic() + patience
        if not self._writing.acquire(timeout=patience):
            return
        try:
            while self._lines or self._lost:
                self._is_stuck = not _has_room(self.stream, until - time.monotonic())
                if self._is_stuck:
                    return
                if self._lines:
                    self._write_portion()
                else:
                    self._tell_lost()
        except Exception:  # noqa: BLE001  nobody is left to read, the disk is full, the stream is closed
            lost = len(self._lines)
            self._lose(lost)
            for _ in range(lost):
                self._lines.popleft()
        finally:
            self._writing.release()

    def _write_portion(self) -> None:
        count, room = 0, PORTION_BYTES
        while count < len(self._lines):
            room -= len(self._lines[count].encode(errors="backslashreplace"))
            if room < 0:
                break
            count += 1
        if count:
            self._write("".join(self._lines[index] for index in range(count)))
            for _ in range(count):
                self._lines.popleft()
        else:
            line, length = self._lines[0], PORTION_BYTES // WIDEST
            self._write(line[:length])
            self._lines[0] = line[length:]

    def _tell_lost(self) -> None:
        lost = self._lost
        told = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "mark": "⚠️"}
        text = f"{lost} log lines are missing here: they could not be written"
        self._write(self.format(logging.makeLogRecord({**told, "msg": text})) + self.terminator)
        self._lose(-lost)

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


class BesideHandler(logging.Handler):
    """Puts the lines of another logger, in a form of its own, down with those of a :class:`GatheringHandler`.

    Two that write to one pipe by themselves could both find room for one portion, and one of them would wait.
    """

    def __init__(self, gathering: GatheringHandler) -> None:
        super().__init__()
        self._gathering = gathering

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  as there
            self.handleError(record)
            return
        self._gathering.put(line, record.levelno)


def beside(gathering: GatheringHandler, logger: logging.Logger) -> None:
    """Put a :class:`BesideHandler` in the place of each of a logger's plain handlers for the same stream."""
    for place, old in enumerate(logger.handlers):
        if type(old) is logging.StreamHandler and old.stream is gathering.stream:
            new = BesideHandler(gathering)
            new.setFormatter(old.formatter)
            new.setLevel(old.level)
            for one in old.filters:
                new.addFilter(one)
            logger.handlers[place] = new


def _has_room(stream: TextIO, seconds: float) -> bool:
    """Whether a stream takes a portion without waiting, within ``seconds``."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return True  # it is in memory
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(max(seconds, 0.0) * 1000))


_handlers: weakref.WeakSet[GatheringHandler] = weakref.WeakSet()
_held: list[GatheringHandler] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()  # until after the fork: two at once must not forget each other's
    _held[:] = [handler for handler in list(_handlers) if handler.hold()]


def _after_fork_in_parent() -> None:
    for handler in _held:
        handler.let_go()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    _held.clear()
    _forking.release()
    for handler in list(_handlers):
        handler.begin()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
