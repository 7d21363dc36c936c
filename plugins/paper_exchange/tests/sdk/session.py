"""A trading session of the official Python SDK on the paper exchange at PAPER_URL.

Runs in the SDK's own environment, with SSL_CERT_FILE naming the paper exchange's certificate; says `session: ok` at the
end.
"""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from answers import CheckedClient, check
from lnmarkets_sdk.rest.v3 import APIAuthContext, APIClientConfig
from lnmarkets_sdk.rest.v3._internal.models import APIException
from lnmarkets_sdk.rest.v3.models.account import (
    DepositLightningParams,
    GetLightningDepositsParams,
    GetNotificationsParams,
    GetOnChainDepositsParams,
    WithdrawLightningParams,
)
from lnmarkets_sdk.rest.v3.models.futures_cross import (
    CancelOrderParams,
    DepositParams,
    FuturesCrossCanceledOrder,
    FuturesCrossOrderLimit,
    FuturesCrossOrderMarket,
    GetCrossFundingFeesParams,
    GetFilledOrdersParams,
    GetTransfersParams,
    SetLeverageParams,
    WithdrawParams,
)
from lnmarkets_sdk.rest.v3.models.futures_data import GetCandlesParams, GetFundingSettlementsParams
from lnmarkets_sdk.rest.v3.models.futures_isolated import (
    AddMarginParams,
    CancelTradeParams,
    CashInParams,
    CloseTradeParams,
    FuturesCanceledTrade,
    FuturesClosedTrade,
    FuturesOrder,
    FuturesRunningTrade,
    GetClosedTradesParams,
    GetIsolatedFundingFeesParams,
    RemoveStoplossParams,
    RemoveTakeprofitParams,
    UpdateStoplossParams,
    UpdateTakeprofitParams,
)
from pydantic import ValidationError

PAPER = os.environ["PAPER_URL"]
NOBODY = "00000000-0000-4000-8000-000000000000"
DAY = 86_400


def paper(method: str, path: str, body: Any = None) -> Any:
    """Ask the paper exchange's control surface."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{PAPER}/paper/{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def trader(account: dict[str, Any], **options: Any) -> CheckedClient:
    """Point the SDK at the paper exchange: its host and port are all it takes."""
    return CheckedClient(
        APIClientConfig(
            authentication=APIAuthContext(
                key=account["key"], secret=account["secret"], passphrase=account["passphrase"]
            ),
            hostname=PAPER.removeprefix("https://"),
            **options,
        )
    )


@contextmanager
def refused(status: int, code: str) -> Iterator[None]:
    """Expect the SDK to raise the exchange's refusal."""
    raised: APIException | None = None
    try:
        yield
    except APIException as error:
        raised = error
    assert raised is not None, f"not refused with {status} {code}"
    assert raised.error is not None, raised
    assert raised.error.code == code, raised
    assert str(raised) == f"API error: {status} [{code}] - {raised.error.message}"


async def pages(fetch: Any, params: Any) -> list[Any]:
    """Follow the cursor of a list to its end."""
    rows = []
    while True:
        page = await fetch(params)
        assert len(page.data) <= params.limit
        rows += page.data
        if page.next_cursor is None:
            return rows
        params = params.model_copy(update={"cursor": page.next_cursor})


def market(quantity: int = 100, **order: Any) -> FuturesOrder:
    return FuturesOrder(**{"type": "market", "side": "buy", "leverage": 10, "quantity": quantity} | order)


def limit(price: float, **order: Any) -> FuturesOrder:
    return FuturesOrder(**{"type": "limit", "side": "buy", "leverage": 10, "quantity": 100, "price": price} | order)


async def public_data(client: CheckedClient) -> None:
    assert json.loads(await client.ping()) == "pong"
    assert json.loads(await client.time()).keys() == {"time"}
    ticker = await client.futures.get_ticker()
    assert (ticker.last_price, ticker.prices[0].ask_price, ticker.prices[0].bid_price) == (50_000, 50_000.5, 49_999.5)
    price = await client.synthetic_usd.get_best_price()
    assert (price.ask_price, price.bid_price) == (50_000.5, 49_999.5)


