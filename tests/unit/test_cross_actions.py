"""What is done to the cross position: the values of the actions, and the look right before they are sent."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import Act, CloseCrossPosition, ReduceCrossPosition, act, action_from_dict
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import StaleData
from axisor_executor.exchange.base import CrossPosition, Side
from axisor_executor.run.cross import position_for
from axisor_executor.run.reads import LiveReads
from axisor_executor.testing import make_cross_position

CLOSE = CloseCrossPosition("position-1", "buy", 100)
HALVE = ReduceCrossPosition("position-1", "buy", 100, 50)


class TestValues:
    @pytest.mark.parametrize("action", [CLOSE, HALVE])
    def test_they_survive_the_ledger(self, action: CrossAction) -> None:
        assert action_from_dict(json.loads(json.dumps(action.as_dict()))) == action
        plan = act(action)
        assert Act.from_dict(json.loads(json.dumps(plan.as_dict()))).groups == plan.groups
        assert plan.groups[0].trade_id == "position-1"

    @pytest.mark.parametrize(
        "values",
        [
            {"position_id": " "},
            {"side": "long"},
            {"held": 0},
            {"held": True},
            {"held": 99.5},
            {"quantity": 0},
            {"quantity": 101},
            {"quantity": 1.0},
        ],
    )
    def test_what_could_never_be_taken_is_refused(self, values: dict[str, Any]) -> None:
        given: dict[str, Any] = {"position_id": "position-1", "side": "buy", "held": 100, "quantity": 50}
        ReduceCrossPosition(**given)
        with pytest.raises(ValueError, match=next(iter(values))):
            ReduceCrossPosition(**(given | values))

    def test_both_reduce_risk(self) -> None:
        assert CLOSE.risk_reducing
        assert HALVE.risk_reducing


class Reads:
    """A position that was read before, and as it is now."""

    def __init__(self, now: CrossPosition) -> None:
        self.now = now

    def cross_position_now(self) -> CrossPosition:
        return self.now


def look(action: CrossAction, now: CrossPosition) -> CrossPosition:
    return position_for(action, cast(LiveReads, Reads(now)))


class TestTheLookBefore:
    @given(
        side=st.sampled_from(["buy", "sell"]),
        held=st.integers(1, 1000),
        part=st.integers(1, 1000),
        now=st.integers(-1500, 1500),
    )
    def test_no_order_is_sent_that_would_turn_the_position(self, side: Side, held: int, part: int, now: int) -> None:
        action = ReduceCrossPosition("position-1", side, held, min(part, held))
        try:
            found = look(action, make_cross_position(quantity=now))
        except StaleData:
            assert now
            return
        if found.side is not None:  # one that holds nothing is not sent anything
            order = -action.quantity if side == "buy" else action.quantity
            assert abs(now + order) == abs(now) - action.quantity

    @pytest.mark.parametrize(
        ("now", "close", "reduce"),
        [(100, True, True), (130, True, True), (99, True, False), (-100, False, False), (0, True, True)],
    )
    def test_what_each_still_fits(self, now: int, close: bool, reduce: bool) -> None:
        for action, fits in ((CLOSE, close), (HALVE, reduce)):
            if fits:
                assert look(action, make_cross_position(quantity=now)).quantity == now
            else:
                with pytest.raises(StaleData) as caught:
                    look(action, make_cross_position(quantity=now))
                assert caught.value.code == "position_changed"

    def test_another_position_is_another_decision(self) -> None:
        with pytest.raises(StaleData):
            look(CLOSE, make_cross_position(id="position-2"))
