"""Answers as LN Markets v3 writes them, credentials with canaries, and every call of the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, NewTrade

BASE_URL = "https://api.lnmarkets.example"
OPTIONS = ExchangeOptions(slug="lnmarkets", base_url=BASE_URL)
KEY, SECRET, PASSPHRASE = "canary-key-Zq81xW", "canary-secret-Vt52mL", "canary-passphrase-Hy93bN"
CREDENTIALS = SecureCredentials(KEY, SECRET, PASSPHRASE)
TRADE_ID = "b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"
DATE = "Sun, 22 Nov 2026 08:00:00 GMT"
DATE_INSTANT = datetime(2026, 11, 22, 8, tzinfo=UTC)

Json = dict[str, Any]


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


TICKER = {
    "time": "2026-11-22T07:59:58.500Z",
    "index": 50_010.5,
    "lastPrice": 50_000.5,
    "fundingRate": 0.0001,
    "fundingTime": "2026-11-22T08:00:00.000Z",
    "prices": [{"askPrice": 50_001, "bidPrice": 50_000, "minSize": 0, "maxSize": 1000}],
    "priceChange24h": {"ratio": 0.01, "updatedAt": "2026-11-22T07:59:58.500Z"},
    "exchangesWeights": {"bybit": 0.3, "binance": 0.4, "okx": 0.3},
}
ACCOUNT = {
    "id": "52d5a0d8-4d43-4a0b-a4f1-8f0e7ce1b3a0",
    "username": "someone",
    "email": None,
    "balance": 1_000_000,
    "syntheticUsdBalance": 0,
    "feeTier": 0,
    "linkingPublicKey": None,
}
FEE: Json = {"fee": 12, "settlementId": "s-1", "time": "2026-11-22T00:00:00.000Z", "tradeId": TRADE_ID}
SINCE = datetime(2026, 11, 22, 7, 0, 0, 123_456, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One call of the client, what it must send and what it is answered; changes pass ``timestamp_ms`` on."""

    name: str
    call: Callable[..., Any]
    method: str
    target: str  # path and query as sent
    answer: Any
    body: str = ""
    public: bool = False

    @property
    def mutating(self) -> bool:
        return self.method != "GET"

    def __str__(self) -> str:
        return self.name


ORDER = NewTrade(
    type="limit",
    side="sell",
    quantity=250,
    leverage=Decimal("12.5"),
    price=Decimal("60000.5"),
    stoploss=Decimal(65000),
    takeprofit=Decimal("40000.5"),
    client_id="run-1/step-2",
)
_ISOLATED = "/v3/futures/isolated"
_ID_BODY = f'{{"id":"{TRADE_ID}"}}'
CASES = (
    Case("ping", lambda c: c.ping(), "GET", "/v3/ping", "pong", public=True),
    Case(
        "server_time",
        lambda c: c.server_time(),
        "GET",
        "/v3/time",
        {"time": "2026-11-22T08:00:00.250Z"},
        public=True,
    ),
    Case("ticker", lambda c: c.ticker(), "GET", "/v3/futures/ticker", TICKER, public=True),
    Case("account", lambda c: c.account(), "GET", "/v3/account", ACCOUNT),
    Case("running_trades", lambda c: c.running_trades(), "GET", f"{_ISOLATED}/trades/running", [trade_json()]),
    Case(
        "open_trades",
        lambda c: c.open_trades(),
        "GET",
        f"{_ISOLATED}/trades/open",
        [trade_json(**state("open"), type="limit", entryPrice=None, filledAt=None)],
    ),
    Case(
        "closed_trades",
        lambda c: c.closed_trades(since=SINCE, cursor="a+b/c=?&é", limit=50),
        "GET",
        f"{_ISOLATED}/trades/closed?from=2026-11-22T07%3A00%3A00.123Z&limit=50&cursor=a%2Bb%2Fc%3D%3F%26%C3%A9",
        {"data": [trade_json(**state("closed"), exitPrice=49_000, closedAt=TICKER["time"])], "nextCursor": "n"},
    ),
    Case(
        "canceled_trades",
        lambda c: c.canceled_trades(),
        "GET",
        f"{_ISOLATED}/trades/canceled",
        {"data": [], "nextCursor": None},
    ),
    Case(
        "funding_fees",
        lambda c: c.funding_fees(trade_id=TRADE_ID),
        "GET",
        f"{_ISOLATED}/funding-fees?tradeId={TRADE_ID}",
        {"data": [FEE], "nextCursor": None},
    ),
    Case(
        "open_trade",
        lambda c, **more: c.open_trade(ORDER, **more),
        "POST",
        f"{_ISOLATED}/trade",
        trade_json(**state("open"), type="limit", side="sell", quantity=250, clientId="run-1/step-2"),
        '{"type":"limit","side":"sell","leverage":12.5,"quantity":250,"price":60000.5,"stoploss":65000,'
        '"takeprofit":40000.5,"clientId":"run-1/step-2"}',
    ),
    Case(
        "close_trade",
        lambda c, **more: c.close_trade(TRADE_ID, **more),
        "POST",
        f"{_ISOLATED}/trade/close",
        trade_json(**state("closed"), exitPrice=50_100.5, closedAt=TICKER["time"]),
        _ID_BODY,
    ),
    Case(
        "cancel_trade",
        lambda c, **more: c.cancel_trade(TRADE_ID, **more),
        "POST",
        f"{_ISOLATED}/trade/cancel",
        trade_json(**state("canceled"), closedAt=TICKER["time"]),
        _ID_BODY,
    ),
    Case(
        "cancel_all",
        lambda c, **more: c.cancel_all(**more),
        "POST",
        f"{_ISOLATED}/trades/cancel-all",
        [trade_json(**state("canceled"))],
    ),
    Case(
        "add_margin",
        lambda c, **more: c.add_margin(TRADE_ID, 1000, **more),
        "POST",
        f"{_ISOLATED}/trade/add-margin",
        trade_json(margin=21_000),
        f'{{"id":"{TRADE_ID}","amount":1000}}',
    ),
    Case(
        "cash_in",
        lambda c, **more: c.cash_in(TRADE_ID, 500, **more),
        "POST",
        f"{_ISOLATED}/trade/cash-in",
        trade_json(margin=19_500, sumCashInMargin=500),
        f'{{"id":"{TRADE_ID}","amount":500}}',
    ),
    Case(
        "set_takeprofit",
        lambda c, **more: c.set_takeprofit(TRADE_ID, Decimal("60000.5"), **more),
        "PUT",
        f"{_ISOLATED}/trade/takeprofit",
        trade_json(takeprofit=60_000.5),
        f'{{"id":"{TRADE_ID}","value":60000.5}}',
    ),
    Case(
        "set_stoploss",
        lambda c, **more: c.set_stoploss(TRADE_ID, Decimal("47000.0"), **more),
        "PUT",
        f"{_ISOLATED}/trade/stoploss",
        trade_json(stoploss=47_000),
        f'{{"id":"{TRADE_ID}","value":47000}}',
    ),
    Case(
        "remove_takeprofit",
        lambda c, **more: c.remove_takeprofit(TRADE_ID, **more),
        "DELETE",
        f"{_ISOLATED}/trade/takeprofit?id={TRADE_ID}",
        trade_json(),
    ),
    Case(
        "remove_stoploss",
        lambda c, **more: c.remove_stoploss(TRADE_ID, **more),
        "DELETE",
        f"{_ISOLATED}/trade/stoploss?id={TRADE_ID}",
        trade_json(),
    ),
)
BY_NAME = {case.name: case for case in CASES}
