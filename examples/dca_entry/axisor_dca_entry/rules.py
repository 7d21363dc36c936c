"""The rules of a DCA entry: plain values in, plain values out.

Prices are USD per BTC, quantities whole USD, margins whole sats.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from axisor_executor import arithmetic
from axisor_executor.automation import OwnEntry

WEEK = timedelta(days=7)


def price_of(entry: OwnEntry) -> Decimal | None:
    """Return the price an entry was made at, or, while that is not known, was decided at; ``None``: neither tells."""
    if entry.price is not None:
        return entry.price
    return entry.order.price or entry.order.reference_price


def margin_of(entry: OwnEntry) -> int | None:
    """Return the margin of an entry, or, while that is not known, what it would take; ``None``: nothing tells."""
    if entry.margin is not None:
        return entry.margin
    price = price_of(entry)
    return None if price is None else arithmetic.margin(entry.order.quantity, price, entry.order.leverage)


def spent_usd(entries: Iterable[OwnEntry]) -> int:
    """Return what the entries bought, in USD; one that nobody knows of yet counts in full."""
    return sum(entry.order.quantity for entry in entries)


def spent_sats(entries: Iterable[OwnEntry]) -> int | None:
    """Return what the entries put into margin, in sats; ``None`` where it can't be told."""
    margins = [margin_of(entry) for entry in entries]
    known = [margin for margin in margins if margin is not None]
    return sum(known) if len(known) == len(margins) else None


def dropped_enough(price: Decimal, last: Decimal, percent: Decimal) -> bool:
    """Return whether ``price`` is at least ``percent`` below ``last``."""
    return price * 100 <= last * (100 - percent)


def too_soon(now: datetime, last: datetime, hours: Decimal) -> bool:
    """Return whether fewer than ``hours`` have passed since ``last``."""
    passed = now - last
    microseconds = (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
    return microseconds < hours * 3_600_000_000
