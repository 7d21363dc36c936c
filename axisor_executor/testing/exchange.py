"""One account on an exchange that does at once, and exactly, what a decision asks for."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import singledispatchmethod
from typing import Any, TypeVar

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AccountContext,
    Act,
    Action,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    Decision,
    OpenPosition,
    OwnEntry,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import Rejected
from axisor_executor.exchange.base import CrossPosition, Trade, TradeState
from axisor_executor.testing.contexts import make_context
from axisor_executor.testing.defaults import BALANCE, LAST_PRICE, NOW, Price
from axisor_executor.testing.trades import make_cross_position, make_trade

ConfigT = TypeVar("ConfigT", bound=AutomationConfig)


class FakeExchange:
    """An account in memory: what a decision asks for is carried out, and the next context shows it.

    It refuses what the exchange would (closing a closed trade, a take profit that is set already, more than the balance
    has) with ``Rejected``. It is no market: nothing is filled, triggered or liquidated when the price moves,
    fees are bounds rather than to the sat, and :class:`~axisor_executor.automation.CashIn` takes from the margin alone.
    :func:`~axisor_executor.testing.run_automation` runs on the paper exchange, which does all of it.

    Attributes:
        price: the last price in USD per BTC.
        balance: free sats.
        trades: by id, in whatever state.
        cross: the cross position, ``None`` where it can't be read.
        own: ids of the trades that the automation opened.
        entries: what the automation opened, as the ledger tells it.
        acted_on: id of a trade, or of the cross position -> when the automation last acted on it.
        lineage: old trade id -> the id that replaced it.
    """

    def __init__(
        self,
        *,
        price: Price = LAST_PRICE,
        trades: Iterable[Trade] = (),
        balance: int = BALANCE,
        cross_position: CrossPosition | None = None,
        own: Iterable[str] = (),
        entries: Iterable[OwnEntry] = (),
        acted_on: Mapping[str, datetime] | None = None,
        lineage: Mapping[str, str] | None = None,
        now: datetime = NOW,
    ) -> None:
        self.price = Decimal(price)
        self.balance = balance
        self.trades = {trade.id: trade for trade in trades}
        self.cross = cross_position
        self.own = set(own)
        self.entries = tuple(entries)
        self.acted_on = dict(acted_on or {})
        self.lineage = dict(lineage or {})
        self.now = now
        self._opened = 0
        self.move(self.price)

    def copy(self) -> FakeExchange:
        """Return an exchange that goes its own way from here on."""
        other = copy.copy(self)
        other.trades, other.own, other.lineage = dict(self.trades), set(self.own), dict(self.lineage)
        other.acted_on = dict(self.acted_on)
        return other

    def trade(self, trade_id: str) -> Trade:
        """Return the trade that this one has become.

        Raises:
            KeyError: there is none.
        """
        while trade_id in self.lineage:
            trade_id = self.lineage[trade_id]
        return self.trades[trade_id]

    def move(self, price: Price, *, now: datetime | None = None) -> None:
        """Let the last price be ``price``; the P&L of running trades and of the cross position follows it."""
        self.price = Decimal(price)
        self.now = now or self.now
        for trade in self._in("running"):
            if trade.entry_price is not None:
                pl = arithmetic.pl(trade.side, trade.quantity, trade.entry_price, self.price)
                self.trades[trade.id] = replace(trade, pl=pl)
        if self.cross is not None and self.cross.side is not None and self.cross.entry_price is not None:
            pl = arithmetic.pl(self.cross.side, abs(self.cross.quantity), self.cross.entry_price, self.price)
            self.cross = replace(self.cross, total_pl=pl, delta_pl=pl)

    def context(
        self, handler: AutomationHandler[ConfigT], config: ConfigT | Mapping[str, Any], **changes: Any
    ) -> AccountContext[ConfigT]:
        """Return the context in which ``handler`` would decide now.

        ``changes`` are arguments of :func:`~axisor_executor.testing.make_context`: ``action`` and ``trade_id`` of the
        job, or ``price=None`` for a price that can't be read.
        """
        facts: dict[str, Any] = {
            "price": self.price,
            "running": self._in("running"),
            "open_orders": self._in("open"),
            "finished": self._in("closed", "canceled"),
            "own": [trade for trade in self._in("running", "open") if trade.id in self.own],
            "entries": self.entries,
            "acted_on": self.acted_on,
            "cross_position": self.cross,
            "balance": self.balance,
            "lineage": self.lineage,
            "now": self.now,
        }
        return make_context(config, handler=handler, **(facts | changes))

    def carry_out(self, decision: Decision) -> FakeExchange:
        """Carry out every action of ``decision``, in order, and return this exchange; a ``Wait`` changes nothing.

        Raises:
            Rejected: the exchange would refuse one of them; those before it are done.
        """
        for group in decision.groups if isinstance(decision, Act) else ():
            for action in group.actions:
                self.apply(action)
        return self

    @singledispatchmethod
    def apply(self, action: Action) -> None:
        """Carry out one action.

        Raises:
            Rejected: the exchange would refuse it.
        """
        raise TypeError(f"{action!r} is no action")

    @apply.register
    def _open(self, action: OpenPosition) -> None:
        entry = action.price if action.price is not None else self.price
        trade = make_trade(
            id=f"new-{self._opened + 1}",
            side=action.side,
            quantity=action.quantity,
            entry_price=entry,
            leverage=action.leverage,
            state="running" if action.type == "market" else "open",
            last_price=self.price,
            created_at=self.now,
            filled_at=self.now if action.type == "market" else None,
        )
        self._check_quantity(action.quantity)
        self._check(self._stoploss_problem(trade, action.stoploss) if action.stoploss is not None else None)
        self._check(self._takeprofit_problem(trade, action.takeprofit) if action.takeprofit is not None else None)
        self._spend(arithmetic.entry_cost(action.side, action.quantity, entry, action.leverage))
        self._opened += 1
        self.trades[trade.id] = replace(trade, stoploss=action.stoploss, takeprofit=action.takeprofit)
        self.own.add(trade.id)
        self.acted_on[trade.id] = self.now
        if action.replaces is not None:
            self.lineage[action.replaces] = trade.id
        else:
            self.entries += (OwnEntry(self.now, action, "confirmed", trade.id, entry, trade.margin),)

    @apply.register
    def _close(self, action: ClosePosition) -> None:
        trade = self._the(action.trade_id, "running")
        self.balance += arithmetic.closing_proceeds(trade.quantity, self.price, trade.margin, trade.pl)
        fee = arithmetic.trading_fee(trade.quantity, self.price)
        self._keep(trade, state="closed", exit_price=self.price, closing_fee=fee, closed_at=self.now)

    @apply.register
    def _cancel(self, action: CancelOrder) -> None:
        trade = self._the(action.trade_id, "open")
        self.balance += arithmetic.entry_cost(trade.side, trade.quantity, trade.price, trade.leverage)
        self._keep(trade, state="canceled", closed_at=self.now)

    @apply.register
    def _add_margin(self, action: AddMargin) -> None:
        trade = self._the(action.trade_id, "running")
        self._check_leverage(trade, trade.margin + action.amount)
        self._spend(action.amount)
        self._set_margin(trade, trade.margin + action.amount)

    @apply.register
    def _cash_in(self, action: CashIn) -> None:
        trade = self._the(action.trade_id, "running")
        self._check_leverage(trade, trade.margin - action.amount)
        self.balance += action.amount
        self._set_margin(
            trade,
            trade.margin - action.amount,
            sum_cash_in=trade.sum_cash_in + action.amount,
            sum_cash_in_margin=trade.sum_cash_in_margin + action.amount,
        )

    @apply.register
    def _set_takeprofit(self, action: SetTakeProfit) -> None:
        trade = self._the(action.trade_id, "running", "open")
        self._check("takeprofit is the same as the previous one" if trade.takeprofit == action.value else None)
        self._check(self._takeprofit_problem(trade, action.value))
        self._keep(trade, takeprofit=action.value)

    @apply.register
    def _set_stoploss(self, action: SetStopLoss) -> None:
        trade = self._the(action.trade_id, "running", "open")
        is_same = trade.stoploss == action.value and trade.stoploss_trailing_distance is None
        self._check("stoploss is the same as the previous one" if is_same else None)
        self._check(self._stoploss_problem(trade, action.value))
        self._keep(trade, stoploss=action.value, stoploss_trailing_distance=None)

    @apply.register
    def _close_cross(self, action: CloseCrossPosition) -> None:
        self._reduce(self._held(action), abs(self._held(action).quantity))

    @apply.register
    def _reduce_cross(self, action: ReduceCrossPosition) -> None:
        self._check_quantity(action.quantity)
        self._reduce(self._held(action), action.quantity)

    def _in(self, *states: TradeState) -> list[Trade]:
        return [trade for trade in self.trades.values() if trade.state in states]

    def _the(self, trade_id: str, *states: TradeState) -> Trade:
        trade = self.trades.get(trade_id)
        if trade is None:
            raise Rejected(f"You do not own this trade: {trade_id}")
        self._check(None if trade.state in states else f"trade {trade_id} is {trade.state}, not {' or '.join(states)}")
        return trade

    def _keep(self, trade: Trade, **changed: Any) -> None:
        self.trades[trade.id] = replace(trade, **changed)
        self.acted_on[trade.id] = self.now

    def _spend(self, amount: int) -> None:
        self._check(f"the balance is {self.balance} sats, this takes {amount}" if amount > self.balance else None)
        self.balance -= amount

    def _check_quantity(self, quantity: int) -> None:
        most = arithmetic.MAX_QUANTITY
        self._check(f"an order takes {most} USD at most, this one is of {quantity}" if quantity > most else None)

    def _check_leverage(self, trade: Trade, margin: int) -> None:
        within = margin > 0 and 1 <= arithmetic.leverage_for_margin(trade.quantity, _entry(trade), margin) <= 100
        self._check(None if within else f"a margin of {margin} sats would bring the leverage out of 1 to 100")

    def _set_margin(self, trade: Trade, margin: int, **changed: Any) -> None:
        leverage = arithmetic.leverage_for_margin(trade.quantity, _entry(trade), margin)
        self._keep(
            trade,
            margin=margin,
            leverage=Decimal(leverage.numerator) / leverage.denominator,
            liquidation=arithmetic.liquidation_for_margin(trade.side, trade.quantity, _entry(trade), margin),
            **changed,
        )

    def _stoploss_problem(self, trade: Trade, value: Decimal) -> str | None:
        market = self.price if trade.state == "running" else trade.price
        return arithmetic.stoploss_problem(
            trade.side, value, market=market, liquidation=trade.liquidation, takeprofit=trade.takeprofit
        )

    def _takeprofit_problem(self, trade: Trade, value: Decimal) -> str | None:
        market = self.price if trade.state == "running" else trade.price
        return arithmetic.takeprofit_problem(trade.side, value, market=market, entry_price=_entry(trade))

    def _held(self, action: CrossAction) -> CrossPosition:
        held = self.cross
        if held is None or held.id != action.position_id or held.side != action.side:
            raise Rejected(f"there is no cross position {action.position_id} on the side {action.side}")
        self._check(None if abs(held.quantity) >= action.held else f"the cross position holds {held.quantity} USD")
        return held

    def _reduce(self, held: CrossPosition, quantity: int) -> None:
        assert held.entry_price is not None  # it has a side
        self.acted_on[held.id] = self.now
        left = abs(held.quantity) - quantity
        self.cross = make_cross_position(
            id=held.id,
            quantity=left if held.side == "buy" else -left,
            entry_price=held.entry_price,
            leverage=held.leverage,
            margin=held.margin,
            last_price=self.price,
        )

    @staticmethod
    def _check(problem: str | None) -> None:
        if problem is not None:
            raise Rejected(problem)


def _entry(trade: Trade) -> Decimal:
    return trade.price if trade.entry_price is None else trade.entry_price
