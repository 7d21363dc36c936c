"""What the engine holds as the values that the executor's client reads out of the server's answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from axisor_executor.exchange import CrossOrder, CrossPosition, Trade

if TYPE_CHECKING:
    from axisor_paper_exchange import engine

__all__ = ["cross_order", "cross_position", "instant", "milliseconds", "price_of", "side_of", "trade"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=65536)
def price_of(price: int) -> Decimal:
    """Return a price in ticks as USD, without a fraction where there is none."""
    return Decimal(price) / 2 if price & 1 else Decimal(price >> 1)


@lru_cache(maxsize=4096)
def instant(at: int) -> datetime:
    """Return milliseconds since the epoch as an instant in UTC."""
    return _EPOCH + at * _MILLISECOND


def milliseconds(at: datetime) -> int:
    """Return an instant in milliseconds since the epoch."""
    return (at - _EPOCH) // _MILLISECOND


def side_of(side: int) -> Literal["buy", "sell"]:
    """Return the word for +1 and -1."""
    return "buy" if side > 0 else "sell"


@lru_cache(maxsize=4096)
def _number(value: Decimal) -> Decimal:
    """Return a decimal with the digits that its JSON number would have."""
    whole = int(value)
    return Decimal(whole) if whole == value else Decimal(repr(float(value)))


def trade(shown: engine.Trade, last: int) -> Trade:
    """Return a trade, with its profit or loss at the last price (ticks)."""
    state = shown.state
    is_filled = shown.filled_at is not None
    return Trade(
        id=shown.id,
        type="limit" if shown.limit else "market",
        side=side_of(shown.side),
        state=state,
        quantity=shown.quantity,
        margin=shown.margin,
        leverage=_number(shown.leverage),
        price=price_of(shown.price),
        entry_price=price_of(shown.current_entry) if is_filled else None,
        entry_margin=shown.entry_margin,
        exit_price=price_of(shown.exit_price) if state == "closed" else None,
        liquidation=price_of(shown.liquidation),
        maintenance_margin=shown.maintenance_margin,
        opening_fee=shown.opening_fee,
        closing_fee=shown.closing_fee,
        pl=shown.profit_at(last),
        stoploss=price_of(shown.stoploss) if shown.stoploss else None,
        stoploss_trailing_distance=_number(shown.stoploss_trailing_distance) or None,
        takeprofit=price_of(shown.takeprofit) if shown.takeprofit else None,
        sum_funding_fees=shown.sum_funding_fees,
        created_at=instant(shown.created_at),
        filled_at=None if shown.filled_at is None else instant(shown.filled_at),
        closed_at=None if shown.closed_at is None else instant(shown.closed_at),
        client_id=shown.client_id,
        sum_cash_in=shown.sum_cash_in_margin + shown.sum_cash_in_pl,
        sum_cash_in_margin=shown.sum_cash_in_margin,
    )


def cross_order(shown: engine.CrossOrder) -> CrossOrder:
    """Return a cross order."""
    return CrossOrder(
        id=shown.id,
        type=shown.kind,
        side=side_of(shown.side),
        state=shown.state,
        quantity=shown.quantity,
        price=price_of(shown.price),
        trading_fee=shown.trading_fee,
        created_at=instant(shown.created_at),
        filled_at=None if shown.filled_at is None else instant(shown.filled_at),
        canceled_at=None if shown.canceled_at is None else instant(shown.canceled_at),
        client_id=shown.client_id,
    )


def cross_position(shown: engine.CrossPosition, last: int) -> CrossPosition:
    """Return a cross position, with its profit or loss at the last price (ticks)."""
    exposure = shown.exposure
    entry, liquidation, delta = exposure.entry_price, exposure.liquidation, exposure.profit_at(last)
    return CrossPosition(
        id=shown.id,
        quantity=exposure.quantity,
        entry_price=None if entry is None else price_of(entry),
        liquidation=None if liquidation is None else price_of(liquidation),
        leverage=Decimal(exposure.leverage),
        margin=exposure.margin,
        initial_margin=shown.initial_margin,
        running_margin=exposure.running_margin,
        maintenance_margin=exposure.maintenance_margin,
        total_pl=shown.realized + delta,
        delta_pl=delta,
        trading_fees=shown.trading_fees,
        funding_fees=shown.funding_fees,
        updated_at=instant(shown.updated_at),
    )
