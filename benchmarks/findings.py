"""Figures with goals: a table of one figure a row, and percentiles of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report import Table

THOUSAND = 1000
"""Fewer times than these have no 99.9th percentile."""


class Findings(Table):
    """A table with a figure in each row; a goal is a value that it should not exceed."""

    def __init__(self, title: str) -> None:
        super().__init__(title, ("what", "figure", "unit", "goal", "verdict"))

    def figure(self, what: str, value: float, unit: str = "", *, most: float | None = None) -> None:
        """Add a figure."""
        goal = None if most is None else f"<= {most:g}"
        verdict = None if most is None else "reached" if value <= most else "missed"
        self.add(what, _short(value), unit, goal, verdict)

    def percentiles(self, what: str, seconds: Sequence[float], *, most: Mapping[float, float] | None = None) -> None:
        """Add the 50th and 99th percentile of times, in milliseconds, and the 99.9th where there are enough.

        ``most``: goals by percentile, in milliseconds.
        """
        for percent in (50.0, 99.0, *([99.9] if len(seconds) >= THOUSAND else [])):
            goal = (most or {}).get(percent)
            self.figure(f"{what}: p{percent:g}", percentile(seconds, percent) * THOUSAND, "ms", most=goal)

    def remark(self, text: str) -> None:
        """Add a sentence to the note."""
        self.note = f"{self.note} {text}".strip()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("there is nothing to take a percentile of")
    rank = -(-len(values) * percent // 100)  # rounded up
    return sorted(values)[max(int(rank) - 1, 0)]


def _short(value: float) -> float:
    """Round to three digits, or to a whole number."""
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")