async def account(client: CheckedClient, name: str) -> None:
    found = await client.account.get_account()
    assert (found.username, found.balance, found.synthetic_usd_balance, found.fee_tier) == (name, 10_000_000, 0, 0)


async def money(client: CheckedClient, account_id: str) -> None:
    """What comes in by the control surface is shown; nothing goes out."""
    paper("POST", f"accounts/{account_id}/deposits", {"amount": 1000, "method": "lightning", "comment": "a gift"})
    paper("POST", f"accounts/{account_id}/deposits", {"amount": 2000, "method": "on-chain"})
    paper("POST", f"accounts/{account_id}/notifications", {"message": "Hello", "event": "greeting"})
    lightning = await client.account.get_lightning_deposits(GetLightningDepositsParams(settled=True))
    assert [(row.amount, row.comment) for row in lightning.data] == [(1000, "a gift")]
    on_chain = await client.account.get_on_chain_deposits(GetOnChainDepositsParams(status="IRREVERSIBLE"))
    assert [row.amount for row in on_chain.data] == [2000]
    for status in ("under_review", "not_credited", "on_hold"):
        assert (await client.account.get_on_chain_deposits(GetOnChainDepositsParams(status=status))).data == []
    assert (await client.account.get_lightning_withdrawals()).data == []
    assert (await client.account.get_on_chain_withdrawals()).data == []
    assert (await client.synthetic_usd.get_swaps()).data == []
    assert [row.message for row in (await client.account.get_notifications()).data] == ["Hello"]
    await client.account.read_notifications()
    assert (await client.account.get_notifications()).data == []
    assert len((await client.account.get_notifications(GetNotificationsParams(read=True))).data) == 1
    assert (await client.account.get_bitcoin_address()).address == (await client.account.add_bitcoin_address()).address
    with refused(400, "PAPER_MONEY"):
        await client.account.deposit_lightning(DepositLightningParams(amount=1000))
    with refused(400, "PAPER_MONEY"):
        await client.account.withdraw_lightning(WithdrawLightningParams(invoice="lnbc1"))


async def orders(client: CheckedClient) -> None:
    """Limit orders: rest, fill, are canceled one by one and all at once, and are listed page by page."""
    isolated = client.futures.isolated
    resting = await isolated.new_trade(limit(45_000.5, margin=20_000, quantity=None, client_id="rests"))
    assert (resting.price, resting.margin, resting.open, resting.client_id) == (45_000.5, 20_000, True, "rests")
    filling = await isolated.new_trade(limit(49_000, takeprofit=60_000, stoploss=48_000))
    assert [trade.id for trade in await isolated.get_open_trades()] == [filling.id, resting.id]
    paper("PUT", "price", {"price": 49_000})
    (running,) = await isolated.get_running_trades()
    assert (running.id, running.entry_price, running.takeprofit, running.stoploss) == (
        *(filling.id, 49_000),
        *(60_000, 48_000),
    )
    assert (await isolated.update_takeprofit(UpdateTakeprofitParams(id=resting.id, value=47_000))).takeprofit == 47_000
    canceled = await isolated.cancel(CancelTradeParams(id=resting.id))
    assert isinstance(canceled, FuturesCanceledTrade)
    with refused(400, "TRADE_NOT_OPEN"):
        await isolated.cancel(CancelTradeParams(id=resting.id))
    more = [await isolated.new_trade(limit(40_000 + step)) for step in range(4)]
    assert {trade.id for trade in await isolated.cancel_all()} == {trade.id for trade in more}
    assert await isolated.cancel_all() == []
    ended = await pages(isolated.get_canceled_trades, GetClosedTradesParams(limit=2))
    assert len(ended) == 5
    assert {trade.id for trade in ended} == {resting.id, *(trade.id for trade in more)}
    await isolated.close(CloseTradeParams(id=running.id))
    paper("PUT", "price", {"price": 50_000})


