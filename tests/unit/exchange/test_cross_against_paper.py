"""The cross position, market data and what else v3 has, against the paper exchange: a real server."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from axisor_executor.errors import Rejected
from axisor_executor.exchange import LNMarketsClient, NewCrossOrder, NewTrade
from tests.harness.paper import PaperAccount, PaperExchange
from tests.unit.exchange.trader import is_now


@pytest.mark.parametrize(("side", "sign", "price"), [("buy", 1, 55_000), ("sell", -1, 45_000)])
def test_life_of_a_cross_position(
    side: str, sign: int, price: int, client: LNMarketsClient, paper: PaperExchange, account: PaperAccount
) -> None:
    flat = client.cross_position().value
    assert (flat.quantity, flat.side, flat.entry_price, flat.liquidation, flat.running_margin) == (
        0,
        None,
        None,
        None,
        0,
    )

    assert client.deposit_cross(300_000).value.margin == 300_000
    assert client.account().value.balance == 700_000
    assert client.set_cross_leverage(Decimal(10)).value.leverage == Decimal(10)

    order = client.open_cross_order(NewCrossOrder("market", side, 500, client_id="☃ 1")).value  # type: ignore[arg-type]
    assert (order.type, order.side, order.state, order.quantity) == ("market", side, "filled", 500)
    assert (order.price, order.client_id, order.canceled_at) == (Decimal(50_000), "☃ 1", None)
    assert order.filled_at is not None
    assert is_now(order.filled_at)

    held = client.cross_position().value
    assert (held.quantity, held.side, held.entry_price) == (sign * 500, side, Decimal(50_000))
    assert held.running_margin == 100_000
    assert held.entry_price is not None
    assert held.liquidation is not None
    assert sign * (held.entry_price - held.liquidation) > 0
    assert held.trading_fees == order.trading_fee > 0

    paper.set_price(price)
    assert client.cross_position().value.delta_pl > 0
    closed = client.close_cross_position().value
    assert (closed.side, closed.quantity, closed.state) == ("sell" if sign > 0 else "buy", 500, "filled")
    assert closed.price == Decimal(price)

    flat = client.cross_position().value
    assert (flat.quantity, flat.side) == (0, None)
    assert flat.margin > 300_000
    withdrawn = client.withdraw_cross(flat.margin).value
    assert withdrawn.margin == 0
    assert client.account().value.balance == 700_000 + flat.margin
    assert {found.id for found in client.cross_filled_orders(since=order.created_at).value.items} == {
        order.id,
        closed.id,
    }
    assert sorted(abs(move.amount) for move in client.cross_transfers().value.items) == [300_000, flat.margin]
    assert client.cross_funding_fees().value.items == ()
    assert paper.audit() == []
    with pytest.raises(Rejected):
        client.close_cross_position()


def test_life_of_cross_orders(client: LNMarketsClient, paper: PaperExchange) -> None:
    client.deposit_cross(300_000)
    client.set_cross_leverage(Decimal(10))
    placed = [
        client.open_cross_order(NewCrossOrder("limit", "buy", 100, price=Decimal(price), client_id=f"o-{price}")).value
        for price in (40_000, 41_000, 42_000)
    ]
    assert {order.state for order in placed} == {"open"}
    assert {order.id for order in client.cross_open_orders().value} == {order.id for order in placed}

    canceled = client.cancel_cross_order(placed[0].id).value
    assert (canceled.id, canceled.state, canceled.client_id) == (placed[0].id, "canceled", "o-40000")
    assert canceled.canceled_at is not None
    with pytest.raises(Rejected):
        client.cancel_cross_order(placed[0].id)

    paper.set_price(Decimal("41999.5"))
    (filled,) = client.cross_filled_orders().value.items
    assert (filled.id, filled.state, filled.client_id) == (placed[2].id, "filled", "o-42000")
    assert {order.id for order in client.cancel_all_cross_orders().value} == {placed[1].id}
    assert client.cross_open_orders().value == ()
    assert client.cross_position().value.quantity == 100


def test_trailing_stop_loss(client: LNMarketsClient) -> None:
    trade = client.open_trade(NewTrade("market", "buy", 100, Decimal(5))).value
    trailing = client.set_trailing_stoploss(trade.id, Decimal("0.05")).value
    assert (trailing.stoploss_trailing_distance, trailing.stoploss) == (Decimal("0.05"), Decimal(47_500))
    removed = client.remove_stoploss(trade.id).value
    assert (removed.stoploss, removed.stoploss_trailing_distance) == (None, None)


def test_market_data(client: LNMarketsClient) -> None:
    ticker = client.ticker().value
    assert ticker.funding_rate is not None
    assert ticker.funding_time is not None
    page = client.candles("1m", limit=1).value
    (candle,) = page.items
    assert candle.low <= candle.close <= candle.high
    assert candle.time > ticker.time - timedelta(minutes=2)
    assert all(settlement.fixing_price > 0 for settlement in client.funding_settlements(limit=2).value.items)
    client.close_trade(client.open_trade(NewTrade("market", "buy", 100, Decimal(5))).value.id)
    assert "trader" in {leader.username for leader in client.leaderboard().value.daily}


def test_account_and_notifications(client: LNMarketsClient, account: PaperAccount) -> None:
    found = client.account().value
    assert (found.id, found.balance, found.fee_tier) == (account.id, 1_000_000, 0)
    assert found.username
    assert client.notifications(is_read=False).value.items == ()
