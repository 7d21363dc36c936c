"""The command `axisor-paper-exchange`."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from axisor_paper_exchange import __version__
from axisor_paper_exchange.engine import ticks
from axisor_paper_exchange.server import Opening, Served, Settings, StateError, run
from axisor_paper_exchange.server.market import CsvError, Fixed, Replay, Source, Walk
from axisor_paper_exchange.server.opening import (
    DEFAULT_INTERVAL,
    DEFAULT_VOLATILITY,
    HIGHEST_INTERVAL,
    HIGHEST_SPEED,
    HIGHEST_VOLATILITY,
    LOWEST_INTERVAL,
    LOWEST_SPEED,
)
from axisor_paper_exchange.server.serve import JOURNAL_SIZE
from axisor_paper_exchange.server.settings import PRIVATE_RATE, PUBLIC_RATE
from axisor_paper_exchange.server.tls import TlsError, key_beside, tls_context

__all__ = ["main"]

_SERVER_OPTIONS = {"host", "port", "state", "tls", "tls_key", "journal_size", "allow_remote_control"}
"""Options that are not about the world, and so apply whatever a state file holds."""


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
@click.option("--walk", is_flag=True, help="Let the price walk at random.")
@click.option(
    "--volatility",
    default=str(DEFAULT_VOLATILITY),
    type=_Number("fraction", "0", str(HIGHEST_VOLATILITY)),
    help="How far it walks: standard deviation of a day's change; 0.03 is 3 %.",
)
@click.option(
    "--interval",
    default=str(DEFAULT_INTERVAL),
    type=_Number("seconds", str(LOWEST_INTERVAL), str(HIGHEST_INTERVAL)),
    help="Market time from one step of the walk to the next.",
)
@click.option("--seed", default=0, help="The same seed walks the same way.")
@click.option(
    "--candles",
    type=click.Path(exists=True, dir_okay=False, readable=True),
    help="Let the price follow a CSV file: time,open,high,low,close,volume.",
)
@click.option(
    "--speed",
    default="1",
    type=_Number("factor", str(LOWEST_SPEED), str(HIGHEST_SPEED)),
    help="How many times as fast as the clock the market runs.",
)
@click.option("--paused", is_flag=True, help="Let the market wait for PUT /paper/market.")
@click.option(
    "--funding/--no-funding",
    default=None,
    help="Settle funding every 8 hours of market time.  [default: with --walk and --candles]",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False),
    help="Keep everything in this file, and go on from there. It holds secrets of paper accounts.",
)
@click.option(
    "--tls",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Speak https with this certificate (PEM). Where it is not there, a self-signed one is made.",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The certificate's key.  [default: the same name, ending in .key]",
)
@click.option("--journal-size", default=JOURNAL_SIZE, type=click.IntRange(1), help="How many requests are remembered.")
@click.option(
    "--allow-remote-control",
    is_flag=True,
    help="Allow a --host other than loopback. Whoever reaches it controls the exchange: there is no login.",
)
@click.version_option(__version__)
@click.pass_context
def main(
    context: click.Context,
    host: str,
    port: int,
    price: Decimal,
    spread: Decimal,
    fee_rate: Decimal,
    window: Decimal,
    rate_limits: bool,
    walk: bool,
    volatility: Decimal,
    interval: Decimal,
    seed: int,
    candles: str | None,
    speed: Decimal,
    paused: bool,
    funding: bool | None,
    state: str | None,
    tls: Path | None,
    tls_key: Path | None,
    journal_size: int,
    allow_remote_control: bool,
) -> None:
    """Run a simulated LN Markets v3 on this machine.

    The API is at /v3, what controls the simulation at /paper (accounts, price, market, faults, what was asked and what
    it changed). When ready, one JSON line is printed: {"url": ..., "pid": ...}. SIGTERM and SIGINT end it.

    The price stays at --price until it is moved, unless --walk or --candles gives the market a life of its own.
    """
    if not allow_remote_control and not _is_loopback(host):
        raise click.ClickException(f"{host} is not a loopback address; --allow-remote-control permits it")
    if walk and candles:
        raise click.UsageError("--walk and --candles exclude each other")
    if tls_key and not tls:
        raise click.UsageError("--tls-key is of no use without --tls")
    start = Settings(
        price=int(price * 2),
        spread=int(spread * 2),
        fee_rate=fee_rate,
        window=int(window * 1000),
        private_rate=PRIVATE_RATE if rate_limits else 0.0,
        public_rate=PUBLIC_RATE if rate_limits else 0.0,
        funding=bool(walk or candles) if funding is None else funding,
    )
    source: Source = Walk(volatility, int(interval * 1000), seed) if walk else Fixed()
    if candles:
        source = _candles(candles)
    opening = Opening(source, speed, paused)
    try:
        secured = tls_context(tls, tls_key or key_beside(tls), host) if tls else None
        asyncio.run(
            run(
                lambda served: _announce(context, served),
                host=host,
                port=port,
                start=start,
                opening=opening,
                journal_size=journal_size,
                state=state,
                tls=secured,
            )
        )
    except (StateError, TlsError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"can't listen on {host}:{port}: {error.strerror or error}") from error


def _candles(path: str) -> Replay:
    try:
        source = Replay(Path(path).read_text(encoding="utf-8"))
        assert source.rows
    except CsvError as error:
        raise click.ClickException(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is no text in UTF-8") from error
    except OSError as error:
        raise click.ClickException(f"can't read {path}: {error.strerror or error}") from error
    return source


def _announce(context: click.Context, served: Served) -> None:
    keeper = served.keeper
    if keeper is not None and keeper.torn:
        click.echo("The last record of the state file was not whole, and was left out.", err=True)
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in _SERVER_OPTIONS and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if keeper is not None and keeper.found and given:
        click.echo(f"The state file holds a world already; not applied: {', '.join(given)}", err=True)
    click.echo(json.dumps({"url": served.url, "pid": os.getpid()}))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
