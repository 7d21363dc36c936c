"""Cross futures in process: wallet, orders, position, liquidation."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from axisor_paper_exchange.engine import (
    LONG,
    SHORT,
    Account,
    CrossOrder,
    Exchange,
    NewCrossOrder,
    NewTrade,
    Rejected,
    Trade,
    audit,
    seeded_ids,
)

NOW = 1_795_000_000_000
BALANCE = 1_000_000


def at(price: float) -> int:
    return int(price * 2)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(price=at(50_000))


@pytest.fixture
def alice(exchange: Exchange) -> Account:
    account = exchange.open_account("alice", BALANCE, NOW)
    exchange.cross.deposit(account, 500_000, NOW)
    exchange.cross.set_leverage(account, 10, NOW)
    return account


def place(exchange: Exchange, account: Account, quantity: int, price: float | None = None, **values: Any) -> CrossOrder:
    """Buy for a positive quantity, sell for a negative one."""
    order = NewCrossOrder(
        side=LONG if quantity > 0 else SHORT,
        quantity=abs(quantity),
        price=None if price is None else at(price),
        **values,
    )
    made = exchange.cross.place(account, order, NOW)
    assert audit(exchange) == []
    return made


def moved(exchange: Exchange, price: float) -> list[tuple[str, float]]:
    fired = exchange.move_price(at(price), NOW + 1)
    assert audit(exchange) == []
    return [(row.what, row.price / 2) for row in fired]


def refused(exchange: Exchange, command: Callable[[], object]) -> Rejected:
    """Carry out a command that must be refused, and check that it changed nothing at all."""
    before = pickle.dumps(exchange)
    with pytest.raises(Rejected) as rejection:
        command()
    assert pickle.dumps(exchange) == before
    return rejection.value


# The wallet


def test_deposit_and_withdraw(exchange: Exchange) -> None:
    bob = exchange.open_account("bob", BALANCE, NOW)
    position = exchange.cross.deposit(bob, 300_000, NOW)
    exchange.cross.withdraw(bob, 100_000, NOW + 5)
    assert (bob.balance, position.exposure.margin) == (BALANCE - 200_000, 200_000)
    assert [(row.amount, row.at) for row in position.transfers.rows()] == [(300_000, NOW), (-100_000, NOW + 5)]
    assert [(entry.kind, entry.amount) for entry in bob.ledger[1:]] == [
        ("cross_deposited", -300_000),
        ("cross_withdrawn", 100_000),
    ]
    assert position.updated_at == NOW + 5
    assert audit(exchange) == []


@pytest.mark.parametrize("amount", [0, -5])
def test_less_than_a_sat_is_not_moved(exchange: Exchange, alice: Account, amount: int) -> None:
    desk = exchange.cross
    assert refused(exchange, lambda: desk.deposit(alice, amount, NOW)).code == "VALIDATION_ERROR"
    assert refused(exchange, lambda: desk.withdraw(alice, amount, NOW)).code == "VALIDATION_ERROR"


def test_deposit_needs_balance(exchange: Exchange, alice: Account) -> None:
    refusal = refused(exchange, lambda: exchange.cross.deposit(alice, 500_001, NOW))
    assert (refusal.code, refusal.details) == ("INSUFFICIENT_BALANCE", {"balance": 500_000, "required": 500_001})


def test_withdraw_everything_without_a_position(exchange: Exchange, alice: Account) -> None:
    assert refused(exchange, lambda: exchange.cross.withdraw(alice, 500_001, NOW)).code == "INSUFFICIENT_MARGIN"
    exchange.cross.withdraw(alice, 500_000, NOW)
    assert (alice.balance, alice.cross.exposure.margin) == (BALANCE, 0)


def test_withdraw_leaves_what_the_position_needs(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)  # takes 200 000 of margin, 3000 to maintain, 2000 of fee
    assert refused(exchange, lambda: exchange.cross.withdraw(alice, 295_000, NOW)).details == {
        "margin": 203_000,
        "required": 203_000,
    }
    exchange.cross.withdraw(alice, 294_999, NOW)
    assert audit(exchange) == []


def test_a_loss_can_not_be_withdrawn_and_a_profit_neither(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    moved(exchange, 62_500)
    assert alice.cross.exposure.profit_at(exchange.market.last) == 400_000
    refused(exchange, lambda: exchange.cross.withdraw(alice, 295_000, NOW))
    moved(exchange, 48_000)
    refused(exchange, lambda: exchange.cross.withdraw(alice, 294_999 - 83_333, NOW))
    exchange.cross.withdraw(alice, 294_999 - 83_334, NOW)


def test_a_deposit_moves_the_liquidation_price_away(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    before = alice.cross.exposure.liquidation
    assert before is not None
    exchange.cross.deposit(alice, 100_000, NOW)
    after = alice.cross.exposure.liquidation
    assert after is not None
    assert after < before
    assert moved(exchange, before / 2) == []
    assert moved(exchange, after / 2) == [("liquidation", after / 2)]


# Orders


def test_market_order(exchange: Exchange, alice: Account) -> None:
    order = place(exchange, alice, 1000, client_id="mine")
    assert (order.kind, order.state, order.side, order.quantity, order.price) == (
        "market",
        "filled",
        LONG,
        1000,
        at(50_000),
    )
    assert (order.trading_fee, order.realized, order.filled_at, order.client_id) == (2000, 0, NOW, "mine")
    position = alice.cross
    assert position.exposure[:3] == (498_000, 10, 1000)
    assert (position.exposure.running_margin, position.exposure.maintenance_margin) == (200_000, 3000)
    assert (position.trading_fees, position.realized) == (2000, 0)
    assert position.filled.rows() == [order]


def test_orders_pay_the_spread(exchange: Exchange, alice: Account) -> None:
    exchange.market.spread = at(10)
    assert place(exchange, alice, 100).price == at(50_005)
    assert exchange.cross.close(alice, NOW).price == at(49_995)


def test_limit_order_waits_for_its_price(exchange: Exchange, alice: Account) -> None:
    order = place(exchange, alice, 1000, 48_000)
    assert (order.state, order.trading_fee, order.filled_at) == ("open", 0, None)
    assert alice.cross.initial_margin == 208_334
    assert moved(exchange, 48_000.5) == []
    assert moved(exchange, 47_000) == [("fill", 48_000)]
    assert (order.state, order.price, order.trading_fee, order.filled_at) == ("filled", at(48_000), 2083, NOW + 1)
    assert (alice.cross.exposure.entry_price, alice.cross.initial_margin) == (at(48_000), 0)


@pytest.mark.parametrize("quantity", [100, -100])
@pytest.mark.parametrize("price", [45_000, 55_000])
def test_limit_orders_rest_on_either_side_of_the_market(
    exchange: Exchange, alice: Account, quantity: int, price: int
) -> None:
    assert place(exchange, alice, quantity, price).state == "open"
    assert moved(exchange, price) == [("fill", price)]
    assert alice.cross.exposure.quantity == quantity


def test_limit_order_at_the_market_is_filled(exchange: Exchange, alice: Account) -> None:
    assert place(exchange, alice, 100, 50_000).state == "filled"


def test_crossing_limits_fill_at_the_market_when_told_to(exchange: Exchange, alice: Account) -> None:
    exchange.crossing_limits_fill = True
    order = place(exchange, alice, 100, 52_000)
    assert (order.kind, order.state, order.price) == ("limit", "filled", at(50_000))


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"quantity": 0}, "VALIDATION_ERROR"),
        ({"quantity": 500_001}, "VALIDATION_ERROR"),
        ({"price": 0}, "VALIDATION_ERROR"),
        ({"client_id": ""}, "VALIDATION_ERROR"),
        ({"client_id": "x" * 65}, "VALIDATION_ERROR"),
        ({"quantity": 2462}, "INSUFFICIENT_MARGIN"),
        ({"quantity": 2470, "price": at(50_000.5)}, "INSUFFICIENT_MARGIN"),
    ],
)
def test_refused_orders_change_nothing(exchange: Exchange, alice: Account, values: dict[str, Any], code: str) -> None:
    order = NewCrossOrder(**{"side": LONG, "quantity": 10, **values})
    assert refused(exchange, lambda: exchange.cross.place(alice, order, NOW)).code == code


def test_the_largest_order_that_the_wallet_bears(exchange: Exchange, alice: Account) -> None:
    # 200 sats a dollar at 10x, 3 to maintain and 2 of fee: 500 000 / 205 = 2439.02
    refused(exchange, lambda: exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=2440), NOW))
    place(exchange, alice, 2439)


def test_open_orders_take_margin(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 2000, 45_000)
    refused(exchange, lambda: exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=1000), NOW))
    refused(exchange, lambda: exchange.cross.withdraw(alice, 100_000, NOW))
    # Of the two sides the larger counts: they can't both be open.
    place(exchange, alice, -1500, 55_000)
    exchange.cross.cancel_all(alice, NOW)
    assert alice.cross.initial_margin == 0
    place(exchange, alice, 1000)


def test_orders_that_reduce_take_no_margin(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 2400)
    place(exchange, alice, -2400, 55_000)
    assert alice.cross.initial_margin == 0
    refused(
        exchange, lambda: exchange.cross.place(alice, NewCrossOrder(side=SHORT, quantity=2000, price=at(56_000)), NOW)
    )
    assert moved(exchange, 55_000) == [("fill", 55_000)]
    assert alice.cross.exposure.quantity == 0


def test_cancel(exchange: Exchange, alice: Account) -> None:
    first, second = place(exchange, alice, 100, 45_000), place(exchange, alice, -100, 55_000)
    canceled = exchange.cross.cancel(alice, first.id, NOW + 7)
    assert (canceled, canceled.state, canceled.canceled_at) == (first, "canceled", NOW + 7)
    assert exchange.cross.cancel_all(alice, NOW) == [second]
    assert exchange.cross.cancel_all(alice, NOW) == []
    assert moved(exchange, 40_000) == []
    refusal = refused(exchange, lambda: exchange.cross.cancel(alice, first.id, NOW))
    assert (refusal.code, refusal.details) == ("ORDER_NOT_OPEN", {"state": "canceled"})


def test_orders_of_others(exchange: Exchange, alice: Account) -> None:
    bob = exchange.open_account("bob", BALANCE, NOW)
    order = place(exchange, alice, 100, 45_000)
    refusal = refused(exchange, lambda: exchange.cross.cancel(bob, order.id, NOW))
    assert (refusal.status, refusal.code) == (400, "ORDER_NOT_OWNED")
    refusal = refused(exchange, lambda: exchange.cross.cancel(bob, seeded_ids(9)(), NOW))
    assert (refusal.status, refusal.code) == (404, "ORDER_NOT_FOUND")


def test_a_fill_that_the_wallet_can_not_bear_is_canceled(exchange: Exchange, alice: Account) -> None:
    order = place(exchange, alice, 2000, 45_000)
    alice.cross.exposure = alice.cross.exposure._replace(margin=100_000)  # as if it had been lost in between
    fired = exchange.move_price(at(45_000), NOW)
    assert [(row.trade, row.what) for row in fired] == [(order, "canceled")]
    assert (order.state, alice.cross.exposure.quantity, alice.cross.open) == ("canceled", 0, {})


# The position


def test_close(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, -1000)
    moved(exchange, 40_000)
    order = exchange.cross.close(alice, NOW)
    assert (order.kind, order.side, order.quantity, order.price) == ("market", LONG, 1000, at(40_000))
    assert (order.realized, order.trading_fee) == (500_000, 2500)
    position = alice.cross
    assert position.exposure == (500_000 - 2000 + 500_000 - 2500, 10, 0, 0)
    assert (position.realized, position.trading_fees) == (500_000, 4500)
    refusal = refused(exchange, lambda: exchange.cross.close(alice, NOW))
    assert (refusal.status, refusal.code) == (400, "NO_POSITION")


def test_reducing_needs_no_margin(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 2400)
    moved(exchange, 46_000)
    refused(exchange, lambda: exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=1), NOW))
    order = place(exchange, alice, -1000)
    assert order.realized == -173_914
    assert alice.cross.exposure.quantity == 1400


def test_an_order_through_zero_turns_the_position_around(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    moved(exchange, 62_500)
    order = place(exchange, alice, -1500)
    exposure = alice.cross.exposure
    assert (order.realized, order.trading_fee) == (400_000, 2400)
    assert (exposure.quantity, exposure.entry_price) == (-500, at(62_500))
    assert exposure.margin == 500_000 - 2000 + 400_000 - 2400
    assert exposure.liquidation is not None
    assert exposure.liquidation > at(62_500)


def test_turning_around_needs_margin_for_the_rest(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    refused(exchange, lambda: exchange.cross.place(alice, NewCrossOrder(side=SHORT, quantity=3500), NOW))
    place(exchange, alice, -3300)


def test_leverage(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    for leverage in (0, 101):
        refusal = refused(exchange, lambda leverage=leverage: exchange.cross.set_leverage(alice, leverage, NOW))  # type: ignore[misc]
        assert refusal.code == "VALIDATION_ERROR"
    assert refused(exchange, lambda: exchange.cross.set_leverage(alice, 4, NOW)).code == "INSUFFICIENT_MARGIN"
    before = alice.cross.exposure.liquidation
    exchange.cross.set_leverage(alice, 5, NOW)
    assert (alice.cross.exposure.running_margin, alice.cross.exposure.liquidation) == (400_000, before)
    assert exchange.cross.set_leverage(alice, 5, NOW).exposure.leverage == 5
    exchange.cross.set_leverage(alice, 100, NOW)
    assert alice.cross.exposure.running_margin == 20_000


def test_leverage_must_bear_the_open_orders(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000, 45_000)
    assert refused(exchange, lambda: exchange.cross.set_leverage(alice, 4, NOW)).code == "INSUFFICIENT_MARGIN"
    exchange.cross.set_leverage(alice, 5, NOW)


def test_raising_the_leverage_is_allowed_in_distress(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 2400)
    moved(exchange, 46_000)
    exchange.cross.set_leverage(alice, 11, NOW)


# Liquidation


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_liquidation_takes_the_wallet_down_to_what_the_fee_leaves(
    exchange: Exchange, alice: Account, side: int
) -> None:
    place(exchange, alice, side * 2000)
    resting = place(exchange, alice, -side * 100, 50_000 + side * 20_000)
    liquidation = alice.cross.exposure.liquidation
    assert liquidation is not None
    assert moved(exchange, (liquidation + side) / 2) == []
    fired = exchange.move_price(liquidation - side * 500, NOW + 2)
    assert [row.what for row in fired] == ["canceled", "liquidation"]
    order = fired[1].trade
    assert isinstance(order, CrossOrder)
    assert (order.kind, order.state, order.side, order.quantity) == ("liquidation", "filled", -side, 2000)
    assert (order.price, order.filled_at, order.client_id) == (liquidation, NOW + 2, None)
    assert resting.state == "canceled"
    position = alice.cross
    assert position.exposure.quantity == 0
    assert 0 <= position.exposure.margin <= 6000 - order.trading_fee + 20
    assert audit(exchange) == []


def test_a_gap_is_not_jumped(exchange: Exchange, alice: Account) -> None:
    """An order that fills on the way is liquidated on the way, at its own price and not at the end's."""
    place(exchange, alice, 2200, 48_000)
    assert [what for what, _ in moved(exchange, 20_000)] == ["fill", "liquidation"]
    assert alice.cross.exposure.margin >= 0


