"""Trades, cross orders and positions, accounts and the market as the API shows them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from axisor_paper_exchange.engine import (
    Account,
    CrossOrder,
    CrossPosition,
    CrossTransfer,
    FundingFee,
    Settlement,
    Trade,
)
from axisor_paper_exchange.server.clock import iso

__all__ = [
    "account_json",
    "cross_order_json",
    "cross_position_json",
    "funding_fee_json",
    "number",
    "page_json",
    "price_json",
    "settlement_json",
    "trade_json",
    "transfer_json",
]


def price_json(price: int) -> int | float:
    """Return a price in ticks as a JSON number in USD."""
    return price / 2 if price & 1 else price >> 1


def number(value: Decimal) -> int | float:
    """Return a decimal as a JSON number."""
    whole = int(value)
    return whole if whole == value else float(value)


def trade_json(trade: Trade, last: int) -> dict[str, Any]:
    """Return a trade as the API shows it, with its profit or loss at the last price (ticks)."""
    state = trade.state
    filled = trade.filled_at is not None
    return {
        "id": trade.id,
        "uid": trade.account.id,
        "type": "limit" if trade.limit else "market",
        "side": "buy" if trade.side > 0 else "sell",
        "quantity": trade.quantity,
        "margin": trade.margin,
        "leverage": number(trade.leverage),
        "price": price_json(trade.price),
        "entryPrice": price_json(trade.current_entry) if filled else None,
        "entryMargin": trade.entry_margin,
        "exitPrice": price_json(trade.exit_price) if state == "closed" else None,
        "liquidation": price_json(trade.liquidation),
        "maintenanceMargin": trade.maintenance_margin,
        "openingFee": trade.opening_fee,
        "closingFee": trade.closing_fee,
        "pl": trade.profit_at(last),
        "stoploss": price_json(trade.stoploss),
        "stoplossTrailingDistance": number(trade.stoploss_trailing_distance),
        "takeprofit": price_json(trade.takeprofit),
        "sumFundingFees": trade.sum_funding_fees,
        "sumCashInMargin": trade.sum_cash_in_margin,
        "sumCashInPl": trade.sum_cash_in_pl,
        "createdAt": iso(trade.created_at),
        "filledAt": None if trade.filled_at is None else iso(trade.filled_at),
        "closedAt": None if trade.closed_at is None else iso(trade.closed_at),
        "clientId": trade.client_id,
        "open": state == "open",
        "running": state == "running",
        "closed": state == "closed",
        "canceled": state == "canceled",
    }


def cross_order_json(order: CrossOrder) -> dict[str, Any]:
    """Return a cross order as the API shows it."""
    return {
        "id": order.id,
        "uid": order.account.id,
        "type": order.kind,
        "side": "buy" if order.side > 0 else "sell",
        "quantity": order.quantity,
        "price": price_json(order.price),
        "tradingFee": order.trading_fee,
        "createdAt": iso(order.created_at),
        "filledAt": None if order.filled_at is None else iso(order.filled_at),
        "canceledAt": None if order.canceled_at is None else iso(order.canceled_at),
        "open": order.state == "open",
        "filled": order.state == "filled",
        "canceled": order.state == "canceled",
        "clientId": order.client_id,
    }


def cross_position_json(position: CrossPosition, last: int) -> dict[str, Any]:
    """Return a cross position as the API shows it, with its profit or loss at the last price (ticks).

    `deltaPl` is what is not realized; `totalPl` adds what ever was, `margin` holds that already.
    """
    exposure = position.exposure
    entry, liquidation, delta = exposure.entry_price, exposure.liquidation, exposure.profit_at(last)
    return {
        "id": position.id,
        "uid": position.account.id,
        "quantity": exposure.quantity,
        "leverage": exposure.leverage,
        "margin": exposure.margin,
        "entryPrice": None if entry is None else price_json(entry),
        "liquidation": None if liquidation is None else price_json(liquidation),
        "initialMargin": position.initial_margin,
        "runningMargin": exposure.running_margin,
        "maintenanceMargin": exposure.maintenance_margin,
        "totalPl": position.realized + delta,
        "deltaPl": delta,
        "tradingFees": position.trading_fees,
        "fundingFees": position.funding_fees,
        "updatedAt": iso(position.updated_at),
    }


def transfer_json(transfer: CrossTransfer) -> dict[str, Any]:
    """Return a move between balance and cross wallet as the API shows it."""
    return {"id": transfer.id, "time": iso(transfer.at), "amount": transfer.amount}


def funding_fee_json(row: FundingFee) -> dict[str, Any]:
    """Return a funding fee as the API shows it."""
    settlement = row.settlement
    return {"settlementId": settlement.id, "time": iso(settlement.at), "fee": row.fee, "tradeId": row.trade_id}


def settlement_json(settlement: Settlement) -> dict[str, Any]:
    """Return a funding settlement as the API shows it."""
    return {
        "id": settlement.id,
        "time": iso(settlement.at),
        "fundingRate": number(settlement.rate),
        "fixingPrice": price_json(settlement.price),
    }


def account_json(account: Account) -> dict[str, Any]:
    """Return an account as `GET /account` shows it."""
    return {
        "id": account.id,
        "username": account.username,
        "email": None,
        "balance": account.balance,
        "syntheticUsdBalance": 0,
        "feeTier": 0,
        "linkingPublicKey": None,
    }


def page_json(rows: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    """Return one page of a list."""
    return {"data": rows, "nextCursor": cursor}
