"""LN Markets REST v3: typed values, the client protocol and the client.

``base`` is what the executor needs of any exchange. ``client`` is LN Markets on ``transport`` (HTTP), ``signing``,
``responses`` (reading answers) and ``failures`` (what a failed call means). ``prices`` shares one ticker.
"""

from __future__ import annotations

from axisor_executor.exchange.base import (
    FEE_RATE,
    PRICE_STEP,
    SATS_PER_BTC,
    Answer,
    ClientFactory,
    ExchangeAccount,
    ExchangeClient,
    ExchangeOptions,
    NewTrade,
    OrderType,
    Page,
    Side,
    Ticker,
    Trade,
    TradeState,
)
from axisor_executor.exchange.client import LNMarketsClient
from axisor_executor.exchange.prices import SharedTicker
from axisor_executor.exchange.responses import FundingFee
from axisor_executor.exchange.signing import sign

__all__ = [
    # The client
    "LNMarketsClient",
    "ExchangeClient",
    "ExchangeOptions",
    "ClientFactory",
    # Prices
    "SharedTicker",
    # What goes in and comes out
    "Answer",
    "ExchangeAccount",
    "FundingFee",
    "NewTrade",
    "Page",
    "Ticker",
    "Trade",
    # Words and facts of the trade
    "OrderType",
    "Side",
    "TradeState",
    "FEE_RATE",
    "PRICE_STEP",
    "SATS_PER_BTC",
    # For tools
    "sign",
]
