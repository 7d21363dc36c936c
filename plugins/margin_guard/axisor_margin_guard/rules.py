"""The rules of the margin guard: plain values in, plain values out.

Prices are USD per BTC, quantities whole USD, amounts whole sats, shares percent. A ``side`` of ``buy`` is a long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial

from axisor_executor import arithmetic
from axisor_executor.exchange.base import PRICE_STEP, Side, Trade


def entry_price(trade: Trade) -> Decimal:
    """Return a trade's entry price, or its order's price where the exchange gives none."""
    return trade.price if trade.entry_price is None else trade.entry_price


def liquidation_problem(side: Side, entry: Decimal, liquidation: Decimal) -> str | None:
    """Return why a liquidation can't be right: it must lie below a long's entry and above a short's."""
    if entry <= 0:
        return f"the entry price is not positive: {entry}"
    if liquidation <= 0:
        return f"the liquidation price is not positive: {liquidation}"
    if side == "buy" and liquidation >= entry:
        return f"the liquidation ({liquidation}) of a long is not below its entry ({entry})"
    if side == "sell" and liquidation <= entry:
        return f"the liquidation ({liquidation}) of a short is not above its entry ({entry})"
    return None


def trigger_price(side: Side, entry: Decimal, liquidation: Decimal, threshold: Decimal) -> Decimal:
    """Return the price from which a trade is at risk: ``threshold`` percent of the way to the liquidation.

    With D = abs(entry - liquidation) and a = D * (1 - threshold/100): liquidation + a for a long, liquidation - a for
    a short. Long 50 000, liquidation 40 000, 90 percent: 41 000.

    Raises:
        ValueError: the liquidation lies on the wrong side of the entry, so nothing can be said.
    """
    problem = liquidation_problem(side, entry, liquidation)
    if problem:
        raise ValueError(problem)
    left = abs(entry - liquidation) * (100 - threshold) / 100
    return liquidation + left if side == "buy" else liquidation - left


def is_at_risk(side: Side, price: Decimal, trigger: Decimal) -> bool:
    """Return whether the market has reached a trade's trigger price: at or below it for a long, else at or above."""
    return price <= trigger if side == "buy" else price >= trigger


def distance_to_liquidation(side: Side, price: Decimal, liquidation: Decimal) -> Decimal:
    """Return how far the market (USD) is from the liquidation; negative beyond it."""
    return price - liquidation if side == "buy" else liquidation - price


def reduced_quantity(quantity: int, percentage: Decimal) -> int:
    """Return how many USD to close, rounded up: the risk is reduced by at least what was asked for."""
    exact = quantity * Fraction(percentage) / 100
    return min(-(-exact.numerator // exact.denominator), quantity)


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
    """What a reduce leaves: the order that replaces the trade, and what that costs.

    Attributes:
        at_price: what it takes and gets if both happen at the price of the decision.
        at_worst: the same when closing and reopening each happen wherever it hurts most within the slippage bound.
        dropped: stop loss and take profit that are no longer valid, by name, and why.
    """

    quantity: int
    leverage: Decimal
    stoploss: Decimal | None
    takeprofit: Decimal | None
    at_price: Money
    at_worst: Money
    dropped: Mapping[str, str]


def remainder(trade: Trade, quantity: int, price: Decimal, slippage: Decimal) -> Remainder:
    """Return the order that reopens ``quantity`` USD of ``trade`` at the market ``price``, give or take ``slippage`` %.

    Side and leverage stay (a leverage that added margin made fractional is cut to two decimals); stop loss and take
    profit stay where the exchange would take them at this price and against the remainder's own liquidation.
    """
    leverage = arithmetic.order_leverage(trade.leverage)
    dropped: dict[str, str] = {}
    takeprofit = trade.takeprofit
    if takeprofit is not None:
        problem = arithmetic.takeprofit_problem(trade.side, takeprofit, market=price, entry_price=price)
        if problem:
            takeprofit, dropped["takeprofit"] = None, problem
    stoploss = trade.stoploss
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
        quantity=quantity,
        leverage=leverage,
        stoploss=stoploss,
        takeprofit=takeprofit,
        at_price=Money(required(price=price), freed(trade, price)),
        at_worst=_at_worst(trade, required, price, slippage),
        dropped=dropped,
    )


def freed(trade: Trade, price: Decimal) -> int:
    """Return the least that closing at ``price`` gives back, in sats.

    The P&L counted on is the lower of what the exchange last said and what the price gives.
    """
    pl = min(trade.pl, arithmetic.pl(trade.side, trade.quantity, entry_price(trade), price))
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
