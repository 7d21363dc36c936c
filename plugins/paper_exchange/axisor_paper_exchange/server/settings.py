"""Settings of a running server, changeable through `/paper/settings`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["PRIVATE_RATE", "PUBLIC_RATE", "Settings"]

PRIVATE_RATE = 5.0
PUBLIC_RATE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the simulated exchange is like. Prices in ticks of 0.5 USD, durations in milliseconds."""

    price: int = 100_000
    window: int = 30_000
    """How far a signed timestamp may be from the server's clock, on either side."""
    clock_offset: int = 0
    ticker_age: int = 0
    ticker_frozen: bool = False
    """The ticker's time stays at the last price update instead of going with the clock."""
    fee_rate: Decimal = Decimal("0.001")
    spread: int = 0
    funding_rate: Decimal = Decimal("0.0001")
    funding: bool = False
    """Whether funding is settled every eight hours of market time, at `funding_rate`."""
    crossing_limits_fill: bool = False
    private_rate: float = 0.0
    """Signed requests a second that an API key may make, 0 without limit; the exchange allows `PRIVATE_RATE`."""
    public_rate: float = 0.0
    """Unsigned requests a second from an address, 0 without limit; the exchange allows `PUBLIC_RATE`."""
