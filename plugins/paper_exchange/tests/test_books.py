"""The books under random commands: every sat stays accounted for, and no command mints any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from axisor_paper_exchange.engine import LONG, SHORT, Account, Exchange, NewTrade, Rejected, audit

prices = st.integers(60_000, 140_000)  # ticks: 30 000 .. 70 000 USD
leverages = st.decimals(1, 100, places=1)
sides = st.sampled_from([LONG, SHORT])
sats = st.integers(1, 200_000)
picks = st.integers(0, 10**6)


class Books(RuleBasedStateMachine):
    """Two accounts trade at random."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange(price=100_000)
        self.now = 0
        self.accounts = [self.exchange.open_account(name, 3_000_000, 0) for name in ("alice", "bob")]

    def tick(self) -> int:
        self.now += 1
        return self.now

    def pick(self, number: int) -> tuple[Account, str]:
        """Any trade, in the name of its owner most of the time."""
        trades = list(self.exchange.trades.values())
        trade = trades[number % len(trades)]
        return (trade.account if number % 7 else self.accounts[0]), trade.id

    def equity(self) -> int:
        """What the accounts would own if all trades closed at the last price without fees."""
        held = sum(trade.held for account in self.accounts for trade in account.trades.values())
        profit = sum(profit for _, profit in self.exchange.running_profits())
        return sum(account.balance for account in self.accounts) + held + profit

    @rule(account=st.integers(0, 1), side=sides, leverage=leverages, quantity=st.integers(1, 5_000))
    def market_order(self, account: int, side: int, leverage: Decimal, quantity: int) -> None:
        self.place(account, NewTrade(side=side, leverage=leverage, quantity=quantity))

    @rule(account=st.integers(0, 1), side=sides, leverage=leverages, margin=sats, price=prices)
    def limit_order(self, account: int, side: int, leverage: Decimal, margin: int, price: int) -> None:
        self.place(account, NewTrade(side=side, leverage=leverage, margin=margin, price=price))

    @rule(account=st.integers(0, 1), side=sides, distance=st.integers(1, 8_000))
    def order_with_exits(self, account: int, side: int, distance: int) -> None:
        last = self.exchange.market.last
        exits = {"stoploss": last - side * distance, "takeprofit": last + side * distance}
        self.place(account, NewTrade(side=side, leverage=Decimal(5), quantity=700, **exits))

    def place(self, account: int, order: NewTrade) -> None:
        before = self.equity()
        try:
            trade = self.exchange.place(self.accounts[account], order, self.tick())
        except Rejected:
            assert self.equity() == before
        else:
            # With no spread a trade costs its opening fee, and P&L is floored by less than a sat.
            assert self.equity() == before - trade.opening_fee

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, amount=sats)
    def add_margin(self, number: int, amount: int) -> None:
        self.neutral(lambda: self.exchange.add_margin(*self.pick(number), amount, self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, amount=sats)
    def cash_in(self, number: int, amount: int) -> None:
        self.neutral(lambda: self.exchange.cash_in(*self.pick(number), amount, self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        self.neutral(lambda: self.exchange.cancel(*self.pick(number), self.tick()))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, value=prices)
    def set_stoploss(self, number: int, value: int) -> None:
        self.neutral(lambda: self.exchange.set_stoploss(*self.pick(number), value))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, distance=st.decimals("0.001", "0.3", places=3))
    def set_trailing(self, number: int, distance: Decimal) -> None:
        self.neutral(lambda: self.exchange.set_trailing_stoploss(*self.pick(number), distance))

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks, value=prices)
    def set_takeprofit(self, number: int, value: int) -> None:
        self.neutral(lambda: self.exchange.set_takeprofit(*self.pick(number), value))

    def neutral(self, command: Callable[[], object]) -> None:
        """Carry out a command that moves money at most between an account and its trade."""
        before = self.equity()
        with suppress(Rejected):
            command()
        assert self.equity() == before

    @precondition(lambda self: self.exchange.trades)
    @rule(number=picks)
    def close(self, number: int) -> None:
        before = self.equity()
        try:
            trade = self.exchange.close(*self.pick(number), self.tick())
        except Rejected:
            assert self.equity() == before
        else:
            assert self.equity() == before - trade.closing_fee

    @rule(price=prices)
    def move(self, price: int) -> None:
        self.exchange.move_price(price, self.tick())

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
            assert 1 <= trade.leverage <= 100


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