async def positions(client: CheckedClient) -> None:
    """Running trades: exits, margin, cashing in, closing by hand and by the market."""
    isolated = client.futures.isolated
    trade = await isolated.new_trade(market(client_id="session-1"))
    assert isinstance(trade, FuturesRunningTrade)
    assert (trade.entry_price, trade.quantity, trade.client_id, trade.side) == (50_000.5, 100, "session-1", "buy")

    held = await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=47_500.5))
    assert (held.stoploss, held.stoploss_trailing_distance) == (47_500.5, 0)
    with refused(400, "SAME_STOPLOSS"):
        await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=47_500.5))
    trailing = await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=0.05, mode="trailing"))
    assert (trailing.stoploss, trailing.stoploss_trailing_distance) == (47_500, 0.05)
    assert (await isolated.remove_stoploss(RemoveStoplossParams(id=trade.id))).stoploss == 0
    assert (await isolated.update_takeprofit(UpdateTakeprofitParams(id=trade.id, value=60_000))).takeprofit == 60_000
    with refused(400, "INVALID_PRICE"):
        await isolated.update_takeprofit(UpdateTakeprofitParams(id=trade.id, value=40_000))
    assert (await isolated.remove_takeprofit(RemoveTakeprofitParams(id=trade.id))).takeprofit == 0

    added = await isolated.add_margin(AddMarginParams(id=trade.id, amount=5_000))
    assert (added.margin, added.liquidation < trade.liquidation) == (trade.margin + 5_000, True)
    cashed = await isolated.cash_in(CashInParams(id=trade.id, amount=2_000))
    assert (cashed.margin, cashed.sum_cash_in_margin) == (added.margin - 2_000, 2_000)

    closed = await isolated.close(CloseTradeParams(id=trade.id))
    assert isinstance(closed, FuturesClosedTrade)
    assert (closed.exit_price, closed.closed, closed.pl) == (49_999.5, True, -5)
    with refused(400, "TRADE_NOT_RUNNING"):
        await isolated.close(CloseTradeParams(id=trade.id))
    with refused(404, "TRADE_NOT_FOUND"):
        await isolated.close(CloseTradeParams(id=NOBODY))

    stopped = await isolated.new_trade(market(side="sell", stoploss=51_000))
    opened_trailing = await isolated.new_trade(market(stoploss=0.01, stoploss_mode="trailing"))
    assert (opened_trailing.stoploss, opened_trailing.stoploss_trailing_distance) == (49_500, 0.01)
    paper("PUT", "price", {"price": 52_000})
    paper("PUT", "price", {"price": 50_000})
    ended = await pages(isolated.get_closed_trades, GetClosedTradesParams(limit=1))
    assert [row.id for row in ended[:3]] == [opened_trailing.id, stopped.id, trade.id]
    assert [row.exit_price for row in ended[:2]] == [51_480, 51_000]
    since, until = ended[1].closed_at, ended[0].closed_at
    between = await pages(isolated.get_closed_trades, GetClosedTradesParams(limit=1, from_=since, to=until))
    assert [row.id for row in between] == [opened_trailing.id, stopped.id]


async def wrong_answers(client: CheckedClient) -> None:
    """What the SDK itself lets through is found: a wrong type, a wrong kind of value, a field that is not there."""
    trade = await client.futures.isolated.new_trade(market())
    await client.futures.isolated.close(CloseTradeParams(id=trade.id))
    good = trade.model_dump(by_alias=True)
    check(FuturesRunningTrade.model_validate(good))
    wrong = [{"margin": "20000"}, {"margin": 0.5}, {"price": 0.3}, {"id": "1"}, {"createdAt": "today"}, {"side": "b"}]
    for fields in [*({**good, **field} for field in [*wrong, {"new": 1}]), {**good, "takeprofit": None}]:
        answer = FuturesRunningTrade.model_validate(fields)
        try:
            check(answer)
        except (AssertionError, ValidationError):
            continue
        raise RuntimeError(f"not found to be wrong: {fields}")
    missing = FuturesRunningTrade.model_validate({name: good[name] for name in good.keys() - {"clientId"}})
    try:
        check(missing)
    except ValidationError:
        return
    raise RuntimeError("a field that is missing was not missed")


