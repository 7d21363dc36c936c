"""Tell a backtest to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from axisor_executor.backtest.result import percent
from axisor_executor.cli.output import plain, write_table

if TYPE_CHECKING:
    from datetime import datetime

    from axisor_executor.backtest.result import Backtest, Told


def tell(result: Backtest) -> None:
    """Write the result as tables."""
    length = f"{result.length.total_seconds():g} s"
    span = f"{_moment(result.start)} to {_moment(result.end)} UTC"
    click.echo(f"{span}: {result.candles} candles of {length}, {result.path}")
    if result.gaps:
        click.echo(f"{result.gaps} gaps, in which the price was taken to have stood still")
    write_table(("result", "value"), [(name, plain(value)) for name, value in _rows(result)], whole=("result",))
    click.echo()
    columns = ("automation", "action", "jobs", "acted", "waited", "failed", "actions", "rejected")
    write_table(columns, [_automation(one) for one in result.automations], whole=("automation",))
    for one in result.automations:
        if one.tally.first_error is not None:
            click.echo(f"{one.id}: the first error was: {one.tally.first_error}", err=True)


def _rows(result: Backtest) -> Iterator[tuple[str, str]]:
    books, fall = result.books, result.drawdown
    closed, running, waiting = (result.count(state) for state in ("closed", "running", "open"))
    lost = closed - result.won
    yield "trades", f"{result.opened} opened, {closed} closed ({result.won} won, {lost} lost), {running} running"
    if waiting or result.count("canceled"):
        yield "limit orders", f"{waiting} open, {result.count('canceled')} canceled"
    if result.cross_orders:
        yield "cross orders", f"{len(result.cross_orders)}"
    yield "P&L", f"{books.pl:+,} sats ({percent(books.pl, books.deposited):+} %)"
    yield "fees", f"{books.fees:,} sats"
    yield "funding", f"{books.funding:,} sats"
    yield "equity", f"{books.equity:,} sats, {books.deposited:,} at the start"
    yield "max drawdown", f"{fall.sats:,} sats ({fall.percent} %)" + _span(fall.peak_at, fall.low_at)
    yield "liquidations", f"{result.events.get('liquidation', 0)}"
    stops, profits = result.events.get("stoploss", 0), result.events.get("takeprofit", 0)
    yield "exits on the exchange", f"{stops} stop losses, {profits} take profits"
    yield "time at risk", f"{result.share_at_risk} %"


def _automation(one: Told) -> tuple[str, ...]:
    tally = one.tally
    sent = {**tally.sent, **{f"{kind} (dry run)": count for kind, count in tally.rehearsed.items()}}
    return (
        plain(one.id),
        plain(one.action),
        str(tally.jobs),
        str(tally.acted),
        plain(_counts(tally.waited)),
        plain(_counts(tally.failed)),
        plain(_counts(sent)),
        plain(_counts(tally.rejected)),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _span(begin: datetime | None, end: datetime | None) -> str:
    return "" if begin is None or end is None else f" from {_moment(begin)} to {_moment(end)}"


def _moment(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M")
