"""How the market is when a server starts, and again after a reset."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from axisor_paper_exchange.server.market import Fixed, Source

__all__ = [
    "DEFAULT_INTERVAL",
    "DEFAULT_VOLATILITY",
    "HIGHEST_INTERVAL",
    "HIGHEST_SPEED",
    "HIGHEST_VOLATILITY",
    "LOWEST_INTERVAL",
    "LOWEST_SPEED",
    "Opening",
]

LOWEST_SPEED, HIGHEST_SPEED = Decimal("0.001"), Decimal(1_000_000)
DEFAULT_VOLATILITY, HIGHEST_VOLATILITY = Decimal("0.03"), Decimal(10)
"""Standard deviations of a day's relative change: 0.03 is 3 %."""
DEFAULT_INTERVAL, LOWEST_INTERVAL, HIGHEST_INTERVAL = Decimal(1), Decimal("0.001"), Decimal(86_400)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Where prices come from, how many times as fast as the clock, and whether they wait to be told to go."""

    source: Source = field(default_factory=Fixed)
    speed: Decimal = Decimal(1)
    paused: bool = False
