"""Objects as JSON and back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import Exchange, LedgerEntry
from axisor_paper_exchange.server import Settings
from axisor_paper_exchange.server.ids import Ids
from axisor_paper_exchange.server.state.graph import GraphError, Reader, Writer
from axisor_paper_exchange.server.wallet import Notification, Wallet

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
values = st.recursive(
    scalars | st.decimals(allow_nan=False) | st.builds(LedgerEntry, st.integers(), st.text(), st.integers(), st.none()),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=30,
)


def copied(value: Any, externals: dict[str, Any] | None = None) -> Any:
    writer = Writer(externals or {})
    root = writer.value(value)
    packed = json.loads(json.dumps([root, writer.objects(), writer.layout]))
    return Reader(packed[2], packed[1], externals or {}).value(packed[0])


@given(values)
def test_values_come_back_as_they_were(value: Any) -> None:
    again = copied(value)
    assert again == value
    assert repr(again) == repr(value)


def test_objects_keep_their_identity_and_their_circles() -> None:
    ids = Ids()
    exchange = Exchange(price=100_000, new_id=ids)
    account = exchange.open_account("a", 5, 1)
    again = copied({"exchange": exchange, "account": account}, {"ids": ids})
    assert again["exchange"].accounts[account.id] is again["account"]
    assert again["account"].cross.account is again["account"]
    assert again["exchange"].new_id is ids
    assert again["exchange"].open_account("b", 5, 1).balance == 5


def test_frozen_settings_come_back() -> None:
    settings = Settings(fee_rate=Decimal("0.00060"), private_rate=5.0)
    assert copied([settings, settings]) == [settings, settings]


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", Ids, lambda: None])
def test_what_is_not_known_is_refused(value: Any) -> None:
    with pytest.raises(GraphError):
        copied([value])


def test_a_list_of_two_owners_is_refused() -> None:
    shared: list[Any] = []
    with pytest.raises(GraphError, match="two objects"):
        copied([Wallet(shared, []), Wallet(shared, [])])


@pytest.mark.parametrize(
    "name", ["os:system", "server.faults:Faults.add", "server.nothing:X", "builtins:dict", "cli:json"]
)
def test_only_classes_of_this_package_can_be_named(name: str) -> None:
    with pytest.raises(GraphError, match="is not known here"):
        Reader([[name, []]], [], {})


def test_another_layout_is_refused() -> None:
    writer = Writer({})
    writer.value(Notification("n", 1, "e", "m"))
    objects = writer.objects()
    writer.layout[0][1].append("colour")
    with pytest.raises(GraphError, match=r"Notification holds id, at, event, message, read, not .* colour"):
        Reader(writer.layout, objects, {})


def test_a_kind_of_value_that_is_not_there() -> None:
    with pytest.raises(GraphError, match="set is not known"):
        Reader([], [], {}).value(["set", 1])
