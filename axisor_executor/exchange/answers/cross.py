"""The cross position, its orders and its money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from axisor_executor.exchange.answers.fields import (
    Fields,
    UnreadableAnswer,
    fields_of,
    instant,
    number,
    one_of,
    only_flag,
    optional,
    positive,
    raw_text,
    required,
    text,
    whole,
    wrong,
)
from axisor_executor.exchange.base import CrossOrder, CrossOrderState, CrossOrderType, CrossPosition, Side
from axisor_executor.exchange.records import CrossTransfer, FundingFee

TYPES: tuple[CrossOrderType, ...] = ("market", "limit", "liquidation")
STATES: tuple[CrossOrderState, ...] = ("open", "filled", "canceled")


def position(value: Any) -> CrossPosition:
    """Read the position. One whose quantity, entry price and liquidation don't agree on its side is unreadable."""
    fields = fields_of(value)
    found = CrossPosition(
        id=text(fields, "id"),
        quantity=whole(fields, "quantity"),
        entry_price=_price_or_none(fields, "entryPrice"),
        liquidation=_price_or_none(fields, "liquidation"),
        leverage=positive(fields, "leverage"),
        margin=whole(fields, "margin"),
        initial_margin=whole(fields, "initialMargin"),
        running_margin=whole(fields, "runningMargin"),
        maintenance_margin=whole(fields, "maintenanceMargin"),
        total_pl=whole(fields, "totalPl"),
        delta_pl=whole(fields, "deltaPl"),
        trading_fees=whole(fields, "tradingFees"),
        funding_fees=whole(fields, "fundingFees"),
        updated_at=instant(fields, "updatedAt"),
    )
    _check_side(found)
    return found


def order(value: Any) -> CrossOrder:
    """Read an order. Its state must agree with the instants at which it was filled or canceled."""
    fields = fields_of(value)
    found = CrossOrder(
        id=text(fields, "id"),
        type=cast(CrossOrderType, one_of(fields, "type", TYPES)),
        side=cast(Side, one_of(fields, "side", ("buy", "sell"))),
        state=cast(CrossOrderState, only_flag(fields, STATES)),
        quantity=whole(fields, "quantity"),
        price=positive(fields, "price"),
        trading_fee=whole(fields, "tradingFee"),
        created_at=instant(fields, "createdAt"),
        filled_at=optional(instant, fields, "filledAt"),
        canceled_at=optional(instant, fields, "canceledAt"),
        client_id=optional(raw_text, fields, "clientId") if "clientId" in fields else None,
    )
    if found.quantity <= 0:
        wrong("quantity")
    if found.filled_at is not None and found.state != "filled":
        raise UnreadableAnswer("filledAt contradicts the flags")
    if found.canceled_at is not None and found.state != "canceled":
        raise UnreadableAnswer("canceledAt contradicts the flags")
    return found


def transfer(value: Any) -> CrossTransfer:
    """Read a movement of money between balance and cross margin."""
    fields = fields_of(value)
    return CrossTransfer(id=text(fields, "id"), amount=whole(fields, "amount"), time=instant(fields, "time"))


def funding_fee(value: Any) -> FundingFee:
    """Read a funding fee of the cross position, which belongs to no trade."""
    fields = fields_of(value)
    return FundingFee(
        settlement_id=text(fields, "settlementId"),
        trade_id=optional(text, fields, "tradeId"),
        fee=whole(fields, "fee"),
        time=instant(fields, "time"),
    )


def _price_or_none(fields: Fields, name: str) -> Decimal | None:
    if required(fields, name) is None:
        return None
    price = number(fields, name)
    if price < 0:
        wrong(name)
    return price or None


def _check_side(position: CrossPosition) -> None:
    entry, liquidation = position.entry_price, position.liquidation
    if position.quantity == 0:
        if entry is not None or liquidation is not None or position.running_margin:
            raise UnreadableAnswer("quantity is 0, but there is a position")
        return
    if entry is None:
        raise UnreadableAnswer("entryPrice is missing from a position")
    if liquidation is None or position.margin <= position.maintenance_margin:
        return  # with no more than the maintenance margin left, the liquidation may lie beyond the entry
    if liquidation > entry if position.quantity > 0 else liquidation < entry:
        raise UnreadableAnswer("liquidation is on the other side than quantity says")
