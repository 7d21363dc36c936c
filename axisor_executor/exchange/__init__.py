"""LN Markets REST v3: typed values, the client protocol and the client.

``base`` is what the executor needs of any exchange, ``records`` what LN Markets tells besides. ``client`` is LN
Markets: its ``calls``, an area each, on ``networks`` (where a key may go), ``signing``, ``transport`` (HTTP),
``answers`` (reading them) and ``failures`` (what a failed call means). ``prices`` shares one ticker.
"""

from __future__ import annotations

from axisor_executor.exchange.base import (
    FEE_RATE,
    PRICE_STEP,
    SATS_PER_BTC,
    Answer,
    ClientFactory,
    CrossOrder,
    CrossOrderState,
    CrossOrderType,
    CrossPosition,
    ExchangeAccount,
    ExchangeClient,
    ExchangeOptions,
    NewCrossOrder,
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
from axisor_executor.exchange.records import (
    Candle,
    CandleRange,
    CrossTransfer,
    FundingFee,
    FundingSettlement,
    Leader,
    Leaderboard,
    Notification,
)
from axisor_executor.exchange.rehearsal import UnsentRequest
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
    "Candle",
    "CrossOrder",
    "CrossPosition",
    "CrossTransfer",
    "ExchangeAccount",
    "FundingFee",
    "FundingSettlement",
    "Leader",
    "Leaderboard",
    "NewCrossOrder",
    "NewTrade",
    "Notification",
    "Page",
    "Ticker",
    "Trade",
    "UnsentRequest",
    # Words and facts of the trade
    "CandleRange",
    "CrossOrderState",
    "CrossOrderType",
    "OrderType",
    "Side",
    "TradeState",
    "FEE_RATE",
    "PRICE_STEP",
    "SATS_PER_BTC",
    # For tools
    "sign",
]
