"""What an action would cost: whole sats, never less than the exchange takes and never more than it gives."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.automation.actions import ACTIONS
from axisor_executor.exchange.base import Side, Trade
from axisor_executor.run.costs import UNKNOWN, Cost, cost_of
from axisor_executor.testing import make_cross_position, make_trade

PRICE = Decimal(50_000)
SIDES = st.sampled_from(["buy", "sell"])
QUANTITIES = st.integers(1, 500_000)
LEVERAGES = st.integers(100, 10_000).map(lambda hundredths: Decimal(hundredths) / 100)
PRICES = st.integers(2_000, 2_000_000).map(lambda halves: halves * Decimal("0.5"))


def by_id(*trades: Trade) -> dict[str, Trade]:
    return {trade.id: trade for trade in trades}


class TestAnEntry:
    def test_at_the_market(self) -> None:
        """100 USD at 50 000 are 200 000 sats: 20 000 at 10x, 200 for the fee, up to 221 in reserve for the other."""
        cost = cost_of(OpenPosition("buy", 100, Decimal(10)), PRICE, {}, None)
        assert cost == Cost(fees=200, margin=20_000, pl=None, from_balance=20_421, liquidation=Decimal("45454.5"))

    @given(side=SIDES, quantity=QUANTITIES, leverage=LEVERAGES, price=PRICES)
    def test_it_takes_at_least_margin_and_fees(
        self, side: Side, quantity: int, leverage: Decimal, price: Decimal
    ) -> None:
        cost = cost_of(OpenPosition(side, quantity, leverage), price, {}, None)
        assert cost.margin is not None
        assert cost.fees is not None
        assert cost.from_balance is not None
        assert cost.from_balance >= cost.margin + cost.fees + arithmetic.trading_fee(quantity, price)

    @pytest.mark.parametrize(
        ("side", "limit", "start"),
        [("buy", 48_000, 48_000), ("buy", 52_000, 50_000), ("sell", 52_000, 52_000), ("sell", 48_000, 48_000)],
    )
    def test_a_limit_order_costs_what_it_may_at_worst(self, side: Side, limit: int, start: int) -> None:
        order = OpenPosition(side, 100, Decimal(10), type="limit", price=Decimal(limit))
        market = OpenPosition(side, 100, Decimal(10))
        assert cost_of(order, PRICE, {}, None) == cost_of(market, Decimal(start), {}, None)


class TestATrade:
    @given(side=SIDES, quantity=QUANTITIES, leverage=LEVERAGES, price=PRICES)
    def test_a_close_gives_back_what_is_left(
        self, side: Side, quantity: int, leverage: Decimal, price: Decimal
    ) -> None:
        trade = make_trade(side=side, quantity=quantity, leverage=leverage)
        cost = cost_of(ClosePosition(trade.id), price, by_id(trade), None)
        pl = arithmetic.pl(side, quantity, PRICE, price)
        fee = arithmetic.trading_fee(quantity, price)
        assert (cost.fees, cost.margin, cost.pl) == (fee, -trade.margin, pl)
        assert cost.from_balance is not None
        assert cost.from_balance <= 0
        assert -cost.from_balance <= max(trade.margin + pl - fee, 0)

    def test_added_margin_moves_the_liquidation_away(self) -> None:
        trade = make_trade()
        cost = cost_of(AddMargin(trade.id, 5_000), PRICE, by_id(trade), None)
        assert (cost.fees, cost.margin, cost.from_balance) == (0, 5_000, 5_000)
        assert cost.liquidation == arithmetic.liquidation_for_margin("buy", 100, PRICE, trade.margin + 5_000)
        assert cost.liquidation < trade.liquidation
        assert cost_of(AddMargin("gone", 5_000), PRICE, {}, None).liquidation is None

    @pytest.mark.parametrize("action", [SetTakeProfit("trade-1", PRICE), SetStopLoss("trade-1", PRICE)])
    def test_protection_is_free(self, action: Action) -> None:
        assert cost_of(action, PRICE, {}, None) == Cost()

    def test_a_cash_in_comes_from_profit_or_margin(self) -> None:
        assert cost_of(CashIn("trade-1", 500), PRICE, {}, None) == Cost(margin=None, from_balance=-500)

    def test_a_canceled_order_frees_its_margin(self) -> None:
        order = make_trade(state="open")
        assert cost_of(CancelOrder(order.id), PRICE, by_id(order), None).from_balance == -order.margin

    @pytest.mark.parametrize("action", [ClosePosition("gone"), CancelOrder("gone")])
    def test_of_a_trade_that_was_not_seen_nothing_is_told(self, action: Action) -> None:
        assert cost_of(action, PRICE, {}, None) == UNKNOWN


class TestTheCrossPosition:
    def test_a_part_of_it(self) -> None:
        position = make_cross_position()
        cost = cost_of(ReduceCrossPosition(position.id, "buy", 100, 25), Decimal(55_000), {}, position)
        assert (cost.fees, cost.margin, cost.from_balance) == (45, -5_000, 0)
        assert cost.pl == arithmetic.pl("buy", 25, PRICE, Decimal(55_000))

    def test_all_of_it(self) -> None:
        position = make_cross_position(quantity=-100)
        cost = cost_of(CloseCrossPosition(position.id, "sell", 100), Decimal(45_000), {}, position)
        assert (cost.margin, cost.pl) == (-20_000, arithmetic.pl("sell", 100, PRICE, Decimal(45_000)))

    def test_one_that_is_not_known(self) -> None:
        cost = cost_of(CloseCrossPosition("position-1", "buy", 100), PRICE, {}, None)
        assert (cost.fees, cost.margin, cost.pl) == (200, None, None)


def test_every_action_is_thought_of() -> None:
    position, trade = make_cross_position(), make_trade()
    made: list[Action] = [
        ClosePosition(trade.id),
        OpenPosition("buy", 1, Decimal(1)),
        AddMargin(trade.id, 1),
        CashIn(trade.id, 1),
        SetTakeProfit(trade.id, PRICE),
        SetStopLoss(trade.id, PRICE),
        CancelOrder(trade.id),
        CloseCrossPosition(position.id, "buy", 100),
        ReduceCrossPosition(position.id, "buy", 100, 1),
    ]
    assert {type(action).__name__ for action in made} == ACTIONS.keys()
    assert all(cost_of(action, PRICE, by_id(trade), position) != UNKNOWN for action in made)
