"""The simulated exchange: accounts, a market, isolated trades; cross futures are at its `cross` desk.

Pure: no I/O and no clock. Every command is given the instant (`at`, milliseconds since the epoch), prices come in
through `move_price`, funding through `settle_funding`, ids from `new_id`. A command either takes effect as a whole or
raises `Rejected` and changes nothing, not even what the next id will be: the same commands, instants and ids make the
same exchange. It can be pickled if `new_id` can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from axisor_paper_exchange.engine import arithmetic, cash_in, rules
from axisor_paper_exchange.engine.account import Account
from axisor_paper_exchange.engine.arithmetic import LONG, MAX_PRICE
from axisor_paper_exchange.engine.cross import CrossOrder, CrossPosition
from axisor_paper_exchange.engine.cross_desk import CrossDesk
from axisor_paper_exchange.engine.draft import check_exits, draft
from axisor_paper_exchange.engine.fired import Fired, Funded
from axisor_paper_exchange.engine.funding import FundingFee, Settlement
from axisor_paper_exchange.engine.history import History
from axisor_paper_exchange.engine.ids import seeded_ids
from axisor_paper_exchange.engine.market import Market
from axisor_paper_exchange.engine.rejection import Rejected, insufficient_balance
from axisor_paper_exchange.engine.trade import ClosedBy, NewTrade, Trade
from axisor_paper_exchange.engine.triggers import TriggerBook

__all__ = ["Exchange"]


class Exchange:
    """The state of the simulated exchange, and the commands that change it."""

    def __init__(
        self,
        *,
        price: int,
        fee_rate: Decimal = Decimal("0.001"),
        spread: int = 0,
        crossing_limits_fill: bool = False,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """Begin with a last price and a spread in ticks and a fee rate (0.001 is 0.1 %).

        `crossing_limits_fill` decides what becomes of a limit order on the far side of the market (a buy above it): the
        exchange rests it until the price comes there (False, its behaviour), a matching engine would fill it at once.
        """
        self.market = Market(price, spread)
        self.fee_rate = fee_rate
        self.crossing_limits_fill = crossing_limits_fill
        self.accounts: dict[str, Account] = {}
        self.trades: dict[str, Trade] = {}
        self.deposits = 0
        self.settlements: History[Settlement] = History()
        self.new_id = new_id or seeded_ids()
        self.triggers: TriggerBook[Trade | CrossOrder | CrossPosition] = TriggerBook()
        self.cross = CrossDesk(self)
        self._trailing: dict[str, Trade] = {}
        self._numbers = 0

    # Accounts and the market

    def open_account(self, username: str, balance: int, at: int) -> Account:
        """Open an account with `balance` sats."""
        account = Account(self.new_id(), username)
        number = self.next_number()
        account.cross = CrossPosition(id=self.new_id(), number=number, account=account, updated_at=at)
        self.accounts[account.id] = account
        self.deposits += balance
        account.book(at, "deposit", balance)
        return account

    def move_price(self, price: int, at: int) -> list[Fired]:
        """Move the last price (ticks) and set off what lies on the way, nearest first, each at its own price.

        The way is taken for unbroken: an order that is filled on it can be stopped out on it.
        """
        fired: list[Fired] = []
        for item, level in self.triggers.reached(price):
            if isinstance(item, CrossPosition):
                fired += self.cross.liquidate(item, level, at)
            elif isinstance(item, CrossOrder):
                fired.append(self.cross.reach(item, level, at))
            else:
                fired.append(self._fire(item, level, at))
        self.market.last = price
        for trade in self._trailing.values():
            self._trail(trade)
        return fired

    def settle_funding(self, at: int, rate: Decimal) -> Funded:
        """Settle funding at the last price: longs pay `rate` (0.0001 is 0.01 %) of their worth, shorts receive it.

        The caller sees to it that this happens every `FUNDING_PERIOD`.
        """
        settlement = Settlement(self.new_id(), at, rate, self.market.last)
        self.settlements.add(at, self.next_number(), settlement)
        fired: list[Fired] = []
        for account in self.accounts.values():
            for trade in list(account.running.values()):
                fired += self._charge_funding(trade, settlement)
            fired += self.cross.settle_funding(account.cross, settlement)
        return Funded(settlement, fired)

    # Orders

    def place(self, account: Account, order: NewTrade, at: int) -> Trade:
        """Place a market or limit order; a market order is filled at once at the ask (long) or bid (short)."""
        rules.check_order(order)
        price, fills = self.execution(order.side, order.price)
        trade = draft(order, account, price=price, at=at, fee_rate=self.fee_rate)
        check_exits(trade, last=self.market.last, fills=fills)
        needed = trade.margin + trade.maintenance_margin
        if needed > account.balance:
            raise insufficient_balance(account.balance, needed)
        trade.id = self.new_id()
        trade.number = self.next_number()
        account.book(at, "trade_placed", -needed, trade.id)
        self.trades[trade.id] = account.trades[trade.id] = account.open[trade.id] = trade
        if fills:
            self._fill(trade, at)
        elif price < self.market.last:
            self.triggers.watch(trade, below=price)
        else:
            self.triggers.watch(trade, above=price)
        return trade

    def cancel(self, account: Account, trade_id: str, at: int) -> Trade:
        """Cancel an open order; margin and fees that were held go back to the balance."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "open")
        self.triggers.forget(trade)
        account.book(at, "order_canceled", trade.held, trade.id)
        del account.open[trade.id]
        trade.state = "canceled"
        trade.closed_at = at
        account.canceled.add(at, self.next_number(), trade)
        return trade

    def cancel_all(self, account: Account, at: int) -> list[Trade]:
        """Cancel all open orders of the account."""
        return [self.cancel(account, trade_id, at) for trade_id in list(account.open)]

    # Running trades

    def close(self, account: Account, trade_id: str, at: int) -> Trade:
        """Close a running trade at the bid (long) or ask (short)."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running")
        self._settle(trade, self.market.exit(trade.side), at, "request")
        return trade

    def add_margin(self, account: Account, trade_id: str, amount: int, at: int) -> Trade:
        """Move `amount` sats from the balance to the trade's margin; leverage falls and must stay at least 1."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running")
        margin = trade.margin + amount
        cash_in.check_added_margin(trade.cost(), margin)
        if amount > account.balance:
            raise insufficient_balance(account.balance, amount)
        account.book(at, "margin_added", -amount, trade.id)
        trade.margin = margin
        self._reckon(trade)
        return trade

    def cash_in(self, account: Account, trade_id: str, amount: int, at: int) -> Trade:
        """Take `amount` sats out of the trade: out of its profit first, then out of its margin."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running")
        taken = cash_in.evaluate(trade, amount, self.market.last)
        account.book(at, "cashed_in", amount, trade.id)
        trade.entry_price, trade.cashed_profit = taken.entry_price, taken.cashed_profit
        trade.sum_cash_in_pl += taken.from_profit
        trade.sum_cash_in_margin += taken.from_margin
        trade.margin -= taken.from_margin
        self._reckon(trade)
        return trade

    def set_takeprofit(self, account: Account, trade_id: str, value: int) -> Trade:
        """Set the take profit (ticks) of an open or running trade; 0 removes it."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running", "open")
        rules.require_change("Takeprofit", changed=value != trade.takeprofit)
        if value:
            prices = (trade.current_entry, self.market.last) if trade.state == "running" else (trade.price,)
            rules.check_takeprofit(trade.side, value, *prices)
        trade.takeprofit = value
        self._watch(trade)
        return trade

    def set_stoploss(self, account: Account, trade_id: str, value: int) -> Trade:
        """Set a fixed stop loss (ticks) of an open or running trade; 0 removes it, trailing or not."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running", "open")
        changed = value != trade.stoploss or bool(trade.stoploss_trailing_distance)
        rules.require_change("Stoploss", changed=changed)
        if value:
            self._check_stoploss(trade, value)
        self._set_stoploss(trade, value, Decimal(0))
        return trade

    def set_trailing_stoploss(self, account: Account, trade_id: str, distance: Decimal) -> Trade:
        """Let the stop loss of a running trade follow the best price at `distance`, a fraction of the price."""
        trade = self.owned(account, trade_id)
        rules.require_state(trade, "running")
        rules.check_trailing(distance, "value")
        rules.require_change("Stoploss", changed=distance != trade.stoploss_trailing_distance)
        value = arithmetic.trailing_level(trade.side, self.market.last, distance)
        self._check_stoploss(trade, value)
        self._set_stoploss(trade, value, distance)
        return trade

    def owned(self, account: Account, trade_id: str) -> Trade:
        """Return a trade of the account, or refuse."""
        trade = self.trades.get(trade_id)
        if trade is None:
            raise Rejected("Trade not found", code="TRADE_NOT_FOUND", status=404)
        if trade.account is not account:
            raise Rejected("You do not own this trade", code="TRADE_NOT_OWNED")
        return trade

    def running_profits(self) -> Iterator[tuple[Trade, int]]:
        """Yield every running trade with its profit or loss in sats at the last price."""
        for account in self.accounts.values():
            for trade in account.running.values():
                yield trade, trade.profit_at(self.market.last)

    # What the commands are made of

    def next_number(self) -> int:
        """Return a number that is higher than all before: the order in which things came to be."""
        self._numbers += 1
        return self._numbers

    def execution(self, side: int, limit: int | None) -> tuple[int, bool]:
        """Return the price (ticks) that an order is reckoned at, and whether it is filled at once."""
        now = self.market.entry(side)
        if limit is None:
            return now, True
        if self.crossing_limits_fill and side * limit >= side * now:
            return now, True
        return limit, limit == self.market.last

    def _check_stoploss(self, trade: Trade, value: int) -> None:
        below = self.market.last if trade.state == "running" else trade.price
        rules.check_stoploss(trade.side, value, liquidation=trade.liquidation, below=below, takeprofit=trade.takeprofit)

    def _set_stoploss(self, trade: Trade, value: int, distance: Decimal) -> None:
        trade.stoploss = value
        trade.stoploss_trailing_distance = distance
        if distance:
            self._trailing[trade.id] = trade
        else:
            self._trailing.pop(trade.id, None)
        self._watch(trade)

    def _fill(self, trade: Trade, at: int) -> None:
        account = trade.account
        account.running[trade.id] = account.open.pop(trade.id)
        trade.state = "running"
        trade.entry_price = trade.price
        trade.filled_at = at
        trade.opening_fee = arithmetic.fee(trade.quantity, trade.price, trade.fee_rate)
        trade.maintenance_margin -= trade.opening_fee
        if trade.stoploss_trailing_distance:
            self._trailing[trade.id] = trade
        self._watch(trade)

    def _settle(self, trade: Trade, price: int, at: int, by: ClosedBy) -> None:
        """Close a trade at `price` (ticks): a loss takes the margin at most, the fee what is left at most."""
        profit = max(trade.profit_at(price), -trade.margin)
        worth = trade.margin + trade.maintenance_margin + profit
        fee = min(arithmetic.fee(trade.quantity, price, trade.fee_rate), worth)
        account = trade.account
        account.book(at, "trade_closed", worth - fee, trade.id)
        trade.state = "closed"
        trade.realized = profit
        trade.closing_fee = fee
        trade.maintenance_margin = 0
        trade.exit_price = price
        trade.closed_at = at
        trade.closed_by = by
        self.triggers.forget(trade)
        self._trailing.pop(trade.id, None)
        del account.running[trade.id]
        account.closed.add(at, self.next_number(), trade)

    def _charge_funding(self, trade: Trade, settlement: Settlement) -> list[Fired]:
        """Let a running trade pay or receive its funding fee; liquidate it if that is more than it can bear."""
        account, at, price = trade.account, settlement.at, settlement.price
        fee = settlement.fee(trade.side, trade.quantity, trade.margin)
        trade.sum_funding_fees += fee
        row, number = FundingFee(settlement, fee, trade.id), self.next_number()
        account.paid_funding.add(at, number, row)
        account.paid_funding_of.setdefault(trade.id, History()).add(at, number, row)
        if fee < 0:
            account.book(at, "funding_received", -fee, trade.id)
        elif fee:
            trade.margin -= fee
            if trade.margin:
                self._reckon(trade)
            if not trade.margin or trade.side * trade.liquidation >= trade.side * price:
                self._settle(trade, price, at, "liquidation")
                return [Fired(trade, "liquidation", price)]
        return []

    def _reckon(self, trade: Trade) -> None:
        """Bring price, leverage and liquidation up to date with margin and entry; drop a stop loss beyond it."""
        trade.price = trade.current_entry
        trade.leverage = arithmetic.leverage_of(*trade.cost(), trade.margin)
        trade.liquidation = arithmetic.liquidation(
            trade.side, trade.quantity, trade.entry_price, trade.margin, trade.cashed_profit
        )
        if trade.stoploss and trade.side * trade.stoploss < trade.side * trade.liquidation:
            self._set_stoploss(trade, 0, Decimal(0))
        else:
            self._watch(trade)

    def _watch(self, trade: Trade) -> None:
        if trade.state != "running":
            return
        if trade.side == LONG:
            self.triggers.watch(trade, below=max(trade.liquidation, trade.stoploss), above=trade.takeprofit)
        else:
            stop = min(trade.liquidation, trade.stoploss or MAX_PRICE)
            self.triggers.watch(trade, below=trade.takeprofit, above=stop)

    def _fire(self, trade: Trade, level: int, at: int) -> Fired:
        if trade.state == "open":
            self._fill(trade, at)
            return Fired(trade, "fill", level)
        by: ClosedBy = "liquidation"
        if level == trade.takeprofit:
            by = "takeprofit"
        elif level == trade.stoploss:
            by = "stoploss"
        self._settle(trade, level, at, by)
        return Fired(trade, by, level)

    def _trail(self, trade: Trade) -> None:
        level = arithmetic.trailing_level(trade.side, self.market.last, trade.stoploss_trailing_distance)
        if trade.side * level > trade.side * trade.stoploss:
            trade.stoploss = level
            self._watch(trade)
