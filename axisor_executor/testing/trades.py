"""Trades and cross positions whose figures follow from one another, as the exchange's do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.exchange.base import CrossPosition, OrderType, Side, Trade, TradeState
from axisor_executor.testing.defaults import LAST_PRICE, NOW, Price


def make_trade(
    *,
    id: str = "trade-1",  # noqa: A002  (named as the field is)
    side: Side = "buy",
    quantity: int = 100,
    entry_price: Price = LAST_PRICE,
    leverage: Price = 10,
    state: TradeState = "running",
    type: OrderType | None = None,  # noqa: A002  (named as the field is)
    last_price: Price | None = None,
    **overrides: Any,
) -> Trade:
    """Return a trade whose margin, liquidation, fees and P&L follow from its quantity, price and leverage.

    Args:
        entry_price: USD per BTC; the order's price while the trade is ``open``.
        last_price: where the market stands (the exit of a closed trade); by default at the entry, so that the P&L
            is 0.
        type: ``limit`` for an open order, else ``market``.
        overrides: any other field of :class:`~axisor_executor.exchange.base.Trade`, taken as it is.
    """
    entry, factor = Decimal(entry_price), Decimal(leverage)
    market = entry if last_price is None else Decimal(last_price)
    filled = state in ("running", "closed")
    values: dict[str, Any] = {
        "id": id,
        "type": type or ("limit" if state == "open" else "market"),
        "side": side,
        "state": state,
        "quantity": quantity,
        "margin": arithmetic.margin(quantity, entry, factor),
        "leverage": factor,
        "price": entry,
        "entry_price": entry if filled else None,
        "entry_margin": arithmetic.margin(quantity, entry, factor),
        "exit_price": market if state == "closed" else None,
        "liquidation": arithmetic.liquidation(side, quantity, entry, factor),
        "maintenance_margin": arithmetic.maintenance_margin(side, quantity, entry, factor),
        "opening_fee": arithmetic.trading_fee(quantity, entry) if filled else 0,
        "closing_fee": arithmetic.trading_fee(quantity, market) if state == "closed" else 0,
        "pl": arithmetic.pl(side, quantity, entry, market) if filled else 0,
        "stoploss": None,
        "stoploss_trailing_distance": None,
        "takeprofit": None,
        "sum_funding_fees": 0,
        "created_at": NOW,
        "filled_at": NOW if filled else None,
        "closed_at": NOW if state in ("closed", "canceled") else None,
        "client_id": None,
    }
    return Trade(**(values | overrides))


def make_cross_position(
    *,
    id: str = "position-1",  # noqa: A002  (named as the field is)
    quantity: int = 100,
    entry_price: Price = LAST_PRICE,
    leverage: Price = 10,
    margin: int | None = None,
    last_price: Price | None = None,
    **overrides: Any,
) -> CrossPosition:
    """Return a cross position whose margins, liquidation and P&L follow from its quantity, entry and wallet.

    Args:
        quantity: signed USD: above 0 a long, below 0 a short, 0 nothing (there is no entry or liquidation then).
        entry_price: USD per BTC.
        margin: sats in the cross wallet; by default what the position binds, so that the liquidation is where that
            of an isolated trade would be. A short that can't be liquidated has ``None``.
        last_price: where the market stands; by default at the entry, so that the P&L is 0.
        overrides: any other field of :class:`~axisor_executor.exchange.base.CrossPosition`, taken as it is.
    """
    entry, factor, size = Decimal(entry_price), Decimal(leverage), abs(quantity)
    side: Side = "buy" if quantity > 0 else "sell"
    bound = arithmetic.margin(size, entry, factor) if size else 0
    wallet = bound if margin is None else margin
    ends_at = arithmetic.liquidation_for_margin(side, size, entry, wallet) if size else None
    pl = arithmetic.pl(side, size, entry, entry if last_price is None else Decimal(last_price)) if size else 0
    values: dict[str, Any] = {
        "id": id,
        "quantity": quantity,
        "entry_price": entry if size else None,
        "liquidation": None if ends_at == arithmetic.NO_LIQUIDATION else ends_at,
        "leverage": factor,
        "margin": wallet,
        "initial_margin": 0,
        "running_margin": bound,
        "maintenance_margin": arithmetic.maintenance_margin(side, size, entry, factor) if size else 0,
        "total_pl": pl,
        "delta_pl": pl,
        "trading_fees": 0,
        "funding_fees": 0,
        "updated_at": NOW,
    }
    return CrossPosition(**(values | overrides))
