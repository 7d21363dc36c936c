"""Numbers that the control surface is sent: as JSON numbers or as text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from axisor_paper_exchange.server.fields import Fields, invalid

__all__ = ["count", "decimal"]


def count(fields: Fields, name: str) -> int | None:
    value = decimal(fields, name, low=Decimal(0))
    if value is None:
        return None
    if value != value.to_integral_value():
        raise invalid(name, "must be a whole number")
    return int(value)


def decimal(fields: Fields, name: str, *, low: Decimal | None = None, high: Decimal | None = None) -> Decimal | None:
    """Return a number that was given as a number or as text, None when it is absent."""
    if name not in fields:
        return None
    try:
        value = Decimal(fields.text(name) or "") if fields.is_text(name) else fields.decimal(name)
    except InvalidOperation as error:
        raise invalid(name, "must be a number") from error
    assert value is not None
    if not value.is_finite() or (low is not None and value < low) or (high is not None and value > high):
        raise invalid(name, "is out of range")
    return value
