"""The equity over time as a picture, with matplotlib (extra ``plot``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from axisor_executor.errors import AxisorError

if TYPE_CHECKING:
    from axisor_executor.backtest.result import Backtest

_SUFFIXES = (".png", ".svg", ".pdf")
_MISSING = "--plot needs matplotlib: pip install 'axisor-executor[plot]'"


def check_plot(path: Path) -> None:
    """Raise where nothing could be drawn into ``path``: before a backtest, not behind it.

    Raises:
        AxisorError: ``extra_missing`` (matplotlib), ``plot_invalid`` (the name, or its folder).
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise AxisorError(f"--plot: {path} must end in {', '.join(_SUFFIXES)}", code="plot_invalid", status=400)
    if not path.parent.is_dir():
        raise AxisorError(f"--plot: {path.parent} is no folder", code="plot_invalid", status=400)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise AxisorError(_MISSING, code="extra_missing") from None


def draw(backtest: Backtest, path: Path) -> None:
    """Draw equity (sats) and price (USD) into a file.

    Raises:
        AxisorError: as :func:`check_plot`, and ``plot_invalid`` where the file can't be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    times = [point.at.replace(tzinfo=None) for point in backtest.curve]
    figure = Figure(figsize=(11, 6), layout="constrained")
    money, market = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    money.plot(times, [point.equity for point in backtest.curve], color="tab:blue", linewidth=1)
    money.axhline(backtest.books.deposited, color="tab:gray", linewidth=0.8, linestyle="--")
    money.set_ylabel("equity (sats)")
    money.ticklabel_format(axis="y", style="plain", useOffset=False)
    money.set_title(f"P&L {backtest.books.pl:+,} sats, max drawdown {backtest.drawdown.sats:,} sats")
    market.plot(times, [float(point.price) for point in backtest.curve], color="tab:orange", linewidth=1)
    market.set_ylabel("price (USD)")
    market.set_xlabel("UTC")
    for axes in (money, market):
        axes.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=120, metadata={"Software": None} if path.suffix.lower() == ".png" else None)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AxisorError(f"--plot: can't write {path}: {reason}", code="plot_invalid", status=400) from None
