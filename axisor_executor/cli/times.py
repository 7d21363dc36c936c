"""Spans of time as they are written on the command line: a whole number and its unit."""

from __future__ import annotations

import re

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str, least: str, most: str, examples: str) -> int:
    """Return how many seconds a time with its unit has, such as ``90s``, ``15m``, ``1h`` or ``7d``.

    Raises:
        click.BadParameter: it is none, or less than ``least`` or more than ``most``.
    """
    span = _seconds(text)
    if span is None or not (_seconds(least) or 0) <= span <= (_seconds(most) or 0):
        raise click.BadParameter(f"{text!r} is no time from {least} to {most}, such as {examples}")
    return span


def _seconds(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,8})([smhd])", text)
    return int(found[1]) * UNITS[found[2]] if found else None
