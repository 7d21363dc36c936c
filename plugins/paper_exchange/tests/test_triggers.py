"""The trigger book against looking at every trade."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import LONG, Account, Exchange, NewTrade, Trade
from axisor_paper_exchange.engine.triggers import TriggerBook


def some_trade(number: int) -> Trade:
    exchange = Exchange(price=100_000)
    account = exchange.open_account("alice", 10**9, 0)
    trade = exchange.place(account, NewTrade(side=LONG, leverage=Decimal(2), quantity=1), 0)
    trade.number = number
    return trade


levels = st.integers(0, 20)


@given(st.lists(st.tuples(levels, levels), max_size=12), st.integers(1, 20))
def test_reached_in_order(watched: list[tuple[int, int]], price: int) -> None:
    book = TriggerBook()
    trades = [some_trade(number) for number in range(len(watched))]
    for trade, (below, above) in zip(trades, watched, strict=True):
        book.watch(trade, below=below, above=above)
    fired = []
    for trade, level in book.reached(price):
        book.forget(trade)
        fired.append((trade.number, level))
    falling = sorted((-below, number) for number, (below, _) in enumerate(watched) if below and below >= price)
    expected = [(number, -level) for level, number in falling]
    spent = {number for number, _ in expected}
    rising = sorted((above, n) for n, (_, above) in enumerate(watched) if above and above <= price and n not in spent)
    assert fired == expected + [(number, level) for level, number in rising]
    assert list(book.reached(price)) == []


def test_changed_triggers_replace_the_old_ones() -> None:
    book = TriggerBook()
    trade = some_trade(1)
    book.watch(trade, below=10)
    book.watch(trade, below=5)
    assert list(book.reached(6)) == []
    assert list(book.reached(5)) == [(trade, 5)]


def test_the_book_does_not_grow_with_changes() -> None:
    book = TriggerBook()
    trade = some_trade(1)
    for level in range(10_000):
        book.watch(trade, below=1 + level % 50, above=100 + level)
    assert len(book) <= 4_096


def test_accounts_compare_by_identity() -> None:
    assert Account("id", "alice") != Account("id", "alice")
