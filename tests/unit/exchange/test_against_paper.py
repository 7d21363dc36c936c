"""A trading session against the paper exchange, a real server: every value compared."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import OutcomeUnknown, Rejected, Unavailable
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, NewTrade, SharedTicker
from tests.harness.paper import PaperAccount, PaperExchange
from tests.unit.exchange.trader import client_of, is_now


def test_public_calls(paper: PaperExchange) -> None:
    client = LNMarketsClient(ExchangeOptions("paper", f"{paper.url}/v3/"), None)
    assert client.ping().value == "pong"
    assert is_now(client.server_time().value)
    paper.set_price(Decimal("61234.5"))
    ticker = client.ticker()
    assert ticker.value.last_price == Decimal("61234.5")
    assert is_now(ticker.value.time)
    assert is_now(ticker.server_time)
    assert abs(client.last_skew_seconds or 0) < 1.1
    assert SharedTicker(client.ticker).fresh_price(5)[0] == Decimal("61234.5")


def test_life_of_a_trade(client: LNMarketsClient, paper: PaperExchange, account: PaperAccount) -> None:
    before = client.account().value
    assert (before.id, before.balance) == (account.id, 1_000_000)

    order = NewTrade("market", "buy", 100, Decimal(10), takeprofit=Decimal(60_000), client_id="session-1")
    opened = client.open_trade(order).value
    assert (opened.state, opened.type, opened.side, opened.quantity) == ("running", "market", "buy", 100)
    assert (opened.entry_price, opened.price, opened.leverage) == (Decimal(50_000), Decimal(50_000), Decimal(10))
    assert (opened.margin, opened.entry_margin, opened.opening_fee) == (20_000, 20_000, 200)
    assert opened.liquidation == Decimal("45454.5")
    assert (opened.takeprofit, opened.stoploss, opened.stoploss_trailing_distance) == (Decimal(60_000), None, None)
    assert (opened.pl, opened.sum_funding_fees, opened.sum_cash_in, opened.exit_price) == (0, 0, 0, None)
    assert opened.client_id == "session-1"
    assert opened.filled_at is not None
    assert opened.closed_at is None
    assert is_now(opened.created_at)
    assert client.running_trades().value == (opened,)

    more = client.add_margin(opened.id, 5_000).value
    assert (more.id, more.margin, more.leverage) == (opened.id, 25_000, Decimal(8))
    assert more.liquidation < opened.liquidation

    assert client.set_takeprofit(opened.id, Decimal("61000.5")).value.takeprofit == Decimal("61000.5")
    assert client.set_stoploss(opened.id, Decimal(48_000)).value.stoploss == Decimal(48_000)
    with pytest.raises(Rejected):
        client.set_stoploss(opened.id, Decimal(48_000))
    assert client.remove_takeprofit(opened.id).value.takeprofit is None
    assert client.remove_stoploss(opened.id).value.stoploss is None

    paper.set_price(55_000)
    assert client.running_trades().value[0].pl == 18_181
    cashed = client.cash_in(opened.id, 20_000).value
    assert (cashed.id, cashed.sum_cash_in) == (opened.id, 20_000)
    assert (cashed.sum_cash_in_margin, cashed.margin) == (20_000 - 18_181, 25_000 - 20_000 + 18_181)

    closed = client.close_trade(opened.id).value
    assert (closed.id, closed.state, closed.exit_price) == (opened.id, "closed", Decimal(55_000))
    assert closed.closing_fee == 181
    assert closed.closed_at is not None
    assert is_now(closed.closed_at)
    assert client.running_trades().value == ()
    assert client.closed_trades(since=opened.created_at, limit=1).value.items == (closed,)
    assert client.account().value.balance == paper.balance(account)
    with pytest.raises(Rejected):
        client.close_trade(opened.id)
    assert paper.audit() == []
    # Each change was asked for once: as many requests as calls above, and one effect per accepted one.
    assert len(paper.requests(account=account, mutating=True)) == 10
    assert len(paper.effects(account=account)) == 8


def test_life_of_limit_orders(client: LNMarketsClient, paper: PaperExchange, account: PaperAccount) -> None:
    def order(price: int) -> NewTrade:
        return NewTrade("limit", "sell", 10, Decimal("12.5"), price=Decimal(price), stoploss=Decimal(price + 500))

    first, second, third = (client.open_trade(order(price)).value for price in (60_000, 61_000, 62_000))
    assert (first.state, first.entry_price, first.filled_at) == ("open", None, None)
    assert (first.price, first.stoploss, first.leverage) == (Decimal(60_000), Decimal(60_500), Decimal("12.5"))
    assert {trade.id for trade in client.open_trades().value} == {first.id, second.id, third.id}

    canceled = client.cancel_trade(first.id).value
    assert (canceled.id, canceled.state) == (first.id, "canceled")
    assert {trade.id for trade in client.cancel_all().value} == {second.id, third.id}
    assert client.open_trades().value == ()
    with pytest.raises(Rejected):
        client.cancel_trade(first.id)

    page = client.canceled_trades(limit=2).value
    assert len(page.items) == 2
    assert page.next_cursor is not None
    rest = client.canceled_trades(limit=2, cursor=page.next_cursor).value
    assert {trade.id for trade in (*page.items, *rest.items)} == {first.id, second.id, third.id}
    assert rest.next_cursor is None
    assert client.canceled_trades(since=datetime.now(UTC) + timedelta(hours=1)).value.items == ()
    assert client.funding_fees(trade_id=first.id).value.items == ()
    assert paper.balance(account) == 1_000_000


def test_foreign_and_unknown_trades_are_rejected(
    client: LNMarketsClient, paper: PaperExchange, account: PaperAccount
) -> None:
    theirs = client_of(paper, paper.create_account("other")).open_trade(NewTrade("market", "buy", 1, Decimal(5))).value
    for trade_id in (theirs.id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(Rejected):
            client.close_trade(trade_id)
        with pytest.raises(Rejected):
            client.add_margin(trade_id, 10)
        with pytest.raises(Rejected):
            client.remove_stoploss(trade_id)
    assert paper.effects(account=account) == []


def test_wrong_keys_and_stale_signatures_are_rejected(
    client: LNMarketsClient, paper: PaperExchange, account: PaperAccount
) -> None:
    wrong = LNMarketsClient(ExchangeOptions("paper", paper.url), SecureCredentials(account.key, "wrong", "wrong"))
    with pytest.raises(Rejected) as raised:
        wrong.account()
    assert raised.value.status in {401, 403}

    paper.settings(windowSeconds=1)
    with pytest.raises(Rejected):  # older than the exchange takes, younger than this client was told
        client.open_trade(NewTrade("market", "buy", 1, Decimal(5)), timestamp_ms=int(time.time() * 1000) - 5_000)
    assert paper.effects(account=account) == []


@pytest.mark.parametrize("offset", [60, -60])
def test_a_refusal_for_this_machines_clock_says_nothing_about_the_keys(
    client: LNMarketsClient, paper: PaperExchange, offset: int
) -> None:
    """Else one machine whose clock is wrong would have all others hold back every account's calls."""
    paper.settings(clockOffsetSeconds=offset)
    with pytest.raises(Unavailable, match=r"clock is .(58|59|60) s off") as refused:
        client.account()
    assert refused.value.code == "clock_skew"


