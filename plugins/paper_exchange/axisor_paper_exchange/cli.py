"""The command `axisor-paper-exchange`."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from axisor_paper_exchange import __version__
from axisor_paper_exchange.engine import ticks
from axisor_paper_exchange.server import Settings, run
from axisor_paper_exchange.server.serve import JOURNAL_SIZE
from axisor_paper_exchange.server.settings import PRIVATE_RATE, PUBLIC_RATE

__all__ = ["main"]


if TYPE_CHECKING:
    _Parameter = click.ParamType[Decimal]
else:
    # Generic from click 8.2 on only.
    _Parameter = click.ParamType


class _Number(_Parameter):
    """A decimal number within bounds."""

    def __init__(self, name: str, low: str, high: str) -> None:
        self.name = name
        self._low, self._high = Decimal(low), Decimal(high)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not (number.is_finite() and self._low <= number <= self._high):
            self.fail(f"{value} is not between {self._low} and {self._high}", param, ctx)
        return number


class _Price(_Number):
    """A price in steps of 0.5 USD, or a spread of such."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        number = super().convert(value, param, ctx)
        if number and ticks(number) is None:
            self.fail(f"{value} is not a multiple of 0.5", param, ctx)
        return number


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8089, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option("--price", default="50000", type=_Price("usd", "0.5", "100000000"), help="First last price in USD.")
@click.option("--spread", default="0", type=_Price("usd", "0", "1000000"), help="Bid to ask, in USD.")
@click.option("--fee-rate", default="0.001", type=_Number("rate", "0", "0.1"), help="Trading fee; 0.001 is 0.1 %.")
@click.option(
    "--window",
    default="30",
    type=_Number("seconds", "0", "86400"),
    help="How far a signed timestamp may be from the server's clock.",
)
@click.option(
    "--rate-limits",
    is_flag=True,
    help="Enforce the exchange's limits: 5 signed requests a second for a key, 1 other for an address.",
)
@click.option("--journal-size", default=JOURNAL_SIZE, type=click.IntRange(1), help="How many requests are remembered.")
@click.option(
    "--allow-remote-control",
    is_flag=True,
    help="Allow a --host other than loopback. Whoever reaches it controls the exchange: there is no login.",
)
@click.version_option(__version__)
def main(
    host: str,
    port: int,
    price: Decimal,
    spread: Decimal,
    fee_rate: Decimal,
    window: Decimal,
    rate_limits: bool,
    journal_size: int,
    allow_remote_control: bool,
) -> None:
    """Run a simulated LN Markets v3 on this machine.

    The API is at /v3, what controls the simulation at /paper (accounts, price, faults, what was asked and what it
    changed). When ready, one JSON line is printed: {"url": ..., "pid": ...}. SIGTERM and SIGINT end it.
    """
    if not allow_remote_control and not _is_loopback(host):
        raise click.ClickException(f"{host} is not a loopback address; --allow-remote-control permits it")
    start = Settings(
        price=int(price * 2),
        spread=int(spread * 2),
        fee_rate=fee_rate,
        window=int(window * 1000),
        private_rate=PRIVATE_RATE if rate_limits else 0.0,
        public_rate=PUBLIC_RATE if rate_limits else 0.0,
    )
    try:
        asyncio.run(run(_announce, host=host, port=port, start=start, journal_size=journal_size))
    except OSError as error:
        raise click.ClickException(f"can't listen on {host}:{port}: {error.strerror or error}") from error


def _announce(url: str) -> None:
    click.echo(json.dumps({"url": url, "pid": os.getpid()}))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
