"""``axisor-executor backtest`` and ``candles``: automations over the past, and a past to try them on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import read_settings
from axisor_executor.cli.output import json_option, write_json

if TYPE_CHECKING:
    _Parameter = click.ParamType[Decimal]
else:
    # Generic from click 8.2 on only.
    _Parameter = click.ParamType

MOST_MINUTES = 10_000_000


class _Number(_Parameter):
    """A decimal number within bounds, a multiple of ``step`` if there is one."""

    def __init__(self, name: str, low: str, high: str, step: str | None = None) -> None:
        self.name = name
        self._low, self._high = Decimal(low), Decimal(high)
        self._step = None if step is None else Decimal(step)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not (number.is_finite() and self._low <= number <= self._high):
            self.fail(f"{value} is not between {self._low} and {self._high}", param, ctx)
        if self._step is not None and number % self._step:
            self.fail(f"{value} is not a multiple of {self._step}", param, ctx)
        return number


def _seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    from axisor_executor.backtest.scenario import seconds_of

    try:
        return None if text is None else seconds_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _instant(_ctx: click.Context, _param: click.Parameter, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no instant such as 2026-01-01T00:00:00Z") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(second=0, microsecond=0)


@click.command(short_help="Try automations on past prices.")
@click.option(
    "--automation",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON: what to try. See the documentation.",
)
@click.option("--candles", required=True, type=click.Path(path_type=Path), metavar="CSV", help="The past: candles.")
@click.option("--balance", default=1_000_000, show_default=True, type=click.IntRange(0, 10**15), help="Sats to begin.")
@click.option(
    "--every", metavar="TIME", callback=_seconds, help="How often automations get a job.  [default: each candle]"
)
@click.option(
    "--path",
    default="pessimistic",
    show_default=True,
    type=click.Choice(["pessimistic", "low-first", "high-first"]),
    help="The way of the price through a candle.",
)
@click.option(
    "--gaps",
    default="refuse",
    show_default=True,
    type=click.Choice(["refuse", "hold"]),
    help="Where candles are missing: refuse the file, or take the price to have stood still.",
)
@click.option("--spread", default="0", show_default=True, type=_Number("usd", "0", "10000", "0.5"), help="Bid to ask.")
@click.option(
    "--fee-rate", default="0.001", show_default=True, type=_Number("rate", "0", "0.1"), help="Trading fee; a factor."
)
@click.option(
    "--funding-rate",
    default="0.0001",
    show_default=True,
    type=_Number("rate", "-0.1", "0.1"),
    help="Funding of each eight hours; a factor, above 0 longs pay.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the ids of trades.")
@click.option("--simulation", default="paper", show_default=True, metavar="SLUG", help="The simulated exchange.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the equity: .png, .svg or .pdf.")
@json_option
def backtest(
    file: Path,
    candles: Path,
    plot: Path | None,
    *,
    as_json: bool,
    balance: int,
    every: int | None,
    path: Any,
    gaps: Any,
    spread: Decimal,
    fee_rate: Decimal,
    funding_rate: Decimal,
    seed: int,
    simulation: str,
) -> None:
    """Let automations of any installed type act on past prices, in a simulated exchange inside this process.

    They decide by the code that a worker runs. Nothing is sent, and no database, Redis or key is needed.

    \b
    Examples:
      axisor-executor candles --seed 1 --minutes 10080 > week.csv
      axisor-executor backtest --automation guard.json --candles week.csv
      axisor-executor backtest --automation guard.json --candles week.csv --every 5m --plot equity.png
    """
    from axisor_executor.backtest.candles import CandleFile
    from axisor_executor.backtest.play import Options, play
    from axisor_executor.backtest.plot import check_plot, draw
    from axisor_executor.backtest.scenario import read_scenario
    from axisor_executor.cli.backtest_told import tell
    from axisor_executor.plugins import discover, load

    settings = read_settings()
    if plot is not None:
        check_plot(plot)
    scenario = read_scenario(file)
    registry = load(discover(), disabled=settings.disabled_plugins, required=settings.required_plugins)
    options = Options(
        balance=balance,
        every=every,
        path=path,
        spread=spread,
        fee_rate=fee_rate,
        funding_rate=funding_rate,
        seed=seed,
        simulation=simulation,
    )
    with _progress(candles) as progress:
        result = play(registry, scenario, CandleFile(candles, gaps=gaps), options, progress=progress)
    if plot is not None:
        draw(result, plot)
    if as_json:
        write_json(result.as_dict())
    else:
        tell(result)


@click.command(short_help="Make candles: a seeded random walk.")
@click.option("--minutes", required=True, type=click.IntRange(1, MOST_MINUTES), help="How many candles of one minute.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed makes the same.")
@click.option(
    "--start", default="2026-01-01T00:00:00Z", show_default=True, callback=_instant, help="When the first one begins."
)
@click.option(
    "--price", default="50000", show_default=True, type=_Number("usd", "1", "1000000", "0.5"), help="Where it opens."
)
@click.option(
    "--volatility",
    default="0.03",
    show_default=True,
    type=_Number("fraction", "0", "1"),
    help="Standard deviation of a day's change; 0.03 is 3 %.",
)
def candles(minutes: int, seed: int, start: datetime, price: Decimal, volatility: Decimal) -> None:
    """Write candles of a random walk as CSV: no market's past, but the same on every machine.

    \b
    Example:
      axisor-executor candles --seed 1 --minutes 1440 > day.csv
    """
    from axisor_executor.backtest.walk import lines, walk

    made = walk(seed=seed, minutes=minutes, start=start, price=price, volatility=volatility)
    sys.stdout.writelines(f"{line}\n" for line in lines(made))


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing anywhere else."""
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    total = path.stat().st_size if path.is_file() else None
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("Backtest", total=total)
        yield lambda read: bar.update(task, completed=read)