async def funding(client: CheckedClient) -> None:
    """A day of funding, for an isolated trade and a cross position."""
    isolated, cross = client.futures.isolated, client.futures.cross
    trade = await isolated.new_trade(market())
    await cross.new_order(FuturesCrossOrderMarket(type="market", side="sell", quantity=200))
    paper("POST", "market/step", {"seconds": DAY})
    settlements = await pages(client.futures.get_funding_settlements, GetFundingSettlementsParams(limit=2))
    assert [(row.funding_rate, row.fixing_price) for row in settlements] == [(0.0001, 50_000)] * 3
    paid = await pages(isolated.get_funding_fees, GetIsolatedFundingFeesParams(limit=2, trade_id=trade.id))
    assert [(row.fee, row.trade_id) for row in paid] == [(20, trade.id)] * 3
    assert {row.settlement_id for row in paid} == {row.id for row in settlements}
    received = (await cross.get_funding_fees(GetCrossFundingFeesParams(limit=5))).data
    assert [row.fee for row in received] == [-40] * 3
    assert (await cross.get_position()).funding_fees == -120
    assert (await isolated.close(CloseTradeParams(id=trade.id))).sum_funding_fees == 60
    await cross.close()


async def cross_futures(client: CheckedClient) -> None:
    cross = client.futures.cross
    empty = await cross.get_position()
    assert (empty.quantity, empty.margin, empty.entry_price, empty.liquidation) == (0, 0, None, None)
    assert (await cross.deposit(DepositParams(amount=1_000_000))).margin == 1_000_000
    assert (await cross.set_leverage(SetLeverageParams(leverage=20))).leverage == 20
    resting = await cross.new_order(
        FuturesCrossOrderLimit(type="limit", side="sell", price=55_000.5, quantity=10, client_id="cross-1")
    )
    assert (resting.open, resting.filled, resting.price, resting.client_id) == (True, False, 55_000.5, "cross-1")
    filled = await cross.new_order(FuturesCrossOrderMarket(type="market", side="buy", quantity=1_000))
    assert (filled.open, filled.filled, filled.type, filled.filled_at is None) == (False, True, "market", False)
    held = await cross.get_position()
    assert (held.id, held.quantity, held.entry_price, held.leverage) == (empty.id, 1_000, 50_000.5, 20)
    assert [order.id for order in await cross.get_open_orders()] == [resting.id]
    canceled = await cross.cancel(CancelOrderParams(id=resting.id))
    assert isinstance(canceled, FuturesCrossCanceledOrder)
    assert canceled.canceled_at is not None
    with refused(400, "ORDER_NOT_OPEN"):
        await cross.cancel(CancelOrderParams(id=resting.id))
    more = [
        await cross.new_order(FuturesCrossOrderLimit(type="limit", side="buy", price=40_000, quantity=step))
        for step in (1, 2)
    ]
    assert {order.id for order in await cross.cancel_all()} == {order.id for order in more}
    assert (await cross.close()).filled is True
    assert (await cross.get_position()).quantity == 0
    assert len(await pages(cross.get_filled_orders, GetFilledOrdersParams(limit=1))) == 2
    assert (await cross.withdraw(WithdrawParams(amount=100_000))).margin < 900_000
    assert [row.amount for row in (await cross.get_transfers(GetTransfersParams(limit=5))).data] == [
        *(-100_000, 1_000_000),
    ]


async def history(client: CheckedClient) -> None:
    """Candles and leaderboard show what happened before."""
    candles = await pages(client.futures.get_candles, GetCandlesParams(range="1m", limit=1))
    assert max(candle.high for candle in candles) == 52_000
    assert min(candle.low for candle in candles) == 49_000
    found = await client.futures.get_leaderboard()
    assert [row.username for row in found.daily] == ["sdk"]


