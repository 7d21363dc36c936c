"""``axisor-executor serve``: the HTTP API in a process of its own."""

from __future__ import annotations

import click

from axisor_executor.cli.environment import read_settings


@click.command(short_help="Serve the HTTP API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8420, show_default=True, help="0 takes a free one.")
def serve(host: str, port: int) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C. It needs the extra: pip install 'axisor-executor[http]'

    It speaks plain HTTP: beyond this machine, put a proxy with TLS before it. Tokens are made with: tokens create

    \b
    Examples:
      axisor-executor serve
      axisor-executor serve --host 0.0.0.0 --port 8420
    """
    from axisor_executor import runtime
    from axisor_executor.errors import AxisorError

    try:
        from axisor_executor.service.serving import run
    except ModuleNotFoundError as error:
        raise AxisorError(
            f"the HTTP API needs the extra http ({error.name} is missing): pip install 'axisor-executor[http]'",
            code="extra_missing",
        ) from None
    parts = runtime.Runtime(read_settings(least="INFO"))
    runtime.use(parts)
    try:
        with parts.storage.explained():
            _ = parts.intake  # what is wrong with settings, database or plugins shows before anything listens
            run(parts, host, port)
    finally:
        runtime.use(None)
        parts.close()
