"""What became of a close or reduce of the cross position whose answer was lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import CloseCrossPosition, ReduceCrossPosition
from axisor_executor.automation.actions import CrossAction
from axisor_executor.exchange.base import CrossOrder, CrossOrderType, CrossPosition, Side
from axisor_executor.reconcile import Observation, SignedRequest, Verdict, baseline_of, judge
from axisor_executor.testing import make_cross_position

SIGNED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNED_MS = int(SIGNED.timestamp() * 1000)
REQUEST = SignedRequest(SIGNED_MS, window=30, margin=30, max_skew=5)
TOLERANCE = REQUEST.tolerance.total_seconds()
DEATH = 60  # seconds after it was signed
OURS = "ax-ours"
CLOSE = CloseCrossPosition("position-1", "buy", 100)
HALVE = ReduceCrossPosition("position-1", "buy", 100, 50)


def order(signed: int, after: float = 1.0, **more: Any) -> CrossOrder:
    """A filled order over so many USD (below 0: a sale), so many seconds after the request was signed."""
    at = SIGNED + timedelta(seconds=after)
    values: dict[str, Any] = {
        "id": f"order-{after}-{signed}",
        "type": "market",
        "side": "buy" if signed > 0 else "sell",
        "state": "filled",
        "quantity": abs(signed),
        "price": Decimal(50_000),
        "trading_fee": 1,
        "created_at": at,
        "filled_at": at,
        "canceled_at": None,
        "client_id": None,
    }
    return CrossOrder(**(values | more))


def verdict(
    action: CrossAction,
    *orders: CrossOrder,
    before: int = 100,
    now: int,
    dead: bool = True,
    complete: bool = True,
) -> Verdict:
    position = make_cross_position(quantity=now)
    server_time = SIGNED + timedelta(seconds=120 if dead else 20)
    seen = Observation(server_time, position=position, orders=orders, complete=complete)
    baseline = json.loads(json.dumps(baseline_of(make_cross_position(quantity=before))))
    return judge(action, baseline, seen, REQUEST, client_id=OURS)


def outcome(action: CrossAction, *orders: CrossOrder, **seen: Any) -> str:
    return verdict(action, *orders, **seen).outcome


class TestClose:
    @pytest.mark.parametrize("dead", [True, False])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_market_order_that_left_nothing_is_it(self, sign: int, dead: bool) -> None:
        closing = order(-100 * sign)
        found = verdict(CLOSE, closing, before=100 * sign, now=0, dead=dead)
        assert (found.outcome, found.evidence) == ("executed", closing)

    def test_also_where_the_position_had_changed_before_or_was_opened_again_since(self) -> None:
        assert outcome(CLOSE, order(20, 0.5, client_id="theirs"), order(-120), now=0) == "executed"
        assert outcome(CLOSE, order(-100), order(30, 9), now=30) == "executed"
        assert outcome(CLOSE, order(-100), order(-100, 9), now=-100) == "executed"
        assert outcome(CLOSE, order(-100), order(100, TOLERANCE + 0.1), now=100) == "executed"

    def test_the_same_opened_again_at_once_can_not_be_told_from_what_was_before(self) -> None:
        """Closed and opened before the baseline was read, or after: the position looks the same."""
        around = order(-100, -5), order(100, -4.5)
        assert outcome(CLOSE, *around, now=100) == "uncertain"
        assert outcome(CLOSE, *around, now=100, dead=False) == "unknown"

    @pytest.mark.parametrize(
        ("dead", "complete", "expected"),
        [(False, True, "unknown"), (True, True, "not_executed"), (True, False, "uncertain")],
    )
    def test_a_position_that_stands_waits_for_the_request_to_die(
        self, dead: bool, complete: bool, expected: str
    ) -> None:
        assert outcome(CLOSE, now=100, dead=dead, complete=complete) == expected
        assert outcome(CLOSE, order(-40, client_id="theirs"), now=60, dead=dead, complete=complete) == expected

    @pytest.mark.parametrize(
        "last",
        [
            order(-100, type="liquidation"),
            order(-100, type="limit"),
            order(-100, client_id="theirs"),
            order(-100, -TOLERANCE - 0.1),
            order(-100, DEATH + 0.1),
        ],
        ids=["a liquidation", "a limit order", "an order with an id", "one from before", "one from after its death"],
    )
    def test_what_others_closed_is_superseded_once_ours_is_dead(self, last: CrossOrder) -> None:
        assert outcome(CLOSE, last, now=0) == "superseded"
        assert outcome(CLOSE, last, now=0, dead=False) == "unknown", "what is opened now could still be closed by it"

    def test_what_its_owner_opened_again_after_that_is_not_taken_for_what_was_to_be_closed(self) -> None:
        assert outcome(CLOSE, order(-100, DEATH + 1), order(30, DEATH + 2), now=30) == "uncertain"

    def test_a_liquidation_is_said(self) -> None:
        assert "liquidated" in verdict(CLOSE, order(-100, type="liquidation"), now=0).reason

    def test_what_no_order_explains_is_left_to_a_person(self) -> None:
        assert outcome(CLOSE, now=70) == "uncertain"
        assert outcome(CLOSE, now=70, dead=False) == "unknown"
        assert outcome(CLOSE, now=-100) == "uncertain"
        assert outcome(CLOSE, now=0) == "superseded", "whoever did it, nothing is held"

    @pytest.mark.parametrize("together", [(order(-100), order(30, id="b")), (order(30, id="b"), order(-100))])
    def test_orders_of_one_instant_are_never_taken_for_none_of_ours(self, together: tuple[CrossOrder, ...]) -> None:
        """Which came first can't be seen: closed and opened with 30, or increased to 130 and reduced."""
        assert outcome(CLOSE, *together, now=30) in ("executed", "uncertain")
        assert outcome(CLOSE, *together, now=30, dead=False) in ("executed", "unknown")

    def test_an_order_with_an_id_that_left_nothing_is_never_taken_for_none_of_ours(self) -> None:
        """A close of ours has no id that we know of; what was opened since must not be closed on that."""
        assert outcome(CLOSE, order(-100, client_id="whose"), order(30, 9), now=30) == "uncertain"
        assert outcome(CLOSE, order(-100, client_id="whose"), order(30, 9), now=30, dead=False) == "unknown"

    def test_a_market_order_over_all_that_was_held_is_never_taken_for_none_of_ours(self) -> None:
        """A limit order from before, filled since, may be missing from the list: it hides that nothing was left."""
        assert outcome(CLOSE, order(-100, 0.5), now=100) == "uncertain"
        assert outcome(CLOSE, order(-100, 0.5), now=100, dead=False) == "unknown"
        assert outcome(CLOSE, order(-100, -TOLERANCE - 0.1), now=100) == "not_executed"

    def test_a_position_that_is_not_shown_proves_nothing(self) -> None:
        baseline = baseline_of(make_cross_position())
        for after, expected in ((120, "uncertain"), (20, "unknown")):
            seen = Observation(SIGNED + timedelta(seconds=after))
            assert judge(CLOSE, baseline, seen, REQUEST).outcome == expected


