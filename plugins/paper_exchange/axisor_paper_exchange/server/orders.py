"""What the bodies of isolated and cross orders have in common."""

from __future__ import annotations

from axisor_paper_exchange.engine import LONG, SHORT
from axisor_paper_exchange.server.fields import Fields, invalid

__all__ = ["limit_of", "side_of"]


def limit_of(fields: Fields) -> int | None:
    """Return the limit in ticks, None for a market order."""
    kind = fields.choice("type", "market", "limit")
    price = fields.price("price")
    if (kind == "limit") != (price is not None):
        raise invalid("price", "is required for a limit order" if price is None else "is for limit orders only")
    return price


def side_of(fields: Fields) -> int:
    """Return +1 for a buy, -1 for a sell."""
    return LONG if fields.choice("side", "buy", "sell") == "buy" else SHORT
