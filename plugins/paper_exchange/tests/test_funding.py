"""Funding in process: who pays, who receives, who can't bear it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import (
    LONG,
    SATS_PER_BTC,
    SHORT,
    Account,
    Exchange,
    Funded,
    NewCrossOrder,
    NewTrade,
    Trade,
    audit,
)
from axisor_paper_exchange.engine.arithmetic import funding_fee
from axisor_paper_exchange.engine.funding import FUNDING_PERIOD

NOW = 62_327 * FUNDING_PERIOD
BALANCE = 10_000_000
RATE = Decimal("0.0001")


def at(price: float) -> int:
    return int(price * 2)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(price=at(50_000))


@pytest.fixture
def alice(exchange: Exchange) -> Account:
    account = exchange.open_account("alice", BALANCE, NOW)
    exchange.cross.deposit(account, 1_000_000, NOW)
    exchange.cross.set_leverage(account, 100, NOW)
    return account


def trade_of(exchange: Exchange, account: Account, side: int, quantity: int = 1000, **values: Any) -> Trade:
    order = NewTrade(**{"side": side, "leverage": Decimal(10), "quantity": quantity, **values})
    return exchange.place(account, order, NOW)


def settled(exchange: Exchange, rate: Decimal | str = RATE) -> Funded:
    funded = exchange.settle_funding(NOW, Decimal(rate))
    assert audit(exchange) == []
    return funded


def test_a_settlement_is_written_down(exchange: Exchange) -> None:
    first, second = settled(exchange).settlement, settled(exchange, "-0.0003").settlement
    assert (first.at, first.rate, first.price) == (NOW, RATE, at(50_000))
    assert first.id != second.id
    assert exchange.settlements.rows() == [first, second]


@pytest.mark.parametrize(("side", "rate"), [(LONG, "0.0001"), (SHORT, "-0.0001")])
def test_an_isolated_trade_pays_out_of_its_margin(exchange: Exchange, alice: Account, side: int, rate: str) -> None:
    trade = trade_of(exchange, alice, side)
    balance, margin, liquidation = alice.balance, trade.margin, trade.liquidation
    assert settled(exchange, rate).fired == []
    # 1000 USD at 50 000 are 2 000 000 sats.
    assert (trade.sum_funding_fees, trade.margin, alice.balance) == (200, margin - 200, balance)
    assert side * trade.liquidation > side * liquidation
    assert trade.leverage > 10


@pytest.mark.parametrize(("side", "rate"), [(SHORT, "0.0001"), (LONG, "-0.0001")])
def test_an_isolated_trade_receives_into_the_balance(exchange: Exchange, alice: Account, side: int, rate: str) -> None:
    trade = trade_of(exchange, alice, side)
    balance, before = alice.balance, (trade.margin, trade.liquidation, trade.leverage)
    settled(exchange, rate)
    assert (trade.sum_funding_fees, alice.balance) == (-200, balance + 200)
    assert (trade.margin, trade.liquidation, trade.leverage) == before
    assert alice.ledger[-1][1:] == ("funding_received", 200, trade.id)


@pytest.mark.parametrize(("side", "fee"), [(LONG, 200), (SHORT, -200)])
def test_a_cross_position_pays_and_receives_in_the_wallet(
    exchange: Exchange, alice: Account, side: int, fee: int
) -> None:
    exchange.cross.place(alice, NewCrossOrder(side=side, quantity=1000), NOW)
    balance, margin, liquidation = alice.balance, alice.cross.exposure.margin, alice.cross.exposure.liquidation
    settled(exchange)
    position = alice.cross
    assert (position.funding_fees, position.exposure.margin, alice.balance) == (fee, margin - fee, balance)
    assert liquidation is not None
    assert position.exposure.liquidation is not None
    # What a long pays and what a short receives both move it up.
    assert position.exposure.liquidation > liquidation


def test_only_what_runs_is_charged(exchange: Exchange, alice: Account) -> None:
    order = trade_of(exchange, alice, LONG, price=at(45_000))
    closed = trade_of(exchange, alice, LONG)
    exchange.close(alice, closed.id, NOW)
    exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=10, price=at(45_000)), NOW)
    settled(exchange)
    assert (order.sum_funding_fees, closed.sum_funding_fees, alice.cross.funding_fees) == (0, 0, 0)
    assert len(alice.paid_funding) == len(alice.cross.paid_funding) == 0


def test_records_name_settlement_and_trade(exchange: Exchange, alice: Account) -> None:
    long, short = trade_of(exchange, alice, LONG), trade_of(exchange, alice, SHORT, 500)
    exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=100), NOW)
    settlement = settled(exchange).settlement
    assert alice.paid_funding.rows() == [(settlement, 200, long.id), (settlement, -100, short.id)]
    assert alice.paid_funding_of[short.id].rows() == [(settlement, -100, short.id)]
    assert alice.cross.paid_funding.rows() == [(settlement, 20, None)]


def test_an_isolated_trade_that_funding_puts_beyond_its_liquidation_is_liquidated(
    exchange: Exchange, alice: Account
) -> None:
    trade = trade_of(exchange, alice, LONG)
    exchange.move_price(trade.liquidation + 2, NOW)
    (fired,) = settled(exchange).fired
    assert (fired.trade, fired.what, fired.price) == (trade, "liquidation", exchange.market.last)
    assert (trade.state, trade.closed_by, trade.exit_price) == ("closed", "liquidation", exchange.market.last)


def test_a_fee_takes_the_margin_at_most(exchange: Exchange, alice: Account) -> None:
    trade = trade_of(exchange, alice, LONG, leverage=Decimal(100))
    margin, balance = trade.margin, alice.balance
    settled(exchange, "0.5")
    assert (trade.state, trade.sum_funding_fees, trade.realized) == ("closed", margin, 0)
    assert alice.balance >= balance
    (row,) = alice.paid_funding.rows()
    assert row.fee == margin


def test_a_cross_position_that_can_not_bear_it_is_liquidated(exchange: Exchange, alice: Account) -> None:
    exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=1000), NOW)
    resting = exchange.cross.place(alice, NewCrossOrder(side=LONG, quantity=10, price=at(45_000)), NOW)
    fired = settled(exchange, "0.6").fired
    assert [row.what for row in fired] == ["canceled", "liquidation"]
    position = alice.cross
    assert (resting.state, position.exposure.quantity, position.exposure.margin) == ("canceled", 0, 0)
    assert position.funding_fees == 998_000


def test_leverage_above_the_limit_by_funding_can_be_cured(exchange: Exchange, alice: Account) -> None:
    trade = trade_of(exchange, alice, LONG, leverage=Decimal(100))
    settled(exchange)
    settled(exchange)
    assert trade.leverage > 102
    exchange.add_margin(alice, trade.id, 1, NOW)
    assert trade.leverage > 102
    assert audit(exchange) == []


def test_a_stop_loss_that_falls_beyond_the_liquidation_is_dropped(exchange: Exchange, alice: Account) -> None:
    trade = trade_of(exchange, alice, LONG)
    exchange.set_stoploss(alice, trade.id, trade.liquidation + 1)
    settled(exchange, "0.001")
    assert trade.stoploss == 0
    assert [row.what for row in exchange.move_price(trade.liquidation, NOW)] == ["liquidation"]


@given(
    st.sampled_from([LONG, SHORT]),
    st.integers(1, 500_000),
    st.integers(1, 400_000),
    st.decimals("-0.01", "0.01", places=6),
)
def test_the_fee_is_the_nearest_sat(side: int, quantity: int, price: int, rate: Decimal) -> None:
    exact = Fraction(2 * quantity * SATS_PER_BTC, price) * Fraction(rate) * side
    fee = funding_fee(side, quantity, price, rate)
    assert abs(fee - exact) <= Fraction(1, 2)
    assert funding_fee(-side, quantity, price, rate) == -fee


def test_nothing_is_charged_at_a_rate_of_zero(exchange: Exchange, alice: Account) -> None:
    trade = trade_of(exchange, alice, LONG)
    settled(exchange, "0")
    assert trade.sum_funding_fees == 0
    assert [row.fee for row in alice.paid_funding.rows()] == [0]


@pytest.mark.parametrize("what", ["trade", "record"])
def test_the_audit_sees_what_is_wrong(exchange: Exchange, alice: Account, what: str) -> None:
    trade = trade_of(exchange, alice, LONG)
    settled(exchange)
    if what == "trade":
        trade.sum_funding_fees = 0
    else:
        alice.paid_funding_of.clear()
    assert audit(exchange) != []