def seconds(least: float, most: float) -> st.SearchStrategy[float]:
    """Instants in milliseconds, as the exchange shows them."""
    return st.integers(round(least * 1000), round(most * 1000)).map(lambda ms: ms / 1000)


sizes = st.integers(-300, 300).filter(bool)


@dataclass(frozen=True)
class Event:
    """Somebody's order, and when."""

    after: float
    signed: int
    type: CrossOrderType
    client_id: str | None


def events(earliest: float, latest: float, *, lookalikes: bool) -> st.SearchStrategy[list[Event]]:
    """Orders of others; ``lookalikes``: also such that only the instant tells from our close."""
    kinds: list[tuple[CrossOrderType, str | None]] = [("limit", None), ("market", "theirs")]
    kinds += [("market", None)] if lookalikes else []
    one = st.builds(
        lambda after, signed, kind: Event(after, signed, *kind),
        seconds(earliest, latest),
        st.sampled_from([-200, -100, 100, 200]) | sizes,
        st.sampled_from(kinds),
    )
    return st.lists(one, max_size=4, unique_by=lambda event: event.after)


@dataclass(frozen=True)
class Story:
    """What happened: orders before the baseline was read, then ours (or not) among orders of others."""

    start: int
    earlier: list[Event]
    later: list[Event]
    ours_after: float | None

    def tell(self) -> tuple[int, int, list[CrossOrder], bool]:
        """Return what was held at the baseline and is now, the orders, and whether ours closed anything."""
        held, orders = self.start, []
        for event in sorted(self.earlier, key=lambda one: one.after):
            orders.append(order(event.signed, event.after, type=event.type, client_id=event.client_id))
            held += event.signed
        baseline, closed = held, False
        for event in sorted([*self.later, *self._ours()], key=lambda one: one.after):
            if event.signed:
                orders.append(order(event.signed, event.after, type=event.type, client_id=event.client_id))
                held += event.signed
            elif held:  # ours; a flat position would refuse it
                orders.append(order(-held, event.after))
                held, closed = 0, True
        return baseline, held, orders, closed

    def _ours(self) -> list[Event]:
        return [] if self.ours_after is None else [Event(self.ours_after, 0, "market", None)]


