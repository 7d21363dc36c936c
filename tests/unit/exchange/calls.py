"""Every call of the client: what it must send, and what it is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from axisor_executor.exchange import NewCrossOrder, NewTrade
from tests.unit.exchange.samples import (
    ACCOUNT,
    CANDLE,
    FEE,
    LEADERBOARD,
    NOTIFICATION,
    ORDER_ID,
    SETTLEMENT,
    TICKER,
    TRADE_ID,
    order_json,
    position_json,
    state,
    trade_json,
)

SINCE = datetime(2026, 11, 22, 7, 0, 0, 123_456, tzinfo=UTC)
UNTIL = datetime(2026, 11, 22, 9, 0, tzinfo=timezone(timedelta(hours=1)))


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
CROSS_ORDER = NewCrossOrder("limit", "sell", 250, price=Decimal("60000.5"), client_id='run "ü" ☃ 1/2')
_ISOLATED = "/v3/futures/isolated"
_CROSS = "/v3/futures/cross"
_SPAN = "from=2026-11-22T07%3A00%3A00.123Z&to=2026-11-22T08%3A00%3A00.000Z"
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
    Case(
        "candles",
        lambda c: c.candles("3months", since=SINCE, until=UNTIL, cursor="c/1", limit=1000),
        "GET",
        f"/v3/futures/candles?range=3months&{_SPAN}&limit=1000&cursor=c%2F1",
        {"data": [CANDLE], "nextCursor": None},
        public=True,
    ),
    Case(
        "funding_settlements",
        lambda c: c.funding_settlements(limit=1),
        "GET",
        "/v3/futures/funding-settlements?limit=1",
        {"data": [SETTLEMENT], "nextCursor": "n"},
        public=True,
    ),
    Case("leaderboard", lambda c: c.leaderboard(), "GET", "/v3/futures/leaderboard", LEADERBOARD, public=True),
    Case(
        "notifications",
        lambda c: c.notifications(is_read=True, limit=5),
        "GET",
        "/v3/account/notifications?read=true&limit=5",
        {"data": [NOTIFICATION], "nextCursor": None},
    ),
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
        lambda c: c.closed_trades(since=SINCE, until=UNTIL, cursor="a+b/c=?&é", limit=50),
        "GET",
        f"{_ISOLATED}/trades/closed?{_SPAN}&limit=50&cursor=a%2Bb%2Fc%3D%3F%26%C3%A9",
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
        "set_trailing_stoploss",
        lambda c, **more: c.set_trailing_stoploss(TRADE_ID, Decimal("0.050"), **more),
        "PUT",
        f"{_ISOLATED}/trade/stoploss",
        trade_json(stoploss=47_500, stoplossTrailingDistance=0.05),
        f'{{"id":"{TRADE_ID}","value":0.05,"mode":"trailing"}}',
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
    Case("cross_position", lambda c: c.cross_position(), "GET", f"{_CROSS}/position", position_json()),
    Case("cross_open_orders", lambda c: c.cross_open_orders(), "GET", f"{_CROSS}/orders/open", [order_json("open")]),
    Case(
        "cross_filled_orders",
        lambda c: c.cross_filled_orders(since=SINCE, until=UNTIL),
        "GET",
        f"{_CROSS}/orders/filled?{_SPAN}",
        {"data": [order_json()], "nextCursor": None},
    ),
    Case(
        "cross_transfers",
        lambda c: c.cross_transfers(limit=2),
        "GET",
        f"{_CROSS}/transfers?limit=2",
        {"data": [{"id": "t-1", "amount": -5_000, "time": TICKER["time"]}], "nextCursor": None},
    ),
    Case(
        "cross_funding_fees",
        lambda c: c.cross_funding_fees(cursor="next"),
        "GET",
        f"{_CROSS}/funding-fees?cursor=next",
        {"data": [{**FEE, "tradeId": None}], "nextCursor": None},
    ),
    Case(
        "open_cross_order",
        lambda c, **more: c.open_cross_order(CROSS_ORDER, **more),
        "POST",
        f"{_CROSS}/order",
        order_json("open", price=60_000.5, clientId='run "ü" ☃ 1/2'),
        '{"type":"limit","side":"sell","quantity":250,"price":60000.5,"clientId":"run \\"\\u00fc\\" \\u2603 1/2"}',
    ),
    Case(
        "close_cross_position",
        lambda c, **more: c.close_cross_position(**more),
        "POST",
        f"{_CROSS}/position/close",
        order_json(),
    ),
    Case(
        "cancel_cross_order",
        lambda c, **more: c.cancel_cross_order(ORDER_ID, **more),
        "POST",
        f"{_CROSS}/order/cancel",
        order_json("canceled"),
        f'{{"id":"{ORDER_ID}"}}',
    ),
    Case(
        "cancel_all_cross_orders",
        lambda c, **more: c.cancel_all_cross_orders(**more),
        "POST",
        f"{_CROSS}/orders/cancel-all",
        [order_json("canceled"), order_json("canceled", id="another")],
    ),
    Case(
        "set_cross_leverage",
        lambda c, **more: c.set_cross_leverage(Decimal(10), **more),
        "PUT",
        f"{_CROSS}/leverage",
        position_json(),
        '{"leverage":10}',
    ),
    Case(
        "deposit_cross",
        lambda c, **more: c.deposit_cross(5_000, **more),
        "POST",
        f"{_CROSS}/deposit",
        position_json(),
        '{"amount":5000}',
    ),
    Case(
        "withdraw_cross",
        lambda c, **more: c.withdraw_cross(5_000, **more),
        "POST",
        f"{_CROSS}/withdraw",
        position_json(quantity=0, entryPrice=None, liquidation=None, runningMargin=0),
        '{"amount":5000}',
    ),
)
BY_NAME = {case.name: case for case in CASES}