def test_cross_and_isolated_are_set_off_in_the_order_of_the_way(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 100, 47_000)
    isolated = NewTrade(side=LONG, leverage=Decimal(10), quantity=10, price=at(48_000))
    exchange.place(alice, isolated, NOW)
    place(exchange, alice, 100, 49_000)
    fired = exchange.move_price(at(46_000), NOW)
    kinds = [(type(row.trade), row.price / 2) for row in fired]
    assert kinds == [(CrossOrder, 49_000), (Trade, 48_000), (CrossOrder, 47_000)]


def test_an_exchange_can_be_kept_and_goes_on_the_same(exchange: Exchange, alice: Account) -> None:
    place(exchange, alice, 1000)
    place(exchange, alice, 100, 45_000)
    kept = pickle.loads(pickle.dumps(exchange))
    again = kept.accounts[alice.id]
    fired = [
        [(row.trade.id, row.what, row.price) for row in one.move_price(at(30_000), NOW)] for one in (exchange, kept)
    ]
    assert fired[0] == fired[1]
    assert [row[1] for row in fired[0]] == ["fill", "liquidation"]
    assert again.cross.exposure == alice.cross.exposure
    assert kept.open_account("bob", 1, NOW).id == exchange.open_account("bob", 1, NOW).id


# The audit


@pytest.mark.parametrize(
    "tamper",
    [
        lambda position: setattr(position, "exposure", position.exposure._replace(margin=1)),
        lambda position: setattr(position, "exposure", position.exposure._replace(margin=-1)),
        lambda position: setattr(position, "exposure", position.exposure._replace(quantity=1001)),
        lambda position: setattr(position, "exposure", position.exposure._replace(cost=0)),
        lambda position: setattr(position, "realized", 1),
        lambda position: setattr(position, "trading_fees", 1),
        lambda position: setattr(position, "funding_fees", 1),
        lambda position: position.open.clear(),
        lambda position: position.transfers.rows() and position.account.book(NOW, "cross_withdrawn", 1),
    ],
)
def test_the_audit_sees_what_is_wrong(exchange: Exchange, alice: Account, tamper: Callable[[Any], object]) -> None:
    place(exchange, alice, 1000)
    place(exchange, alice, 100, 45_000)
    tamper(alice.cross)
    assert audit(exchange) != []
