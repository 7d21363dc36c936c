"""The commands of cross futures, and what prices and funding do to a cross position.

What the exchange does not document, and how it is done here:
- Free margin is what the wallet holds, less an unrealized loss (an unrealized profit does not count), less running
  and maintenance margin, less what the open orders could take. Opening, withdrawing and lowering the leverage need
  some to be left. Reducing needs none.
- Reducing realizes its part of the P&L into the wallet and leaves the entry price as it is, in profit and in loss.
- A resting order whose fill the wallet can't bear when its price comes is canceled. So are all open orders when the
  position is liquidated.
- A limit order is filled at its own price, at the same moments as an isolated one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from axisor_paper_exchange.engine import rules
from axisor_paper_exchange.engine.account import Account
from axisor_paper_exchange.engine.cross import (
    CrossOrder,
    CrossPosition,
    CrossTransfer,
    NewCrossOrder,
    OrderKind,
    Resting,
    initial_margin,
    order_costs,
)
from axisor_paper_exchange.engine.exposure import Exposure, Fill
from axisor_paper_exchange.engine.fired import Fired
from axisor_paper_exchange.engine.funding import FundingFee, Settlement
from axisor_paper_exchange.engine.rejection import Rejected, insufficient_balance

if TYPE_CHECKING:
    from axisor_paper_exchange.engine.exchange import Exchange

__all__ = ["CrossDesk"]


class CrossDesk:
    """Cross futures of one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.orders: dict[str, CrossOrder] = {}

    # Money

    def deposit(self, account: Account, amount: int, at: int) -> CrossPosition:
        """Move `amount` sats from the balance to the wallet."""
        rules.check_amount(amount)
        if amount > account.balance:
            raise insufficient_balance(account.balance, amount)
        account.book(at, "cross_deposited", -amount)
        return self._transfer(account.cross, amount, at)

    def withdraw(self, account: Account, amount: int, at: int) -> CrossPosition:
        """Move `amount` sats from the wallet to the balance; what position and orders need must stay."""
        rules.check_amount(amount)
        position = account.cross
        left = position.exposure._replace(margin=position.exposure.margin - amount)
        self._require_margin(left, position.resting, self._exchange.market.last)
        account.book(at, "cross_withdrawn", amount)
        return self._transfer(position, -amount, at)

    def set_leverage(self, account: Account, leverage: int, at: int) -> CrossPosition:
        """Set the leverage: whole, 1 .. 100. Lowering it takes margin; it does not move the liquidation price."""
        rules.check_cross_leverage(leverage)
        position = account.cross
        changed = position.exposure._replace(leverage=leverage)
        rules.check_cross_size(changed.size, leverage)
        if leverage < position.exposure.leverage:
            self._require_margin(changed, position.resting, self._exchange.market.last)
        self._change(position, changed, at)
        return position

    # Orders

    def place(self, account: Account, order: NewCrossOrder, at: int) -> CrossOrder:
        """Place a market or limit order; a market order is filled at once at the ask (buy) or bid (sell)."""
        rules.check_cross_order(order)
        position = account.cross
        price, fills = self._exchange.execution(order.side, order.price)
        fill = self._fill(position, order, price, self._exchange.market.last, position.resting) if fills else None
        made = CrossOrder(
            id="",
            number=0,
            account=account,
            kind="market" if order.price is None else "limit",
            side=order.side,
            quantity=order.quantity,
            price=price,
            created_at=at,
            client_id=order.client_id,
        )
        if fill is not None:
            self._enter(made)
            self._apply(made, fill, price, at)
        else:
            self._rest(position, made)
        return made

    def close(self, account: Account, at: int) -> CrossOrder:
        """Close the position with a market order of the opposite side, whatever its size."""
        exposure = account.cross.exposure
        if not exposure.quantity:
            raise Rejected("No position to close", code="NO_POSITION")
        price, _ = self._exchange.execution(-exposure.side, None)
        return self._close(account.cross, "market", price, at)

    def cancel(self, account: Account, order_id: str, at: int) -> CrossOrder:
        """Cancel an open order."""
        order = self.owned(account, order_id)
        rules.require_open(order)
        self._take_out(order)
        order.state = "canceled"
        order.canceled_at = at
        return order

    def cancel_all(self, account: Account, at: int) -> list[CrossOrder]:
        """Cancel all open orders of the account."""
        return [self.cancel(account, order_id, at) for order_id in list(account.cross.open)]

    def owned(self, account: Account, order_id: str) -> CrossOrder:
        """Return an order of the account, or refuse."""
        order = self.orders.get(order_id)
        if order is None:
            raise Rejected("Order not found", code="ORDER_NOT_FOUND", status=404)
        if order.account is not account:
            raise Rejected("You do not own this order", code="ORDER_NOT_OWNED")
        return order

    # What prices and funding do

    def reach(self, order: CrossOrder, price: int, at: int) -> Fired:
        """Fill an open order at its price, or cancel it where the wallet can't bear that."""
        position = order.account.cross
        try:
            fill = self._fill(position, order, price, price, {})
        except Rejected:
            return Fired(self.cancel(order.account, order.id, at), "canceled", price)
        self._take_out(order)
        self._apply(order, fill, price, at)
        return Fired(order, "fill", price)

    def liquidate(self, position: CrossPosition, price: int, at: int) -> list[Fired]:
        """Close a position that is lost at `price` (ticks): its open orders are canceled first."""
        canceled = [Fired(order, "canceled", price) for order in self.cancel_all(position.account, at)]
        return [*canceled, Fired(self._close(position, "liquidation", price, at), "liquidation", price)]

    def settle_funding(self, position: CrossPosition, settlement: Settlement) -> list[Fired]:
        """Let a position pay or receive its funding fee; liquidate it if that is more than it can bear."""
        exposure = position.exposure
        if not exposure.quantity:
            return []
        fee = settlement.fee(exposure.side, exposure.size, exposure.margin)
        position.funding_fees += fee
        position.paid_funding.add(settlement.at, self._exchange.next_number(), FundingFee(settlement, fee))
        self._change(position, exposure._replace(margin=exposure.margin - fee), settlement.at)
        if not position.exposure.is_lost_at(settlement.price):
            return []
        return self.liquidate(position, settlement.price, settlement.at)

    # What the commands are made of

    def _fill(
        self,
        position: CrossPosition,
        order: NewCrossOrder | CrossOrder,
        price: int,
        last: int,
        resting: Mapping[int, Resting],
    ) -> Fill:
        """Return what filling an order at `price` does while the last price is `last` (ticks), or refuse.

        Nothing has changed yet. What opens needs margin, also for the orders that are `resting`.
        """
        fill = position.exposure.filled(order.side, order.quantity, price, self._exchange.fee_rate)
        if fill.opens:
            rules.check_cross_size(fill.exposure.size, fill.exposure.leverage)
            self._require_margin(fill.exposure, resting, last)
        _require_safe(fill.exposure, last)
        return fill

    def _rest(self, position: CrossPosition, order: CrossOrder) -> None:
        """Enter a limit order that waits for its price, or refuse it."""
        side, exposure = order.side, position.exposure
        resting = {**position.resting, side: position.resting[side].plus(order)}
        if initial_margin(exposure, resting) > position.initial_margin:
            self._require_margin(exposure, resting, self._exchange.market.last)
        self._enter(order)
        position.open[order.id] = order
        position.resting[side] = resting[side]
        if order.price < self._exchange.market.last:
            self._exchange.triggers.watch(order, below=order.price)
        else:
            self._exchange.triggers.watch(order, above=order.price)

    def _close(self, position: CrossPosition, kind: OrderKind, price: int, at: int) -> CrossOrder:
        exposure = position.exposure
        order = CrossOrder(
            id="",
            number=0,
            account=position.account,
            kind=kind,
            side=-exposure.side,
            quantity=exposure.size,
            price=price,
            created_at=at,
        )
        self._enter(order)
        self._apply(order, exposure.filled(order.side, order.quantity, price, self._exchange.fee_rate), price, at)
        return order

    def _enter(self, order: CrossOrder) -> None:
        order.id = self._exchange.new_id()
        order.number = self._exchange.next_number()
        self.orders[order.id] = order.account.cross.orders[order.id] = order

    def _take_out(self, order: CrossOrder) -> None:
        position = order.account.cross
        self._exchange.triggers.forget(order)
        del position.open[order.id]
        position.resting[order.side] = position.resting[order.side].minus(order)

    def _apply(self, order: CrossOrder, fill: Fill, price: int, at: int) -> None:
        position = order.account.cross
        order.state = "filled"
        order.price = price
        order.filled_at = at
        order.trading_fee = fill.fee
        order.realized = fill.realized
        position.realized += fill.realized
        position.trading_fees += fill.fee
        position.filled.add(at, self._exchange.next_number(), order)
        self._change(position, fill.exposure, at)

    def _transfer(self, position: CrossPosition, amount: int, at: int) -> CrossPosition:
        transfer = CrossTransfer(self._exchange.new_id(), at, amount)
        position.transfers.add(at, self._exchange.next_number(), transfer)
        self._change(position, position.exposure._replace(margin=position.exposure.margin + amount), at)
        return position

    def _change(self, position: CrossPosition, exposure: Exposure, at: int) -> None:
        """Give the position its new numbers, and watch its liquidation price."""
        position.exposure = exposure
        position.updated_at = at
        liquidation = exposure.liquidation
        if liquidation is None:
            self._exchange.triggers.forget(position)
        elif exposure.side > 0:
            self._exchange.triggers.watch(position, below=liquidation)
        else:
            self._exchange.triggers.watch(position, above=liquidation)

    def _require_margin(self, exposure: Exposure, resting: Mapping[int, Resting], price: int) -> None:
        """Refuse what leaves no free margin at `price` (ticks), or would be liquidated there."""
        needed = exposure.running_margin + exposure.maintenance_margin
        needed += initial_margin(exposure, resting) + order_costs(exposure, resting, self._exchange.fee_rate)
        equity = exposure.margin + min(0, exposure.profit_at(price))
        if equity < 0 or (needed and equity <= needed):
            raise Rejected(
                "Insufficient margin", code="INSUFFICIENT_MARGIN", details={"margin": equity, "required": needed}
            )
        _require_safe(exposure, price)


def _require_safe(exposure: Exposure, price: int) -> None:
    if exposure.is_lost_at(price):
        raise Rejected("The position would be liquidated at once", code="INVALID_LIQUIDATION")
