"""The entry's rules: both sides and their laws."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_auto_entry import rules
from axisor_executor import arithmetic

D = Decimal
sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
quantities = st.integers(1, 500_000)
leverages = st.integers(1, 100).map(D)


@pytest.mark.parametrize(
    ("side", "price", "triggered"),
    [
        ("buy", "50000", True),
        ("buy", "49999.5", True),
        ("buy", "50000.5", False),
        ("sell", "50000", True),
        ("sell", "50000.5", True),
        ("sell", "49999.5", False),
    ],
)
def test_is_triggered(side, price, triggered):
    assert rules.is_triggered(side, D(price), D(50_000)) is triggered


@given(prices, prices)
def test_buy_and_sell_are_mirrored(price, trigger):
    assert rules.is_triggered("buy", price, trigger) == rules.is_triggered("sell", trigger, price)


@pytest.mark.parametrize(
    ("side", "price", "limit", "entries"),
    [
        ("buy", 50_000, None, (50_000,)),
        ("buy", 50_000, 49_000, (49_000,)),
        ("buy", 50_000, 50_000, (50_000,)),
        ("buy", 50_000, 51_000, (51_000, 50_000)),  # crosses the market
        ("sell", 50_000, 51_000, (51_000,)),
        ("sell", 50_000, 49_000, (49_000, 50_000)),
    ],
)
def test_possible_entries(side, price, limit, entries):
    assert rules.possible_entries(side, D(price), None if limit is None else D(limit)) == entries


@given(sides, prices, prices)
def test_a_limit_order_never_fills_worse_than_its_price(side, price, limit):
    entries = rules.possible_entries(side, price, limit)
    assert limit in entries
    assert all(rules.is_triggered(side, entry, limit) for entry in entries)


def problem_of(side, entry, quantity, leverage, **protection):
    values = {"stoploss": None, "takeprofit": None} | protection
    found = rules.protection_problem(side, quantity=quantity, entry_price=entry, leverage=leverage, **values)
    return found and found[0]


@given(sides, quantities, prices, leverages)
def test_protection_must_lie_between_liquidation_and_entry(side, quantity, entry, leverage):
    liquidation = arithmetic.liquidation(side, quantity, entry, leverage)
    about = (side, entry, quantity, leverage)
    better = D("0.5") if side == "buy" else D("-0.5")
    assert problem_of(*about) is None
    assert problem_of(*about, stoploss=entry) == "stoploss"
    assert problem_of(*about, stoploss=liquidation - better) == "stoploss"
    if liquidation != entry:
        assert problem_of(*about, stoploss=liquidation) is None
    assert problem_of(*about, takeprofit=entry) == "takeprofit"
    assert problem_of(*about, takeprofit=entry - better) == "takeprofit"
    assert problem_of(*about, takeprofit=entry + better) is None