def test_clock_of_the_exchange_is_measured(client: LNMarketsClient, paper: PaperExchange) -> None:
    paper.settings(clockOffsetSeconds=20)
    client.account()
    assert -20.1 < (client.last_skew_seconds or 0) < -18.4
    paper.settings(clockOffsetSeconds=-20)
    client.account()
    assert 18.4 < (client.last_skew_seconds or 0) < 20.1


@pytest.mark.parametrize(
    ("fault", "change", "read", "effects"),
    [
        ({"kind": "latency", "seconds": 0.05}, None, None, 1),
        ({"kind": "stall", "seconds": 60}, OutcomeUnknown, Unavailable, 0),
        ({"kind": "drop_before"}, OutcomeUnknown, Unavailable, 0),
        ({"kind": "drop_after"}, OutcomeUnknown, Unavailable, 1),
        ({"kind": "status_before", "status": 429, "retryAfter": 3}, Unavailable, Unavailable, 0),
        ({"kind": "status_before", "status": 503}, Unavailable, Unavailable, 0),
        ({"kind": "status_before", "status": 502}, OutcomeUnknown, Unavailable, 0),
        ({"kind": "status_after", "status": 500}, OutcomeUnknown, Unavailable, 1),
        ({"kind": "malformed"}, OutcomeUnknown, Unavailable, 1),
        ({"kind": "truncated"}, OutcomeUnknown, Unavailable, 1),
        ({"kind": "wrong_content_type"}, OutcomeUnknown, Unavailable, 1),
        ({"kind": "slow_bytes", "seconds": 30}, OutcomeUnknown, Unavailable, 1),
    ],
    ids=lambda value: value["kind"] + str(value.get("status", "")) if isinstance(value, dict) else "",
)
def test_faults_of_the_exchange(
    fault: dict[str, object],
    change: type[Exception] | None,
    read: type[Exception] | None,
    effects: int,
    paper: PaperExchange,
    account: PaperAccount,
) -> None:
    # A short deadline only where it is to run out; on a busy machine any other answer would come too late for it.
    client = client_of(paper, account, seconds=1.0 if fault["kind"] in {"stall", "slow_bytes"} else 10.0)
    paper.add_fault(**{"account": account.id, "count": 2, **fault})  # type: ignore[arg-type]

    with pytest.raises(change) if change else nullcontext():
        client.open_trade(NewTrade("market", "buy", 1, Decimal(5), client_id="once"))
    with pytest.raises(read) if read else nullcontext():
        client.account()

    # The fault is over and so is its harm, to the connection that all clients of a thread share.
    assert client_of(paper, account).account().value.id == account.id
    assert len(paper.requests(account=account, mutating=True)) == 1
    assert len(paper.trades(account, client_id="once")) == effects