async def credentials(account: dict[str, Any]) -> None:
    """Wrong ones are refused as such, those of somebody else can't touch a trade."""
    wrong = {"key": "INVALID_API_KEY", "secret": "INVALID_SIGNATURE", "passphrase": "INVALID_PASSPHRASE"}
    for name, code in wrong.items():
        async with trader(account | {name: "wrong"}) as client:
            with refused(401, code):
                await client.account.get_account()
    reader = paper("POST", f"accounts/{account['id']}/keys", {"permissions": ["read"]})
    async with trader(reader) as client:
        await client.account.get_account()
        with refused(403, "INSUFFICIENT_PERMISSIONS"):
            await client.futures.isolated.new_trade(market())
    async with trader(account) as owner, trader(paper("POST", "accounts", {})) as stranger:
        trade = await owner.futures.isolated.new_trade(market())
        with refused(400, "TRADE_NOT_OWNED"):
            await stranger.futures.isolated.close(CloseTradeParams(id=trade.id))
        await owner.futures.isolated.close(CloseTradeParams(id=trade.id))


def answered(account: dict[str, Any], since: int) -> list[int | None]:
    """Return the statuses that an account's requests were answered with."""
    rows = paper("GET", f"requests?account={account['id']}&since={since}")
    return [row["status"] for row in rows]


def last_request() -> int:
    rows = paper("GET", "requests")
    return int(rows[-1]["seq"])


async def rate_limits(account: dict[str, Any]) -> None:
    """Over the limit is 429; the SDK waits for Retry-After and tries again, and what it opens is opened once."""
    paper("PUT", "settings", {"privateRequestsPerSecond": 0.01})
    async with trader(account, max_retries=0) as client:
        await client.account.get_account()
        with refused(429, "RATE_LIMIT_EXCEEDED"):
            await client.account.get_account()
    paper("PUT", "settings", {"privateRequestsPerSecond": 0})

    async with trader(account) as client:
        isolated = client.futures.isolated
        for fault, status in (({"kind": "rate_limit", "retryAfter": 1}, 429), ({"kind": "status_before"}, 503)):
            before = last_request()
            paper("POST", "faults", {**fault, "route": "POST /v3/futures/isolated/trade", "count": 1})
            trade = await isolated.new_trade(market(client_id=f"after-{status}"))
            assert answered(account, before) == [status, 200]
            assert [row.id for row in await isolated.get_running_trades()] == [trade.id]
            await isolated.close(CloseTradeParams(id=trade.id))


async def lost_answers(account: dict[str, Any]) -> None:
    """A request whose answer is lost is not sent again; its clientId finds what it did."""
    paper("POST", "faults", {"kind": "drop_after", "mutating": True, "count": 1})
    async with trader(account) as client:
        isolated = client.futures.isolated
        try:
            await isolated.new_trade(market(client_id="lost"))
        except httpx.RemoteProtocolError:
            pass
        else:
            raise AssertionError("an answer that was dropped arrived")
        (trade,) = await isolated.get_running_trades()
        assert trade.client_id == "lost"
        await isolated.close(CloseTradeParams(id=trade.id))


async def main() -> None:
    opened = paper("POST", "accounts", {"username": "sdk", "balance": 10_000_000})
    async with trader(opened) as client:
        await public_data(client)
        await account(client, "sdk")
        await money(client, opened["id"])
        await orders(client)
        await wrong_answers(client)
        await positions(client)
        await cross_futures(client)
        await funding(client)
        await history(client)
        print(f"{client.checked} answers checked")
    await credentials(opened)
    await rate_limits(opened)
    await lost_answers(opened)
    assert paper("GET", "audit") == {"ok": True, "problems": []}
    print("session: ok")


if __name__ == "__main__":
    asyncio.run(main())
