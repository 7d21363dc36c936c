"""How a command fails: one clear message on standard error, never a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from axisor_executor.errors import AxisorError

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What a write fails with when nothing more can be written: a full disk, a terminal that is gone."""


class Failure(click.ClickException):
    """``error: <message> [code]`` on standard error, exit status 1."""

    exit_code = 1

    def __init__(self, error: AxisorError) -> None:
        super().__init__(error.message)
        self.code = error.code

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"{click.style('error:', fg='red')} {self.message} [{self.code}]", file=file, err=file is None)


class CommandLine(click.Group):
    """A group that lists its commands in the order they were added, and turns our errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names as they were added."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; output that can't be written is an error like any other."""
        if sys.stdout is None:
            # Before anything is done: its outcome could not be told, and the next file opened would be taken for it.
            _end("standard output is closed")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            _end(f"the output can't be written: {os.strerror(error.errno)}")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without ✅ is no reason to fail
        try:
            return super().invoke(ctx)
        except AxisorError as error:
            raise Failure(error) from None


def _end(message: str) -> NoReturn:
    with suppress(OSError):  # it may be standard error that is full
        click.echo(f"{click.style('error:', fg='red')} {message}", err=True)
    sys.stdout = io.StringIO()  # what is left in the buffer of the other would fail again as the process ends
    sys.exit(1)
