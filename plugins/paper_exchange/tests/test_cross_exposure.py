"""A cross position's arithmetic: the Rust SDK's reference points, and exact fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import LONG, MAX_PRICE, SATS_PER_BTC, SHORT, Exposure
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.rules import check_cross_size

FREE = Decimal(0)
FEE = Decimal("0.001")
sides = st.sampled_from([LONG, SHORT])
prices = st.integers(20_000, 400_000)
quantities = st.integers(1, 500_000)


def opened(side: int, quantity: int, price: float, *, margin: int, leverage: int = 1) -> Exposure:
    return Exposure(margin=margin, leverage=leverage).filled(side, quantity, int(price * 2), FREE).exposure


@pytest.mark.parametrize(("side", "liquidation"), [(LONG, 66_733.5), (SHORT, 199_402)])
def test_reference_margins_and_liquidation(side: int, liquidation: float) -> None:
    exposure = opened(side, 1000, 100_000, margin=500_000, leverage=10)
    assert (exposure.running_margin, exposure.maintenance_margin) == (100_000, 1500)
    assert exposure.liquidation == int(liquidation * 2)
    assert (exposure.quantity, exposure.entry_price) == (side * 1000, 200_000)


def test_reference_running_margin_is_floored() -> None:
    assert opened(LONG, 2, 66_834, margin=500_000).running_margin == 2992


@pytest.mark.parametrize(("leverage", "limit"), [(1, 15_000_000), (50, 12_525_255), (100, 10_000_000)])
def test_reference_largest_position(leverage: int, limit: int) -> None:
    check_cross_size(limit, leverage)
    with pytest.raises(Rejected) as refused:
        check_cross_size(limit + 1, leverage)
    assert refused.value.details == {"quantity": limit + 1, "limit": limit}


def test_leverage_does_not_move_the_liquidation_price() -> None:
    low, high = (opened(LONG, 1000, 100_000, margin=2_000_000, leverage=leverage) for leverage in (1, 100))
    assert low.liquidation == high.liquidation


def test_without_a_position() -> None:
    flat = Exposure(margin=7, leverage=3)
    assert (flat.side, flat.size, flat.entry_price, flat.liquidation) == (0, 0, None, None)
    assert (flat.running_margin, flat.maintenance_margin, flat.profit_at(1)) == (0, 0, 0)
    assert not flat.is_lost_at(1)


def test_short_that_can_not_be_lost() -> None:
    exposure = opened(SHORT, 10, 50_000, margin=100_000)
    assert exposure.liquidation == MAX_PRICE
    assert not exposure.is_lost_at(MAX_PRICE - 1)


def test_average_is_that_of_an_inverse_future() -> None:
    exposure = opened(LONG, 1000, 50_000, margin=10**9).filled(LONG, 1000, 200_000, FREE).exposure
    # 2000 USD bought at 50 000 and 100 000 for 3 000 000 sats: 66 666.67, not 75 000.
    assert exposure.entry_price == 133_333
    assert exposure.profit_at(200_000) == 1_000_000


@pytest.mark.parametrize(
    ("side", "price", "profit"),
    [(LONG, 55_000, 1818), (LONG, 46_000, -1740), (SHORT, 45_000, 2222), (SHORT, 55_000, -1819)],
)
def test_reference_profits(side: int, price: int, profit: int) -> None:
    exposure = opened(side, 10, 50_000, margin=100_000)
    assert exposure.profit_at(price * 2) == profit
    fill = exposure.filled(-side, 10, price * 2, FEE)
    fee = floor(Fraction(10 * SATS_PER_BTC, price) * Fraction(FEE))
    assert (fill.realized, fill.fee, fill.opens) == (profit, fee, False)
    assert fill.exposure == Exposure(margin=100_000 + profit - fee)


def test_reducing_leaves_the_entry_price() -> None:
    exposure = opened(LONG, 1000, 50_000, margin=3_000_000)
    fill = exposure.filled(SHORT, 400, 80_000, FREE)
    assert (fill.realized, fill.opens) == (-200_000, False)
    assert (fill.exposure.quantity, fill.exposure.entry_price) == (600, 100_000)
    assert fill.exposure.margin == 2_800_000


def test_turning_around() -> None:
    exposure = opened(LONG, 1000, 50_000, margin=3_000_000)
    fill = exposure.filled(SHORT, 1500, 125_000, FEE)
    assert (fill.realized, fill.fee, fill.opens) == (400_000, 2400, True)
    assert (fill.exposure.quantity, fill.exposure.entry_price) == (-500, 125_000)
    assert fill.exposure.margin == 3_000_000 + 400_000 - 2400


def test_a_loss_takes_the_wallet_at_most() -> None:
    fill = opened(LONG, 1000, 50_000, margin=100_000).filled(SHORT, 1000, 80_000, FEE)
    assert (fill.realized, fill.fee, fill.exposure) == (-100_000, 0, Exposure())


@example(side=SHORT, quantity=1, price=30_000, margin=1, leverage=1)  # whole sats: nothing may be floored away
@given(sides, quantities, prices, st.integers(1, 10**9), st.integers(1, 100))
def test_margins_and_profit_are_exact(side: int, quantity: int, price: int, margin: int, leverage: int) -> None:
    exposure = opened(side, quantity, price / 2, margin=margin, leverage=leverage)
    worth = Fraction(2 * quantity * SATS_PER_BTC, price)
    assert exposure.running_margin == floor(worth / leverage)
    assert exposure.maintenance_margin == floor(worth * Fraction(15, 10_000))
    assert exposure.entry_price == price
    for now in (price, price + 1, 2 * price, max(1, price // 3)):
        assert exposure.profit_at(now) == floor(side * (worth - Fraction(2 * quantity * SATS_PER_BTC, now)))


@given(sides, quantities, prices, st.integers(1, 10**9))
def test_liquidation_leaves_the_maintenance_margin(side: int, quantity: int, price: int, margin: int) -> None:
    exposure = opened(side, quantity, price / 2, margin=margin)
    liquidation = exposure.liquidation
    assert liquidation is not None
    left = exposure.maintenance_margin - exposure.margin
    if 1 < liquidation < MAX_PRICE:
        assert exposure.profit_at(liquidation - side) <= left <= exposure.profit_at(liquidation + side) + 1
    assert exposure.is_lost_at(liquidation)


@given(st.lists(st.tuples(sides, st.integers(1, 5_000), prices), max_size=20))
def test_fills_against_exact_fractions(fills: list[tuple[int, int, int]]) -> None:
    exposure = Exposure(margin=10**12)
    quantity, worth = 0, Fraction(0)
    for side, amount, price in fills:
        fill = exposure.filled(side, amount, price, FREE)
        now = Fraction(2 * SATS_PER_BTC, price)
        closed = min(amount, abs(quantity)) if quantity * side < 0 else 0
        share = worth * Fraction(closed, abs(quantity)) if closed else Fraction(0)
        assert fill.realized == floor((share - now * closed) * (-side))
        assert fill.opens == (amount > closed)
        worth += now * (amount - closed) - share
        quantity += side * amount
        exposure = fill.exposure
        assert (exposure.quantity, exposure.cost > 0) == (quantity, quantity != 0)
        if quantity:
            assert exposure.profit_at(100_000) == floor(
                exposure.side * (worth - Fraction(2 * exposure.size * SATS_PER_BTC, 100_000))
            )
