"""The rules of a DCA entry."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_dca_entry import rules
from axisor_executor import arithmetic
from axisor_executor.automation import OpenPosition, OwnEntry

D = Decimal
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)


def entry(quantity=100, *, status="confirmed", price=None, margin=None, reference=None, limit=None):
    order = OpenPosition(
        "buy",
        quantity,
        D(10),
        type="market" if limit is None else "limit",
        price=limit,
        reference_price=reference,
    )
    return OwnEntry(NOW, order, status, price=price, margin=margin)


@pytest.mark.parametrize(
    ("found", "price", "margin"),
    [
        (entry(price=D(50_000), margin=19_999, reference=D(40_000)), 50_000, 19_999),
        (entry(status="unknown", reference=D(40_000)), 40_000, 25_000),
        (entry(status="sending", limit=D(25_000)), 25_000, 40_000),
        (entry(status="unknown"), None, None),
    ],
)
def test_what_is_not_known_yet_counts_as_it_was_decided(found, price, margin):
    assert (rules.price_of(found), rules.margin_of(found)) == (price, margin)


def test_one_that_can_not_be_told_makes_the_sum_unknown():
    known, dark = entry(price=D(50_000), margin=20_000), entry(status="unknown")
    assert rules.spent_usd([known, dark]) == 200
    assert rules.spent_sats([known]) == 20_000
    assert rules.spent_sats([known, dark]) is None
    assert rules.spent_sats([]) == 0


@given(st.lists(st.tuples(st.integers(1, 1_000), prices), max_size=8))
def test_all_that_was_or_may_have_been_bought_is_counted(bought):
    entries = [entry(quantity, status="unknown", reference=price) for quantity, price in bought]
    assert rules.spent_usd(entries) == sum(quantity for quantity, _ in bought)
    assert rules.spent_sats(entries) == sum(arithmetic.margin(quantity, price, D(10)) for quantity, price in bought)


@pytest.mark.parametrize(
    ("price", "enough"), [("48500", True), ("48500.5", False), ("48499.5", True), ("50000", False), ("60000", False)]
)
def test_dropped_enough(price, enough):
    assert rules.dropped_enough(D(price), D(50_000), D(3)) is enough


@pytest.mark.parametrize(
    ("passed", "hours", "soon"),
    [
        (timedelta(hours=20), "20", False),
        (timedelta(hours=20) - timedelta(microseconds=1), "20", True),
        (timedelta(minutes=30), "0.5", False),
        (timedelta(days=2, seconds=1), "48", False),
        (timedelta(seconds=-5), "1", True),  # the two clocks differ
    ],
)
def test_too_soon(passed, hours, soon):
    assert rules.too_soon(NOW, NOW - passed, D(hours)) is soon
