"""How a command fails: one clear message on standard error, never a traceback."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from axisor_executor.errors import AxisorError


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without ✅ is no reason to fail
        try:
            return super().invoke(ctx)
        except AxisorError as error:
            raise Failure(error) from None
