"""How an isolated trade is reduced: the exchange has no partial close, so it is closed and its remainder reopened.

Prices are USD per BTC, quantities whole USD, amounts whole sats, slippage percent. All of it pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation.actions import ClosePosition, OpenPosition
from axisor_executor.automation.decisions import jsonable
from axisor_executor.errors import Refused
from axisor_executor.exchange.base import PRICE_STEP, Side, Trade


@dataclass(frozen=True, slots=True)
class Money:
    """The sats that a reduce takes and gets.

    Attributes:
        required: the most that reopening takes from the balance (margin, opening fee, reserve for the closing fee).
        freed: the least that closing gives back (margin + P&L - closing fee).
    """

    required: int
    freed: int

    @property
    def shortfall(self) -> int:
        """Return the sats of the balance that are needed besides what the close frees."""
        return max(self.required - self.freed, 0)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a reduce leaves of a trade: the order that replaces it, and what that costs.

    Attributes:
        trade: the trade as it is before.
        quantity: what is left, in USD.
        price: the market price at which it was decided.
        slippage: how far the market may move from it before the reopen, either way, in percent.
        at_price: what it takes and gets if both happen at the price of the decision.
        at_worst: the same when closing and reopening each happen wherever it hurts most within the slippage bound.
        dropped: stop loss and take profit that are no longer valid, by name, and why.
    """

    trade: Trade
    quantity: int
    price: Decimal
    slippage: Decimal
    leverage: Decimal
    stoploss: Decimal | None
    takeprofit: Decimal | None
    at_price: Money
    at_worst: Money
    dropped: Mapping[str, str]

    @property
    def actions(self) -> tuple[ClosePosition, OpenPosition]:
        """Return the reduce as the actions of one group: close, then open what is left."""
        reopen = OpenPosition(
            side=self.trade.side,
            quantity=self.quantity,
            leverage=self.leverage,
            stoploss=self.stoploss,
            takeprofit=self.takeprofit,
            replaces=self.trade.id,
            reference_price=self.price,
            max_slippage_percent=self.slippage,
        )
        return ClosePosition(self.trade.id), reopen

    @property
    def facts(self) -> dict[str, Any]:
        """Return the result's facts: quantities, and what becomes of stop loss and take profit if not simply kept."""
        facts: dict[str, Any] = {
            "oldTradeId": self.trade.id,
            "reducedQuantity": self.trade.quantity - self.quantity,
            "remainingQuantity": self.quantity,
        }
        if self.dropped:
            facts["dropped"] = dict(self.dropped)
        if self.stoploss is not None and self.trade.stoploss_trailing_distance is not None:
            facts["stoplossNoLongerTrailing"] = True  # a new order takes fixed values only
        return facts

    def money(self, available: int) -> dict[str, int]:
        """Return what the reduce takes and gets beside the sats that are ``available``, as facts."""
        return {
            "required": self.at_worst.required,
            "freed": self.at_worst.freed,
            "available": available,
            "requiredAtLastPrice": self.at_price.required,
            "freedAtLastPrice": self.at_price.freed,
        }

    def is_affordable(self, available: int) -> bool:
        """Return whether ``available`` sats suffice wherever within the slippage bound it happens.

        Check it before anything is closed: a reopen within its bound must never fail for lack of balance.
        """
        return self.at_worst.shortfall <= available

    def unaffordable(self, available: int) -> Refused:
        """Return the refusal (``reduce_unaffordable``), with what it would take, and what would let it pass."""
        worst, last = self.at_worst, self.at_price
        message = (
            f"Trade {self.trade.id}: within max_reopen_slippage_percent ({self.slippage} %) of the last price"
            f" ({self.price}), reopening {self.quantity} USD takes up to {worst.required} sats and the close frees"
            f" {worst.freed} at least; the balance left for it is {available}, which is {worst.shortfall - available}"
            " too little"
        )
        if last.shortfall <= available:
            message += (
                f". At the last price it would be enough ({last.required} taken, {last.freed} freed): a smaller"
                " max_reopen_slippage_percent asks for less"
            )
        details = {
            "tradeId": self.trade.id,
            "maxReopenSlippagePercent": jsonable(self.slippage),
            **self.money(available),
        }
        return Refused(message, code="reduce_unaffordable", details=details)


