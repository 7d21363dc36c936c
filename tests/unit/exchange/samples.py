"""Answers as LN Markets v3 writes them, and credentials with canaries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions
from axisor_executor.exchange.answers.fields import decode

BASE_URL = "https://api.lnmarkets.example"
OPTIONS = ExchangeOptions(slug="lnmarkets", base_url=BASE_URL)
KEY, SECRET, PASSPHRASE = "canary-key-Zq81xW", "canary-secret-Vt52mL", "canary-passphrase-Hy93bN"
CREDENTIALS = SecureCredentials(KEY, SECRET, PASSPHRASE)
TRADE_ID = "b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"
DATE = "Sun, 22 Nov 2026 08:00:00 GMT"
DATE_INSTANT = datetime(2026, 11, 22, 8, tzinfo=UTC)

Json = dict[str, Any]


def decoded(value: Any) -> Any:
    """The value as the client gets it: through JSON, every fraction a Decimal."""
    return decode(json.dumps(value, default=float).encode())


def trade_json(**changes: Any) -> Json:
    """A running long of 100 USD as the exchange shows it."""
    return {
        "id": TRADE_ID,
        "uid": "52d5a0d8-4d43-4a0b-a4f1-8f0e7ce1b3a0",
        "type": "market",
        "side": "buy",
        "quantity": 100,
        "margin": 20_000,
        "leverage": 10,
        "price": 50_000,
        "entryPrice": 50_000,
        "entryMargin": 20_000,
        "exitPrice": None,
        "liquidation": 45_454.5,
        "maintenanceMargin": 220,
        "openingFee": 200,
        "closingFee": 0,
        "pl": -37,
        "stoploss": 0,
        "stoplossTrailingDistance": 0,
        "takeprofit": 0,
        "sumFundingFees": 0,
        "sumCashInMargin": 0,
        "sumCashInPl": 0,
        "createdAt": "2026-11-22T07:59:59.123Z",
        "filledAt": "2026-11-22T07:59:59.456Z",
        "closedAt": None,
        "clientId": None,
        "open": False,
        "running": True,
        "closed": False,
        "canceled": False,
        **changes,
    }


def state(name: str) -> Json:
    """The four flags of a trade in this state."""
    return {flag: flag == name for flag in ("open", "running", "closed", "canceled")}


TICKER: Json = {
    "time": "2026-11-22T07:59:58.500Z",
    "index": 50_010.5,
    "lastPrice": 50_000.5,
    "fundingRate": 0.0001,
    "fundingTime": "2026-11-22T08:00:00.000Z",
    "prices": [{"askPrice": 50_001, "bidPrice": 50_000, "minSize": 0, "maxSize": 1000}],
    "priceChange24h": {"ratio": 0.01, "updatedAt": "2026-11-22T07:59:58.500Z"},
    "exchangesWeights": {"bybit": 0.3, "binance": 0.4, "okx": 0.3},
}
ACCOUNT: Json = {
    "id": "52d5a0d8-4d43-4a0b-a4f1-8f0e7ce1b3a0",
    "username": "someone",
    "email": None,
    "balance": 1_000_000,
    "syntheticUsdBalance": 0,
    "feeTier": 0,
    "linkingPublicKey": None,
}
FEE: Json = {"fee": 12, "settlementId": "s-1", "time": "2026-11-22T00:00:00.000Z", "tradeId": TRADE_ID}
CANDLE: Json = {
    "time": "2026-11-22T07:59:00.000Z",
    "open": 50_000.5,
    "high": 50_100,
    "low": 49_900.5,
    "close": 50_050,
    "volume": 1_234_567,
}
SETTLEMENT: Json = {
    "id": "8f2f6b1e-0a4e-4e62-8f0c-2f5a1c8f1f10",
    "time": "2026-11-22T00:00:00.000Z",
    "fundingRate": -0.0001,
    "fixingPrice": 50_000.5,
}
LEADER: Json = {"username": "someone", "pl": -1234, "direction": 1}
LEADERBOARD: Json = {"daily": [LEADER], "weekly": [], "monthly": [LEADER, LEADER], "all-time": [LEADER]}
NOTIFICATION: Json = {
    "id": "0c6c4f0e-2a0e-4b3a-9a53-7f6d0f9b6a11",
    "createdAt": "2026-11-22T07:00:00.000Z",
    "message": "Your position\nwas liquidated",
    "read": False,
    "type": "liquidation",
}
ORDER_ID = "5b9d6c1e-6f0b-4a41-9d7e-3a8e6a2f9c01"


def position_json(**changes: Any) -> Json:
    """A cross long of 500 USD as the exchange shows it."""
    return {
        "id": "1a6f5f30-7c1b-4b52-a0ad-0f6bb4ed4f11",
        "uid": ACCOUNT["id"],
        "quantity": 500,
        "entryPrice": 50_000.5,
        "liquidation": 45_500,
        "leverage": 10,
        "margin": 150_000,
        "initialMargin": 2_000,
        "runningMargin": 100_000,
        "maintenanceMargin": 1_100,
        "totalPl": -1_234,
        "deltaPl": -34,
        "tradingFees": 1_000,
        "fundingFees": -12,
        "updatedAt": "2026-11-22T07:59:59.789Z",
        **changes,
    }


def order_json(name: str = "filled", **changes: Any) -> Json:
    """A cross order of 250 USD in one of its states as the exchange shows it."""
    return {
        "id": ORDER_ID,
        "uid": ACCOUNT["id"],
        "type": "market" if name == "filled" else "limit",
        "side": "sell",
        "quantity": 250,
        "price": 50_000.5,
        "tradingFee": 499,
        "createdAt": "2026-11-22T07:59:59.123Z",
        "filledAt": "2026-11-22T07:59:59.456Z" if name == "filled" else None,
        "canceledAt": "2026-11-22T07:59:59.456Z" if name == "canceled" else None,
        "clientId": None,
        **{flag: flag == name for flag in ("open", "filled", "canceled")},
        **changes,
    }