stories = st.builds(
    Story,
    st.integers(-300, 300),
    events(-60, -1.5, lookalikes=True),
    events(-1.4, 90, lookalikes=False),
    st.none() | seconds(0, 60),
).filter(lambda story: story.ours_after not in [one.after for one in story.later])


class TestWhateverHappens:
    @given(story=stories, shuffled=st.randoms(use_true_random=False), complete=st.booleans())
    def test_a_close_is_never_told_wrongly(self, story: Story, shuffled: Any, complete: bool) -> None:
        before, now, orders, closed = story.tell()
        if not before:
            return  # nothing was there to be closed, so nothing was sent
        shuffled.shuffle(orders)
        found = outcome(CLOSE, *orders, before=before, now=now, complete=complete)
        if closed:
            assert found in ("executed", "uncertain")
        elif not now:
            assert found == "superseded"
        else:
            assert found in ("not_executed", "uncertain")
            if found == "not_executed":
                assert complete

    @given(story=stories)
    def test_a_request_that_lives_is_only_ever_executed_or_unknown(self, story: Story) -> None:
        before, now, orders, closed = story.tell()
        if before:
            found = outcome(CLOSE, *orders, before=before, now=now, dead=False)
            assert found == "unknown" or (found == "executed" and closed)

    @given(story=stories)
    def test_where_nobody_else_acted_it_is_always_told(self, story: Story) -> None:
        before, now, orders, closed = replace(story, earlier=[], later=[]).tell()
        if before:
            found = outcome(CLOSE, *orders, before=before, now=now)
            assert found == ("executed" if closed else "not_executed")

    @given(before=sizes, now=st.integers(-300, 300), dead=st.booleans(), complete=st.booleans(), story=stories)
    def test_histories_that_fit_nothing_never_prove_that_it_was_not_executed(
        self, before: int, now: int, dead: bool, complete: bool, story: Story
    ) -> None:
        """The position and the orders are from different stories, as if a list had lost some."""
        _, _, orders, _ = story.tell()
        found = verdict(CLOSE, *orders, before=before, now=now, dead=dead, complete=complete)
        if found.outcome == "not_executed":
            assert dead
            assert complete
            assert now
        if found.outcome in ("superseded", "uncertain"):
            assert dead
        if found.outcome == "superseded":
            assert not now
        assert found.reason


