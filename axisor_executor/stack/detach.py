"""Go on in the background once everything runs, and say to whoever waits whether it does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def detach(errors: Callable[[], Path]) -> Callable[[], None]:
    """Split: return in a new process of a session of its own, while this one shows what that writes until it is let go.

    This process ends with 0 when the returned function was called, else with the other one's exit status. From then on
    nobody sees the other one's output, and its errors go to the file that ``errors`` returns. No thread may run yet.
    """
    read_end, write_end = os.pipe()
    go_read, go_write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(write_end)
        os.close(go_write)
        raise SystemExit(_relay(pid, read_end, go_read))
    os.close(read_end)
    os.close(go_read)
    os.setsid()
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(write_end, 1)
    _redirect(write_end, 2)

    def let_go() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        _redirect(os.open(os.devnull, os.O_WRONLY), 1)
        _redirect(os.open(errors(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        os.write(go_write, b"1")
        os.close(go_write)

    return let_go


def _redirect(source: int, target: int) -> None:
    os.dup2(source, target)
    os.close(source)


def _relay(pid: int, read_end: int, go_read: int) -> int:
    """Show the other process's output until it closes it; return the exit status of this one."""

    def pass_on(number: int, frame: object) -> None:  # noqa: ARG001  a handler's signature
        os.kill(pid, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    with os.fdopen(read_end, "rb", buffering=0) as output:
        while text := output.read(65_536):
            with suppress(OSError):  # nobody looks any more; the other process goes on
                os.write(1, text)
    if os.read(go_read, 1):
        return 0
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1
