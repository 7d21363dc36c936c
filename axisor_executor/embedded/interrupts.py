"""Ctrl-C that never strikes in the middle of starting or stopping something."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into ``KeyboardInterrupt``, but for where it would do harm."""

    def __init__(self) -> None:
        self._held = 0
        self._arrived = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started with `nohup`
            self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the block run to its end; an interrupt that arrives meanwhile strikes behind it."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._arrived and not self._held:
            self._strike()

    @contextmanager
    def dropped(self) -> Iterator[None]:
        """Let the block run to its end, which is the end of everything: an interrupt asks for nothing more."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._arrived = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a handler's signature
        self._arrived = True
        if not self._held:
            self._strike()

    def _strike(self) -> None:
        self._arrived = False
        raise KeyboardInterrupt