class TestReduce:
    def ours(self, signed: int = -50, after: float = 1.0, **more: Any) -> CrossOrder:
        return order(signed, after, **({"client_id": OURS, "id": "ours"} | more))

    @pytest.mark.parametrize("dead", [True, False])
    @pytest.mark.parametrize("complete", [True, False])
    def test_an_order_with_our_id_is_it(self, dead: bool, complete: bool) -> None:
        found = verdict(HALVE, self.ours(), now=50, dead=dead, complete=complete)
        assert (found.outcome, found.evidence) == ("executed", self.ours())

    def test_whatever_others_did(self) -> None:
        others = order(-30, 0.5), order(-500, 3, client_id="theirs")
        assert outcome(HALVE, *others, self.ours(), now=-480) == "executed"

    @pytest.mark.parametrize(
        ("dead", "complete", "expected"),
        [(False, True, "unknown"), (True, True, "not_executed"), (True, False, "uncertain")],
    )
    def test_none_proves_something_only_when_all_was_searched_after_its_death(
        self, dead: bool, complete: bool, expected: str
    ) -> None:
        for other in (order(-50, client_id="theirs"), order(-40), order(50), order(-50, type="limit")):
            now = 100 + (other.quantity if other.side == "buy" else -other.quantity)
            assert outcome(HALVE, other, now=now, dead=dead, complete=complete) == expected

    @pytest.mark.parametrize("after", [-TOLERANCE, 1, DEATH])
    def test_one_like_ours_that_shows_no_id_may_be_it(self, after: float) -> None:
        """What the exchange leaves out of an order proves nothing."""
        assert outcome(HALVE, order(-50, after), now=50) == "uncertain"
        assert outcome(HALVE, order(-50, after), now=50, dead=False) == "unknown"

    @pytest.mark.parametrize("after", [-TOLERANCE - 0.1, DEATH + 0.1])
    def test_unless_it_is_from_before_or_from_after_its_death(self, after: float) -> None:
        assert outcome(HALVE, order(-50, after), now=50) == "not_executed"

    def test_an_order_that_is_not_filled_yet_is_waited_for(self) -> None:
        open_order = self.ours(state="open", filled_at=None)
        assert outcome(HALVE, open_order, now=100) == "unknown"

    def test_more_than_one_is_never_decided_by_us(self) -> None:
        found = verdict(HALVE, self.ours(), self.ours(id="again"), now=0)
        assert found.outcome == "uncertain"
        assert "again, ours" in found.reason

    def test_one_that_came_late_and_turned_the_position_is_an_alert(self) -> None:
        """Others closed the position; ours, acted on late, opened one on the other side."""
        found = verdict(HALVE, order(-100, 0.5), self.ours(after=2), now=-50)
        assert found.outcome == "uncertain"
        assert "turned" in found.reason

    @given(before=sizes, others=events(-1.4, 90, lookalikes=True), after=seconds(0, 60), dead=st.booleans())
    def test_it_is_never_missed_and_never_made_up(
        self, before: int, others: list[Event], after: float, dead: bool
    ) -> None:
        quantity = -before // 2 or -before
        side: Side = "buy" if before > 0 else "sell"
        action = ReduceCrossPosition("position-1", side, abs(before), abs(quantity))
        alike = any((one.type, one.client_id, one.signed) == ("market", None, quantity) for one in others)
        for executed in (True, False):
            found_orders = [order(one.signed, one.after, type=one.type, client_id=one.client_id) for one in others]
            found_orders += [self.ours(quantity, after)] if executed else []
            now = before + sum(one.signed for one in others) + (quantity if executed else 0)
            found = outcome(action, *found_orders, before=before, now=now, dead=dead)
            if executed:
                assert found in ("executed", "uncertain")
            elif dead:
                assert found == "not_executed" or (found == "uncertain" and alike)
            else:
                assert found == "unknown"


class TestBaseline:
    def test_it_survives_the_ledger_without_prices(self) -> None:
        flat = make_cross_position(quantity=0)
        assert json.loads(json.dumps(baseline_of(flat)))["entry_price"] is None
        assert isinstance(flat, CrossPosition)
