"""What automations read of a backtest's account, and what they have done to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from axisor_executor.automation import AddMargin, ClosePosition, OpenPosition
from axisor_executor.backtest.account import NAME, Deed, Past, SimulatedAccount, SimulatedReads
from axisor_executor.exchange.base import NewTrade, Trade
from axisor_executor.exchange.simulation import SimulationOptions
from axisor_executor.plugins import discover, load

START = datetime(2026, 1, 1, tzinfo=UTC)
MARKET = OpenPosition("buy", 100, Decimal(10))


@pytest.fixture
def account() -> SimulatedAccount:
    simulation = load(discover()).simulations["paper"](SimulationOptions(at=START, price=Decimal(50_000)))
    simulation.add_account(NAME, balance=1_000_000)
    return SimulatedAccount(simulation)


@pytest.fixture
def past(account: SimulatedAccount) -> Past:
    return Past(account)


@pytest.fixture
def reads(account: SimulatedAccount, past: Past) -> SimulatedReads:
    return SimulatedReads(account, past)


def opened(account: SimulatedAccount, **order: object) -> Trade:
    values = {"type": "market", "side": "buy", "quantity": 100, "leverage": Decimal(10), **order}
    return account.client.open_trade(NewTrade(**values)).value  # type: ignore[arg-type]


def later(account: SimulatedAccount, price: int = 50_000) -> datetime:
    at = account.simulation.now + timedelta(minutes=1)
    account.simulation.move(at, Decimal(price))
    return at


def test_each_fact_is_read_as_it_is(account: SimulatedAccount, reads: SimulatedReads) -> None:
    running, resting = opened(account), opened(account, type="limit", price=Decimal(40_000))
    closed = opened(account)
    account.client.close_trade(closed.id)
    assert reads.price() == 50_000
    assert [one.id for one in reads.running()] == [running.id]
    assert [one.id for one in reads.open_orders()] == [resting.id]
    found = reads.finished(closed.id)
    assert found is not None
    assert found.state == "closed"
    assert reads.finished(running.id) is None
    assert reads.finished("nothing") is None
    assert reads.balance() == account.simulation.books(NAME).balance
    assert reads.cross_position().quantity == 0


def test_a_fact_stays_as_it_was_for_the_whole_decision(account: SimulatedAccount, reads: SimulatedReads) -> None:
    assert (reads.running(), reads.open_orders()) == ((), ())
    opened(account)
    opened(account, type="limit", price=Decimal(40_000))
    assert (reads.running(), reads.open_orders()) == ((), ())


def test_own_trades_are_those_that_it_opened_and_what_replaced_them(
    account: SimulatedAccount, past: Past, reads: SimulatedReads
) -> None:
    opened(account)
    own = opened(account)
    past.add(Deed(START, MARKET, own))
    account.client.close_trade(own.id)
    remainder = opened(account, quantity=50)
    account.lineage.replaced(own.id, remainder.id)
    assert [one.id for one in reads.own_trades()] == [remainder.id]
    assert reads.current_id(own.id) == remainder.id
    assert reads.original_id(remainder.id) == own.id
    assert reads.current_id("other") == reads.original_id("other") == "other"


def test_own_entries_are_told_newest_first_without_remainders(
    account: SimulatedAccount, past: Past, reads: SimulatedReads
) -> None:
    first = opened(account)
    past.add(Deed(START, MARKET, first))
    at = later(account, 49_000)
    resting = opened(account, type="limit", price=Decimal(40_000))
    past.add(Deed(at, OpenPosition("buy", 100, Decimal(10), "limit", Decimal(40_000)), resting))
    past.add(Deed(at, OpenPosition("buy", 50, Decimal(10), replaces="old"), opened(account, quantity=50)))
    entries = reads.own_entries(START - timedelta(seconds=1))
    assert [(one.trade_id, one.price, one.margin) for one in entries] == [
        (resting.id, 40_000, resting.margin),
        (first.id, 50_000, first.margin),
    ]
    assert {one.status for one in entries} == {"confirmed"}
    assert [one.trade_id for one in reads.own_entries(START)] == [resting.id]


def test_what_was_acted_on_is_told_by_the_ids_that_trades_have_now(
    account: SimulatedAccount, past: Past, reads: SimulatedReads
) -> None:
    own = opened(account)
    past.add(Deed(START, MARKET, own))
    past.add(Deed(START, ClosePosition("old")))
    account.lineage.replaced("old", "new")
    past.add(Deed(later(account), AddMargin("b", 5)))
    assert list(reads.acted_on(START - timedelta(seconds=1))) == sorted([own.id, "new", "b"])
    assert list(reads.acted_on(START)) == ["b"]


def test_what_was_done_is_found_by_time_and_kind(account: SimulatedAccount, past: Past) -> None:
    past.add(Deed(START, ClosePosition("a")))
    past.add(Deed(later(account), AddMargin("b", 5)))
    assert [one.action.kind for one in past.recent(61)] == ["add_margin", "close_position"]
    assert [one.action.kind for one in past.recent(60)] == ["add_margin"]
    assert [one.action.kind for one in past.recent(61, "ClosePosition")] == ["close_position"]
