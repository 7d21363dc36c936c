"""The books under random commands: every sat stays accounted for, and a refused command changes nothing.

Three accounts trade isolated and cross futures at random, prices move, funding is settled, and now and then the
exchange is put away and brought back. `AXISOR_PAPER_SEQUENCES` says how many sequences of commands are tried.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
)

SEQUENCES = int(os.environ.get("AXISOR_PAPER_SEQUENCES", "60"))
STEPS = 40

T = TypeVar("T")

prices = st.integers(60_000, 140_000)  # ticks: 30 000 .. 70 000 USD
leverages = st.decimals(1, 100, places=1)
sides = st.sampled_from([LONG, SHORT])
sats = st.integers(1, 200_000)
picks = st.integers(0, 10**6)
owners = st.integers(0, 2)


class Books(RuleBasedStateMachine):
    """Three accounts trade at random."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange(price=100_000)
        self.now = 0
        for name in ("alice", "bob", "carol"):
            account = self.exchange.open_account(name, 3_000_000, 0)
            self.exchange.cross.deposit(account, 1_000_000, 0)
            self.exchange.cross.set_leverage(account, 25, 0)

    @property
    def accounts(self) -> list[Account]:
        return list(self.exchange.accounts.values())

    def tick(self) -> int:
        self.now += 1
        return self.now

    def pick(self, number: int) -> tuple[Account, str]:
        """Any trade, in the name of its owner most of the time."""
        trades = list(self.exchange.trades.values())
        trade = trades[number % len(trades)]
        return (trade.account if number % 7 else self.accounts[0]), trade.id

    def equity(self) -> int:
        """What the accounts would own if all closed at the last price without fees."""
        last = self.exchange.market.last
        held = sum(trade.held for trade in self.exchange.trades.values())
        profit = sum(profit for _, profit in self.exchange.running_profits())
        crosses = [account.cross.exposure for account in self.accounts]
        wallets = sum(exposure.margin + exposure.profit_at(last) for exposure in crosses)
        return sum(account.balance for account in self.accounts) + held + profit + wallets

    def attempt(self, command: Callable[[], T], *, cost: Callable[[T], int] = lambda _: 0, rounding: int = 0) -> None:
        """Carry a command out: it takes its `cost` from the equity and `rounding` sats at most, or changes nothing."""
        before, kept = self.equity(), pickle.dumps(self.exchange)
        try:
            result = command()
        except Rejected:
            assert pickle.dumps(self.exchange) == kept
        else:
            assert 0 <= before - cost(result) - self.equity() <= rounding

    # Isolated

    @rule(owner=owners, side=sides, leverage=leverages, quantity=st.integers(1, 5_000))
    def market_order(self, owner: int, side: int, leverage: Decimal, quantity: int) -> None:
        self.place(owner, NewTrade(side=side, leverage=leverage, quantity=quantity))

    @rule(owner=owners, side=sides, leverage=leverages, margin=sats, price=prices)
    def limit_order(self, owner: int, side: int, leverage: Decimal, margin: int, price: int) -> None:
        self.place(owner, NewTrade(side=side, leverage=leverage, margin=margin, price=price))

    @rule(owner=owners, side=sides, distance=st.integers(1, 8_000))
    def order_with_exits(self, owner: int, side: int, distance: int) -> None:
        last = self.exchange.market.last
        exits = {"stoploss": last - side * distance, "takeprofit": last + side * distance}
        self.place(owner, NewTrade(side=side, leverage=Decimal(5), quantity=700, **exits))

    @rule(owner=owners, side=sides, price=st.none() | prices, distance=st.decimals("0.001", "0.15", places=3))
    def order_that_trails(self, owner: int, side: int, price: int | None, distance: Decimal) -> None:
        order = NewTrade(side=side, leverage=Decimal(5), quantity=700, price=price, trailing_stoploss=distance)
        self.place(owner, order)

    def place(self, owner: int, order: NewTrade) -> None:
        self.attempt(
            lambda: self.exchange.place(self.accounts[owner], order, self.tick()), cost=lambda trade: trade.opening_fee
        )

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, amount=sats)
    def add_margin(self, number: int, amount: int) -> None:
        self.attempt(lambda: self.exchange.add_margin(*self.pick(number), amount, self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, amount=sats)
    def cash_in(self, number: int, amount: int) -> None:
        self.attempt(lambda: self.exchange.cash_in(*self.pick(number), amount, self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        self.attempt(lambda: self.exchange.cancel(*self.pick(number), self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, value=prices)
    def set_stoploss(self, number: int, value: int) -> None:
        self.attempt(lambda: self.exchange.set_stoploss(*self.pick(number), value))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, distance=st.decimals("0.001", "0.3", places=3))
    def set_trailing(self, number: int, distance: Decimal) -> None:
        self.attempt(lambda: self.exchange.set_trailing_stoploss(*self.pick(number), distance))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, value=prices)
    def set_takeprofit(self, number: int, value: int) -> None:
        self.attempt(lambda: self.exchange.set_takeprofit(*self.pick(number), value))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks)
    def close(self, number: int) -> None:
        self.attempt(lambda: self.exchange.close(*self.pick(number), self.tick()), cost=lambda trade: trade.closing_fee)

    # Cross

    @rule(owner=owners, amount=sats, side=sides)
    def transfer(self, owner: int, amount: int, side: int) -> None:
        desk = self.exchange.cross
        move = desk.deposit if side > 0 else desk.withdraw
        self.attempt(lambda: move(self.accounts[owner], amount, self.tick()))

    @rule(owner=owners, leverage=st.integers(1, 100))
    def cross_leverage(self, owner: int, leverage: int) -> None:
        self.attempt(lambda: self.exchange.cross.set_leverage(self.accounts[owner], leverage, self.tick()))

    @rule(owner=owners, side=sides, quantity=st.integers(1, 8_000))
    def cross_market_order(self, owner: int, side: int, quantity: int) -> None:
        self.cross(owner, NewCrossOrder(side=side, quantity=quantity))

    @rule(owner=owners, side=sides, quantity=st.integers(1, 8_000), price=prices)
    def cross_limit_order(self, owner: int, side: int, quantity: int, price: int) -> None:
        self.cross(owner, NewCrossOrder(side=side, quantity=quantity, price=price))

    def cross(self, owner: int, order: NewCrossOrder) -> None:
        # The P&L of what is closed and that of the rest are floored each for itself.
        self.attempt(
            lambda: self.exchange.cross.place(self.accounts[owner], order, self.tick()),
            cost=lambda made: made.trading_fee,
            rounding=1,
        )

    @rule(owner=owners)
    def cross_close(self, owner: int) -> None:
        self.attempt(
            lambda: self.exchange.cross.close(self.accounts[owner], self.tick()), cost=lambda order: order.trading_fee
        )

    @precondition(lambda self: self.exchange.cross.orders)
    @rule(number=picks)
    def cross_cancel(self, number: int) -> None:
        orders = list(self.exchange.cross.orders.values())
        order = orders[number % len(orders)]
        owner = order.account if number % 7 else self.accounts[0]
        self.attempt(lambda: self.exchange.cross.cancel(owner, order.id, self.tick()))

    @rule(owner=owners)
    def cancel_all(self, owner: int) -> None:
        account = self.accounts[owner]
        self.attempt(lambda: self.exchange.cross.cancel_all(account, self.tick()))
        self.attempt(lambda: self.exchange.cancel_all(account, self.tick()))

    # What happens to all

    @rule(price=prices)
    def move(self, price: int) -> None:
        fired = self.exchange.move_price(price, self.tick())
        for trade, what in {row.trade: row.what for row in fired}.items():
            assert trade.state == _STATES[type(trade)][what]

    @rule(rate=st.decimals("-0.01", "0.01", places=4))
    def settle_funding(self, rate: Decimal) -> None:
        for row in self.exchange.settle_funding(self.tick(), rate).fired:
            assert row.what in {"liquidation", "canceled"}

    @rule()
    def put_away_and_bring_back(self) -> None:
        self.exchange = pickle.loads(pickle.dumps(self.exchange))

    @invariant()
    def adds_up(self) -> None:
        assert audit(self.exchange) == []

    @invariant()
    def nothing_lies_beyond_its_triggers(self) -> None:
        last = self.exchange.market.last
        for trade, _ in self.exchange.running_profits():
            side = trade.side
            assert side * trade.liquidation < side * last
            assert not trade.stoploss or side * trade.liquidation <= side * trade.stoploss < side * last
            assert not trade.takeprofit or side * trade.takeprofit > side * last
            # Funding is paid from the margin and received into the balance: it may push the leverage beyond 100, also
            # where all that was paid has come back since.
            assert trade.id in trade.account.paid_funding_of or 1 <= trade.leverage <= 100
        for account in self.accounts:
            exposure = account.cross.exposure
            if exposure.liquidation is not None:
                assert exposure.side * exposure.liquidation < exposure.side * last
            assert account.balance >= 0
            assert exposure.margin >= 0
            assert 1 <= exposure.leverage <= 100


_STATES: dict[type, dict[str, str]] = {
    Trade: {"fill": "running", "takeprofit": "closed", "stoploss": "closed", "liquidation": "closed"},
    CrossOrder: {"fill": "filled", "liquidation": "filled", "canceled": "canceled"},
}

Books.TestCase.settings = settings(
    max_examples=SEQUENCES, stateful_step_count=STEPS, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBooks = Books.TestCase
