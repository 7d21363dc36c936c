"""The formulas, against the reference points of the real platform."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import LONG, MAX_PRICE, SHORT, arithmetic, ticks, usd

FEE = Decimal("0.001")
SATS = 100_000_000

quantities = st.integers(1, 500_000)
prices = st.integers(2_000, 2_000_000)  # ticks: 1 000 .. 1 000 000 USD
leverages = st.decimals(1, 100, places=2)
sides = st.sampled_from([LONG, SHORT])


def opened(side: int, quantity: int, price: int, leverage: int) -> Decimal:
    entry = price * 2
    backing = arithmetic.liquidation_margin(quantity, entry, Decimal(leverage))
    return usd(arithmetic.liquidation(side, quantity, entry, backing))


@pytest.mark.parametrize(
    ("side", "quantity", "price", "leverage", "expected"),
    [
        (LONG, 1, 100_000, 100, 99_010),
        (LONG, 1000, 110_000, 1, 55_000),
        (LONG, 1000, 110_000, 100, 108_911),
        (SHORT, 1000, 110_000, 1, 100_000_000),
        (SHORT, 1000, 110_000, 100, 111_111),
        (LONG, 10, 90_000, 10, 81_819),
    ],
)
def test_liquidation_reference_points(side: int, quantity: int, price: int, leverage: int, expected: int) -> None:
    assert opened(side, quantity, price, leverage) == expected


@pytest.mark.parametrize(
    ("side", "quantity", "to", "expected"),
    [
        (LONG, 10, 55_000, 1818),
        (LONG, 10, 46_000, -1740),
        (SHORT, 10, 45_000, 2222),
        (SHORT, 10, 55_000, -1819),
        (LONG, 1, 55_000, 181),
    ],
)
def test_profit_reference_points(side: int, quantity: int, to: int, expected: int) -> None:
    assert arithmetic.profit(side, quantity, 100_000, to * 2) == expected


def test_limit_order_reference_point() -> None:
    entry = 200_000
    leverage = Decimal(100)
    assert arithmetic.margin_for(1, entry, leverage) == 10
    liquidation = arithmetic.liquidation(LONG, 1, entry, arithmetic.liquidation_margin(1, entry, leverage))
    reserve = arithmetic.fee(1, entry, FEE) + arithmetic.fee(1, liquidation, FEE)
    assert reserve == 2


def test_fees_are_floored() -> None:
    assert arithmetic.fee(10, 100_000, FEE) == 20
    assert arithmetic.fee(10, 102_001, FEE) == 19
    assert arithmetic.fee(10, 100_000, Decimal(0)) == 0


@pytest.mark.parametrize(
    ("price", "expected"),
    [("50000", 100_000), ("50000.5", 100_001), ("50000.50", 100_001), ("0.5", 1), ("100000000", MAX_PRICE)],
)
def test_prices_in_ticks(price: str, expected: int) -> None:
    assert ticks(Decimal(price)) == expected
    assert usd(expected) == Decimal(price)


@pytest.mark.parametrize("price", ["0", "-1", "0.25", "50000.1", "100000000.5", "NaN", "Infinity", "1e30"])
def test_prices_off_the_grid(price: str) -> None:
    assert ticks(Decimal(price)) is None


@given(quantities, prices, leverages)
def test_margin_and_quantity_are_inverse(quantity: int, price: int, leverage: Decimal) -> None:
    margin = arithmetic.margin_for(quantity, price, leverage)
    exact = Decimal(quantity) * SATS / usd(price) / leverage
    assert abs(margin - exact) <= 1
    assert arithmetic.quantity_for(margin, price, leverage) >= quantity
    assert arithmetic.quantity_for(margin - 1, price, leverage) <= quantity
    assert 0 <= margin - arithmetic.liquidation_margin(quantity, price, leverage) <= 1


@given(quantities, prices, prices)
def test_long_and_short_mirror_each_other(quantity: int, entry: int, price: int) -> None:
    long = arithmetic.profit(LONG, quantity, entry, price)
    short = arithmetic.profit(SHORT, quantity, entry, price)
    exact = quantity * SATS * (1 / float(usd(entry)) - 1 / float(usd(price)))
    assert long == pytest.approx(exact, abs=1.01, rel=1e-9)
    assert long + short in {0, -1}
    assert (long >= 0) == (price >= entry)


@given(sides, quantities, prices, leverages)
def test_liquidation_takes_the_margin(side: int, quantity: int, entry: int, leverage: Decimal) -> None:
    backing = arithmetic.liquidation_margin(quantity, entry, leverage)
    assume(backing > 0)
    liquidation = arithmetic.liquidation(side, quantity, entry, backing)
    assert side * liquidation <= side * entry
    assume(liquidation < MAX_PRICE)
    # Half a tick is what rounding may be off by; worth that many sats at this price.
    tick = arithmetic.profit(LONG, quantity, max(1, liquidation - 1), liquidation + 1) + 2
    loss = -arithmetic.profit(side, quantity, entry, liquidation)
    assert abs(loss - backing) <= tick


@given(sides, quantities, prices, leverages, st.integers(1, 10**9))
def test_more_margin_moves_the_liquidation_away(
    side: int, quantity: int, entry: int, leverage: Decimal, extra: int
) -> None:
    margin = arithmetic.margin_for(quantity, entry, leverage)
    before = arithmetic.liquidation(side, quantity, entry, margin)
    assert side * arithmetic.liquidation(side, quantity, entry, margin + extra) <= side * before


@given(sides, quantities, prices, prices, st.data())
def test_cashing_in_profit_leaves_the_rest(
    side: int, quantity: int, entry: int, price: int, data: st.DataObject
) -> None:
    profit = arithmetic.profit(side, quantity, entry, price)
    assume(profit > 0)
    cashed = data.draw(st.integers(1, profit))
    assert arithmetic.profit(side, quantity, entry, price, cashed) == profit - cashed
    moved = arithmetic.entry_after_cash_in(side, quantity, entry, cashed)
    assert side * entry <= side * moved <= side * (price + side)
    rest = arithmetic.profit(side, quantity, moved, price)
    tick = arithmetic.profit(LONG, quantity, max(1, moved - 1), moved + 1) + 2
    assert abs(rest - (profit - cashed)) <= tick


def test_cashing_in_all_profit_moves_the_entry_to_the_market() -> None:
    profit = arithmetic.profit(LONG, 1000, 100_000, 110_001)
    assert arithmetic.entry_after_cash_in(LONG, 1000, 100_000, profit) == 110_001


@given(quantities, prices, leverages)
def test_leverage_of_the_margin_is_the_leverage(quantity: int, entry: int, leverage: Decimal) -> None:
    margin = arithmetic.margin_for(quantity, entry, leverage)
    assume(margin > 10_000)
    shown = arithmetic.leverage_of(*arithmetic.cost(LONG, quantity, entry, 0), margin)
    assert float(shown) == pytest.approx(float(leverage), rel=1e-3)
