"""Isolated trades and their funding fees."""

from __future__ import annotations

from typing import Any, cast

from axisor_executor.exchange.answers.fields import (
    fields_of,
    instant,
    number,
    one_of,
    only_flag,
    optional,
    raw_text,
    text,
    whole,
)
from axisor_executor.exchange.base import OrderType, Side, Trade, TradeState
from axisor_executor.exchange.records import FundingFee

STATES: tuple[TradeState, ...] = ("open", "running", "closed", "canceled")


def trade(value: Any) -> Trade:
    """Read a trade."""
    fields = fields_of(value)
    cashed_margin = whole(fields, "sumCashInMargin")
    return Trade(
        id=text(fields, "id"),
        type=cast(OrderType, one_of(fields, "type", ("market", "limit"))),
        side=cast(Side, one_of(fields, "side", ("buy", "sell"))),
        state=cast(TradeState, only_flag(fields, STATES)),
        quantity=whole(fields, "quantity"),
        margin=whole(fields, "margin"),
        leverage=number(fields, "leverage"),
        price=number(fields, "price"),
        entry_price=optional(number, fields, "entryPrice"),
        entry_margin=optional(whole, fields, "entryMargin"),
        exit_price=optional(number, fields, "exitPrice"),
        liquidation=number(fields, "liquidation"),
        maintenance_margin=whole(fields, "maintenanceMargin"),
        opening_fee=whole(fields, "openingFee"),
        closing_fee=whole(fields, "closingFee"),
        pl=whole(fields, "pl"),
        stoploss=number(fields, "stoploss") or None,
        stoploss_trailing_distance=number(fields, "stoplossTrailingDistance") or None,
        takeprofit=number(fields, "takeprofit") or None,
        sum_funding_fees=whole(fields, "sumFundingFees"),
        created_at=instant(fields, "createdAt"),
        filled_at=optional(instant, fields, "filledAt"),
        closed_at=optional(instant, fields, "closedAt"),
        client_id=optional(raw_text, fields, "clientId"),
        sum_cash_in=cashed_margin + whole(fields, "sumCashInPl"),
        sum_cash_in_margin=cashed_margin,
    )


def funding_fee(value: Any) -> FundingFee:
    """Read a funding fee of an isolated trade."""
    fields = fields_of(value)
    return FundingFee(
        settlement_id=text(fields, "settlementId"),
        trade_id=text(fields, "tradeId"),
        fee=whole(fields, "fee"),
        time=instant(fields, "time"),
    )
