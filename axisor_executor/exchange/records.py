"""What LN Markets tells beyond what the executor needs of any exchange. Units as in :mod:`.base`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

CandleRange = Literal[
    "1m", "3m", "5m", "10m", "15m", "30m", "45m", "1h", "2h", "3h", "4h", "1d", "1w", "1month", "3months"
]
"""How much time one candle covers."""


@dataclass(frozen=True, slots=True)
class Candle:
    """The prices (USD per BTC) of one span of time that begins at ``time``, and the volume traded in it."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class FundingSettlement:
    """One settlement of funding: the rate, as a factor, and the price at which it was applied."""

    id: str
    time: datetime
    funding_rate: Decimal
    fixing_price: Decimal


@dataclass(frozen=True, slots=True)
class FundingFee:
    """One funding settlement of a position: ``fee`` in sats, above 0 if it was paid, below if it was received.

    ``trade_id`` is the isolated trade's, ``None`` for the cross position.
    """

    settlement_id: str
    trade_id: str | None
    fee: int
    time: datetime


@dataclass(frozen=True, slots=True)
class CrossTransfer:
    """One movement of ``amount`` sats between the balance and the cross margin, signed as the exchange shows it."""

    id: str
    amount: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Leader:
    """One line of a leaderboard: a trader's P&L in sats, and the ``direction`` that the exchange shows beside it."""

    username: str
    pl: int
    direction: int


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The best traders by span of time, best first."""

    daily: tuple[Leader, ...]
    weekly: tuple[Leader, ...]
    monthly: tuple[Leader, ...]
    all_time: tuple[Leader, ...]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message of the exchange to the account's owner, in one line. ``is_read`` is ``None`` where it does not say."""

    id: str
    created_at: datetime
    message: str
    type: str | None
    is_read: bool | None
