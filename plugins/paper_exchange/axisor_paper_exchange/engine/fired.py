"""What a price change or a funding settlement set off."""

from __future__ import annotations

from typing import Literal, NamedTuple

from axisor_paper_exchange.engine.cross import CrossOrder
from axisor_paper_exchange.engine.funding import Settlement
from axisor_paper_exchange.engine.trade import ClosedBy, Trade

__all__ = ["Fired", "Funded"]


class Fired(NamedTuple):
    """A trade or cross order that was filled, closed or canceled without its owner's doing.

    `price` in ticks. A cross order is canceled when its position is liquidated, or when the wallet can't bear its
    fill; the liquidation of a cross position is an order of its own.
    """

    trade: Trade | CrossOrder
    what: ClosedBy | Literal["fill", "canceled"]
    price: int


class Funded(NamedTuple):
    """A funding settlement and what it liquidated."""

    settlement: Settlement
    fired: list[Fired]