def remainder(trade: Trade, quantity: int, price: Decimal, slippage: Decimal) -> Remainder:
    """Return what is left of a running trade reduced to ``quantity`` USD at ``price``, give or take ``slippage`` %.

    Side and leverage stay (a leverage that added margin made fractional is cut to two decimals); stop loss and take
    profit stay where the exchange would take them at this price and against the remainder's own liquidation. A stop
    loss between two of the exchange's steps (a trailing one's present value) goes to the one further from the market.

    Raises:
        ValueError: less than 1 USD or nothing less than before would be left, or the trade has values that no real
            one has.
    """
    if not arithmetic.MIN_QUANTITY <= quantity < trade.quantity:
        raise ValueError(f"a remainder of {trade.quantity} USD must be from 1 to {trade.quantity - 1}, got {quantity}")
    leverage = arithmetic.order_leverage(trade.leverage)
    dropped: dict[str, str] = {}
    takeprofit = trade.takeprofit
    if takeprofit is not None:
        problem = arithmetic.takeprofit_problem(trade.side, takeprofit, market=price, entry_price=price)
        if problem:
            takeprofit, dropped["takeprofit"] = None, problem
    stoploss = None if trade.stoploss is None else _on_a_step(trade.side, trade.stoploss)
    if stoploss is not None:
        problem = arithmetic.stoploss_problem(
            trade.side,
            stoploss,
            market=price,
            liquidation=arithmetic.liquidation(trade.side, quantity, price, leverage),
            takeprofit=takeprofit,
        )
        if problem:
            stoploss, dropped["stoploss"] = None, problem
    required = partial(arithmetic.entry_cost, trade.side, quantity, leverage=leverage)
    return Remainder(
        trade=trade,
        quantity=quantity,
        price=price,
        slippage=slippage,
        leverage=leverage,
        stoploss=stoploss,
        takeprofit=takeprofit,
        at_price=Money(required(price=price), freed(trade, price)),
        at_worst=_at_worst(trade, required, price, slippage),
        dropped=dropped,
    )


def _on_a_step(side: Side, stoploss: Decimal) -> Decimal:
    rounding = ROUND_FLOOR if side == "buy" else ROUND_CEILING
    return (stoploss / PRICE_STEP).to_integral_value(rounding) * PRICE_STEP


def freed(trade: Trade, price: Decimal) -> int:
    """Return the least that closing at ``price`` gives back, in sats.

    The P&L counted on is the lower of what the exchange last said and what the price gives.
    """
    entry = trade.price if trade.entry_price is None else trade.entry_price
    pl = min(trade.pl, arithmetic.pl(trade.side, trade.quantity, entry, price))
    return arithmetic.closing_proceeds(trade.quantity, price, trade.margin, pl)


def _at_worst(trade: Trade, required: Callable[..., int], price: Decimal, slippage: Decimal) -> Money:
    """Return the most that a reopen takes and the least that the close frees within ``slippage`` percent of ``price``.

    The two don't happen at once, so each counts at its own worst price. Sats being the margin of a USD quantity, a
    reopen is dearest at the lower end, for a long and a short alike. A long's close frees least at the lower end too,
    a short's at the upper one (at the lower one where the exchange's P&L is the one that counts, for the fee). All of
    it is monotone between the ends but for the rounding of P&L and fee, which is worth a sat.
    """
    low = max(price * (100 - slippage) / 100, PRICE_STEP)
    high = price * (100 + slippage) / 100
    ends = (low, price, high)
    return Money(
        required=max(required(price=end) for end in ends),
        freed=max(min(freed(trade, end) for end in ends) - 1, 0),
    )
