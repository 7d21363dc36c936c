"""The cross position and its orders as they are read; what contradicts itself is refused, a side is never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange import CrossOrder, CrossPosition, CrossTransfer
from axisor_executor.exchange.answers import cross
from axisor_executor.exchange.answers.fields import UnreadableAnswer
from tests.unit.exchange.samples import FEE, ORDER_ID, decoded, order_json, position_json

FLAT = {"quantity": 0, "entryPrice": None, "liquidation": None, "runningMargin": 0}


def test_position_is_read_field_by_field() -> None:
    assert cross.position(decoded(position_json())) == CrossPosition(
        id="1a6f5f30-7c1b-4b52-a0ad-0f6bb4ed4f11",
        quantity=500,
        entry_price=Decimal("50000.5"),
        liquidation=Decimal(45_500),
        leverage=Decimal(10),
        margin=150_000,
        initial_margin=2_000,
        running_margin=100_000,
        maintenance_margin=1_100,
        total_pl=-1_234,
        delta_pl=-34,
        trading_fees=1_000,
        funding_fees=-12,
        updated_at=datetime(2026, 11, 22, 7, 59, 59, 789_000, tzinfo=UTC),
    )


def test_order_is_read_field_by_field() -> None:
    assert cross.order(decoded(order_json(clientId="run-1"))) == CrossOrder(
        id=ORDER_ID,
        type="market",
        side="sell",
        state="filled",
        quantity=250,
        price=Decimal("50000.5"),
        trading_fee=499,
        created_at=datetime(2026, 11, 22, 7, 59, 59, 123_000, tzinfo=UTC),
        filled_at=datetime(2026, 11, 22, 7, 59, 59, 456_000, tzinfo=UTC),
        canceled_at=None,
        client_id="run-1",
    )


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, "buy"),
        ({"quantity": -500, "liquidation": 55_000}, "sell"),
        (FLAT, None),
        ({**FLAT, "entryPrice": 0, "liquidation": 0}, None),
        ({"liquidation": None}, "buy"),  # not told: who needs it refuses
        ({"quantity": -500, "liquidation": 100_000_000}, "sell"),
        ({"liquidation": 50_050, "margin": 1_000}, "buy"),  # less than the maintenance margin is left
        ({"quantity": -500, "liquidation": 49_950, "margin": 1_100}, "sell"),
        ({"liquidation": 50_000.5}, "buy"),  # as far as can be: says nothing against either side
        ({"quantity": -500, "liquidation": 50_000.5}, "sell"),
    ],
)
def test_sign_of_the_quantity_is_the_side(changes: dict[str, Any], side: str | None) -> None:
    assert cross.position(decoded(position_json(**changes))).side == side


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"liquidation": 50_001}, "other side"),
        ({"quantity": -500}, "other side"),
        ({"entryPrice": None}, "entryPrice"),
        ({"entryPrice": 0}, "entryPrice"),
        ({"quantity": 0}, "quantity"),
        ({**FLAT, "entryPrice": 50_000}, "quantity"),
        ({**FLAT, "liquidation": 50_000}, "quantity"),
        ({**FLAT, "runningMargin": 1}, "quantity"),
        ({"liquidation": -1}, "liquidation"),
        ({"leverage": 0}, "leverage"),
    ],
)
def test_position_that_contradicts_itself_is_unreadable(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UnreadableAnswer, match=said):
        cross.position(decoded(position_json(**changes)))


@given(
    quantity=st.integers(-500_000, 500_000).filter(bool),
    entry=st.integers(2, 400_000),
    liquidation=st.integers(2, 400_000),
)
def test_a_side_is_read_only_if_the_liquidation_agrees(quantity: int, entry: int, liquidation: int) -> None:
    row = position_json(quantity=quantity, entryPrice=entry / 2, liquidation=liquidation / 2)
    agrees = liquidation <= entry if quantity > 0 else liquidation >= entry
    try:
        found = cross.position(decoded(row))
    except UnreadableAnswer:
        assert not agrees
    else:
        assert agrees
        assert found.side == ("buy" if quantity > 0 else "sell")


@pytest.mark.parametrize("name", ["open", "filled", "canceled"])
def test_one_flag_gives_the_state_of_an_order(name: str) -> None:
    assert cross.order(decoded(order_json(name))).state == name


@pytest.mark.parametrize(
    "changes",
    [
        {"filled": False},
        {"open": True},
        {"canceled": 1},
        {"canceledAt": "2026-11-22T08:00:00Z"},
        {"quantity": 0},
        {"quantity": -250},
        {"price": 0},
        {"side": "b"},
        {"type": "stop"},
    ],
)
def test_order_that_contradicts_itself_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer):
        cross.order(decoded(order_json(**changes)))


@pytest.mark.parametrize("name", ["open", "canceled"])
def test_order_that_is_not_filled_was_never_filled(name: str) -> None:
    with pytest.raises(UnreadableAnswer, match="filledAt"):
        cross.order(decoded(order_json(name, filledAt="2026-11-22T08:00:00Z")))


JUNK: tuple[Any, ...] = ([], {}, "", "x" * 600, "\x00", -(10**30), Decimal("1e30"))
POSITION, ORDER = sorted(set(position_json()) - {"uid"}), sorted(set(order_json()) - {"uid"})
FIELDS = [
    *((cross.position, position_json, name) for name in POSITION),
    *((cross.order, order_json, name) for name in ORDER),
]


@pytest.mark.parametrize(("read", "sample", "name"), FIELDS)
def test_what_lacks_a_field_or_has_junk_in_it_is_unreadable(read: Any, sample: Any, name: str) -> None:
    row = sample()
    del row[name]
    if name != "clientId":
        with pytest.raises(UnreadableAnswer, match=name):
            read(decoded(row))
    for junk in JUNK:
        if name == "clientId" and isinstance(junk, str):
            continue
        with pytest.raises(UnreadableAnswer):
            read(decoded(sample(**{name: junk})))


def test_client_id_is_whatever_another_program_has_made_it_or_none() -> None:
    for client_id in ("", "a\x00b", "\ud800", "\u202e", "x" * 600):
        assert cross.order(decoded(order_json(clientId=client_id))).client_id == client_id
    without = order_json()
    del without["clientId"]
    assert cross.order(decoded(without)) == cross.order(decoded(order_json(clientId=None)))


def test_transfers_and_fees() -> None:
    row = {"id": "t-1", "amount": -5_000, "time": "2026-11-22T08:00:00Z", "uid": "u"}
    assert cross.transfer(row) == CrossTransfer("t-1", -5_000, datetime(2026, 11, 22, 8, tzinfo=UTC))
    assert cross.funding_fee({**FEE, "tradeId": None}).trade_id is None
    with pytest.raises(UnreadableAnswer, match="tradeId"):
        cross.funding_fee({name: value for name, value in FEE.items() if name != "tradeId"})
