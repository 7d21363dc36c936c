"""What became of an action whose answer was lost: every kind, and what must hold for all of them."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    ClosePosition,
    OpenPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.exchange.base import Trade, TradeState
from axisor_executor.reconcile import Observation, SignedRequest, Verdict, baseline_of, judge
from axisor_executor.testing import make_trade

SIGNED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNED_MS = int(SIGNED.timestamp() * 1000)
REQUEST = SignedRequest(SIGNED_MS, window=30, margin=30, max_skew=5)
DEATH = 60  # seconds after it was signed
TOLERANCE = 6
STATES: tuple[TradeState, ...] = get_args(TradeState)
OPEN = OpenPosition("buy", 100, Decimal(10))
CLOSE = ClosePosition("trade-1")
CANCEL = CancelOrder("trade-1")
TAKE = SetTakeProfit("trade-1", Decimal(60_000))
STOP = SetStopLoss("trade-1", Decimal(48_000))
ADD = AddMargin("trade-1", 5_000)
CASH = CashIn("trade-1", 5_000)
ON_A_TRADE = [CLOSE, CANCEL, TAKE, STOP, ADD, CASH]

sats = st.integers(-2_000_000, 2_000_000)
amounts = st.integers(1, 2_000_000)
prices = st.integers(1, 400_000).map(lambda half: Decimal(half) / 2)
levels = st.none() | prices


def verdict(
    action: Action,
    *,
    before: Trade | None = None,
    now: Trade | None = None,
    matches: tuple[Trade, ...] = (),
    nameless: tuple[Trade, ...] = (),
    dead: bool = True,
    complete: bool = True,
    request: SignedRequest = REQUEST,
) -> Verdict:
    server_time = SIGNED + timedelta(seconds=120 if dead else 20)
    seen = Observation(server_time, trade=now, matches=matches, nameless=nameless, complete=complete)
    return judge(action, baseline_of(before), seen, request)


def outcome(action: Action, **seen: Any) -> str:
    return verdict(action, **seen).outcome


class TestDeadRequests:
    """A request is dead once the exchange's clock is past window and margin."""

    @pytest.mark.parametrize(("after", "dead"), [(-5.0, False), (0, False), (60, False), (60.001, True), (1e6, True)])
    def test_only_past_window_and_margin(self, after: float, dead: bool) -> None:
        assert REQUEST.is_dead(SIGNED + timedelta(seconds=after)) is dead


class TestEveryKind:
    @given(
        action=st.sampled_from(ON_A_TRADE),
        state=st.sampled_from(STATES),
        margin=amounts,
        funding=sats,
        cashed=st.integers(0, 2_000_000),
        stoploss=levels,
        takeprofit=levels,
        complete=st.booleans(),
        dead=st.booleans(),
    )
    def test_not_executed_is_only_said_of_a_dead_request_with_everything_searched(
        self,
        action: Action,
        state: TradeState,
        margin: int,
        funding: int,
        cashed: int,
        stoploss: Decimal | None,
        takeprofit: Decimal | None,
        complete: bool,
        dead: bool,
    ) -> None:
        now = make_trade(
            state=state,
            margin=margin,
            sum_funding_fees=funding,
            sum_cash_in=cashed,
            sum_cash_in_margin=cashed,
            stoploss=stoploss,
            takeprofit=takeprofit,
        )
        found = verdict(action, before=make_trade(), now=now, dead=dead, complete=complete)
        if found.outcome == "not_executed":
            assert dead
            assert complete
        if found.outcome == "uncertain":
            assert dead, "while the request lives, looking again can help"
        if found.outcome == "unknown":
            assert not dead, "looking again at a dead request changes nothing"
        if found.outcome == "executed":
            assert found.evidence == now
        assert found.reason

    @pytest.mark.parametrize("action", ON_A_TRADE)
    def test_a_trade_that_is_nowhere_proves_nothing(self, action: Action) -> None:
        assert outcome(action, before=make_trade(), now=None, dead=False) == "unknown"
        assert outcome(action, before=make_trade(), now=None, dead=True) == "uncertain"

    @pytest.mark.parametrize("action", [CLOSE, TAKE, STOP, ADD, CASH])
    def test_a_trade_that_is_as_it_was_waits_for_the_request_to_die(self, action: Action) -> None:
        same = make_trade()
        assert outcome(action, before=same, now=same, dead=False) == "unknown"
        assert outcome(action, before=same, now=same, dead=True) == "not_executed"
        assert outcome(action, before=same, now=same, dead=True, complete=False) == "uncertain"

    def test_an_action_that_no_rule_knows_is_uncertain(self) -> None:
        assert outcome(Action(), before=make_trade(), now=make_trade()) == "uncertain"

    def test_a_baseline_survives_the_ledger(self) -> None:
        before = make_trade(stoploss=Decimal("45000.5"), takeprofit=None)
        stored = json.loads(json.dumps(baseline_of(before)))
        seen = Observation(SIGNED + timedelta(minutes=2), trade=before)
        for action in (CLOSE, TAKE, STOP, ADD, CASH):
            assert judge(action, stored, seen, REQUEST).outcome == "not_executed"


class TestOpen:
    @given(state=st.sampled_from(STATES), dead=st.booleans(), complete=st.booleans())
    def test_one_trade_with_our_client_id_is_ours_in_whatever_state(
        self, state: TradeState, dead: bool, complete: bool
    ) -> None:
        trade = make_trade(state=state)
        found = verdict(OPEN, matches=(trade,), dead=dead, complete=complete)
        assert (found.outcome, found.evidence) == ("executed", trade)

    @given(count=st.integers(2, 5), dead=st.booleans())
    def test_more_than_one_is_never_decided_by_us(self, count: int, dead: bool) -> None:
        trades = tuple(make_trade(id=f"trade-{number}") for number in range(count))
        found = verdict(OPEN, matches=trades, dead=dead)
        assert found.outcome == "uncertain"
        assert all(trade.id in found.reason for trade in trades)

    @pytest.mark.parametrize(
        ("dead", "complete", "expected"),
        [
            (False, True, "unknown"),
            (False, False, "unknown"),
            (True, True, "not_executed"),
            (True, False, "uncertain"),
        ],
    )
    def test_none_proves_something_only_when_all_was_searched_after_its_death(
        self, dead: bool, complete: bool, expected: str
    ) -> None:
        assert outcome(OPEN, dead=dead, complete=complete) == expected


class TestOpenWithoutAName:
    """The exchange need not show our client id: what is like ours proves neither that it is ours nor that none is."""

    def made(self, after: float = 1, **more: Any) -> Trade:
        values = {"type": "market", "side": "buy", "quantity": 100, "client_id": None, **more}
        return make_trade(id="nameless", created_at=SIGNED + timedelta(seconds=after), **values)

    @given(after=st.floats(-TOLERANCE, DEATH), state=st.sampled_from(STATES), complete=st.booleans())
    def test_one_like_ours_is_never_decided_by_us(self, after: float, state: TradeState, complete: bool) -> None:
        like_ours = (self.made(after, state=state),)
        assert outcome(OPEN, nameless=like_ours, dead=False, complete=complete) == "unknown"
        found = verdict(OPEN, nameless=like_ours, complete=complete)
        assert found.outcome == "uncertain"
        assert "nameless" in found.reason

    @pytest.mark.parametrize("more", [{"leverage": 12}, {"stoploss": Decimal(48_000)}, {"takeprofit": Decimal(60_000)}])
    def test_also_where_something_was_changed_since(self, more: dict[str, Any]) -> None:
        assert outcome(OPEN, nameless=(self.made(**more),)) == "uncertain"

    @pytest.mark.parametrize(
        "other",
        [{"side": "sell"}, {"quantity": 101}, {"type": "limit"}, {"after": -TOLERANCE - 0.1}, {"after": DEATH + 0.1}],
        ids=["side", "quantity", "type", "from before", "from after its death"],
    )
    def test_one_that_can_not_be_ours_hides_nothing(self, other: dict[str, Any]) -> None:
        assert outcome(OPEN, nameless=(self.made(**other),)) == "not_executed"

    def test_nor_does_one_like_ours_where_ours_is_there(self) -> None:
        ours = make_trade()
        found = verdict(OPEN, matches=(ours,), nameless=(self.made(),))
        assert (found.outcome, found.evidence) == ("executed", ours)


class TestClose:
    def closed(self, after: float, **more: Any) -> Trade:
        return make_trade(state="closed", closed_at=SIGNED + timedelta(seconds=after), **more)

    @given(after=st.floats(-TOLERANCE, DEATH), dead=st.booleans())
    def test_a_trade_that_was_closed_while_our_request_lived_is_ours(self, after: float, dead: bool) -> None:
        assert outcome(CLOSE, before=make_trade(), now=self.closed(after), dead=dead) == "executed"

    @given(after=st.floats(DEATH + 0.001, 100_000), dead=st.booleans())
    def test_one_that_was_closed_after_its_death_is_someone_elses(self, after: float, dead: bool) -> None:
        assert outcome(CLOSE, before=make_trade(), now=self.closed(after), dead=dead) == "superseded"

    @given(before=st.floats(30.001, 100_000), dead=st.booleans())
    def test_one_that_was_closed_before_is_someone_elses(self, before: float, dead: bool) -> None:
        assert outcome(CLOSE, before=make_trade(), now=self.closed(-before), dead=dead) == "superseded"

    @given(before=st.floats(TOLERANCE + 0.001, 30))
    def test_one_that_was_closed_when_only_a_wrong_clock_makes_it_ours_is_left_to_a_person(self, before: float) -> None:
        assert outcome(CLOSE, before=make_trade(), now=self.closed(-before)) == "uncertain"
        assert outcome(CLOSE, before=make_trade(), now=self.closed(-before), dead=False) == "unknown"

    @given(skew=st.floats(0.1, 60), share=st.floats(0, 1))
    def test_our_own_is_never_someone_elses_however_far_our_clock_may_be_ahead(self, skew: float, share: float) -> None:
        request = dataclasses.replace(REQUEST, max_skew=skew)
        closed = self.closed(-share * (skew + 1))
        assert outcome(CLOSE, before=make_trade(), now=closed, request=request) == "executed"

    def test_one_that_does_not_show_when_it_was_closed_proves_nothing(self) -> None:
        closed = make_trade(state="closed", closed_at=None)
        assert outcome(CLOSE, before=make_trade(), now=closed) == "uncertain"
        assert outcome(CLOSE, before=make_trade(), now=closed, dead=False) == "unknown"

    @pytest.mark.parametrize("trails", [Decimal("0.05"), None], ids=["trailing", "moved by hand"])
    @pytest.mark.parametrize(("side", "was", "fired"), [("buy", 47_000, 52_000), ("sell", 53_000, 48_000)])
    def test_a_stop_loss_that_has_moved_since_is_not_our_close(
        self, side: Any, was: int, fired: int, trails: Decimal | None
    ) -> None:
        before = make_trade(side=side, stoploss=Decimal(was), stoploss_trailing_distance=trails)
        stopped = self.closed(
            1, side=side, last_price=fired, stoploss=Decimal(fired), stoploss_trailing_distance=trails
        )
        found = verdict(CLOSE, before=before, now=stopped)
        assert (found.outcome, found.reason) == ("superseded", "the stop loss closed the trade")

    @pytest.mark.parametrize(("side", "fired"), [("buy", 51_000), ("sell", 49_000)])
    def test_nor_is_a_take_profit_that_was_set_since(self, side: Any, fired: int) -> None:
        taken = self.closed(1, side=side, last_price=fired, takeprofit=Decimal(fired))
        assert outcome(CLOSE, before=make_trade(side=side), now=taken) == "superseded"

    @pytest.mark.parametrize(("name", "level"), [("stoploss", 49_000), ("takeprofit", 51_000)])
    def test_a_level_that_is_shown_no_more_is_the_one_from_before(self, name: str, level: int) -> None:
        before = make_trade(**{name: Decimal(level)})
        assert outcome(CLOSE, before=before, now=self.closed(1, last_price=level)) == "superseded"

    def test_a_level_that_was_moved_out_of_the_way_closed_nothing(self) -> None:
        before = make_trade(stoploss=Decimal(49_000))
        closed = self.closed(1, last_price=48_500, stoploss=Decimal(48_000))
        assert outcome(CLOSE, before=before, now=closed) == "executed"

    @pytest.mark.parametrize("side", ["buy", "sell"])
    def test_a_liquidation_is_not_our_close(self, side: Any) -> None:
        trade = make_trade(side=side)
        liquidated = self.closed(1, side=side, exit_price=trade.liquidation)
        assert outcome(CLOSE, before=trade, now=liquidated) == "superseded"

    @pytest.mark.parametrize(("side", "steps"), [("buy", 1), ("sell", -1)])
    def test_one_step_short_of_the_liquidation_is_a_close(self, side: Any, steps: int) -> None:
        trade = make_trade(side=side)
        closed = self.closed(1, side=side, exit_price=trade.liquidation + steps * Decimal("0.5"))
        assert outcome(CLOSE, before=trade, now=closed) == "executed"

    @pytest.mark.parametrize("state", ["open", "running"])
    def test_one_that_still_stands_was_not_closed(self, state: TradeState) -> None:
        assert outcome(CLOSE, before=make_trade(), now=make_trade(state=state)) == "not_executed"

    def test_an_order_that_was_canceled_is_someone_elses_doing(self) -> None:
        assert outcome(CLOSE, before=make_trade(state="open"), now=make_trade(state="canceled")) == "superseded"


class TestCancel:
    @pytest.mark.parametrize(
        ("state", "alive", "dead"),
        [
            ("canceled", "executed", "executed"),
            ("running", "superseded", "superseded"),
            ("closed", "superseded", "superseded"),
            ("open", "unknown", "not_executed"),
        ],
    )
    def test_the_orders_state_says_it(self, state: TradeState, alive: str, dead: str) -> None:
        order = make_trade(state="open")
        now = make_trade(state=state)
        assert outcome(CANCEL, before=order, now=now, dead=False) == alive
        assert outcome(CANCEL, before=order, now=now, dead=True) == dead


class TestLevels:
    @pytest.mark.parametrize(("kind", "name"), [(SetTakeProfit, "takeprofit"), (SetStopLoss, "stoploss")])
    @given(before=levels, target=prices, now=levels, dead=st.booleans(), state=st.sampled_from(STATES))
    def test_now_at_the_target_at_the_old_value_or_elsewhere(
        self,
        kind: type[SetTakeProfit | SetStopLoss],
        name: str,
        before: Decimal | None,
        target: Decimal,
        now: Decimal | None,
        dead: bool,
        state: TradeState,
    ) -> None:
        was = make_trade(**{name: before})
        trade = make_trade(state=state, **{name: now})
        found = outcome(kind("trade-1", target), before=was, now=trade, dead=dead)
        if now == target:
            assert found == "executed"
        elif state in ("closed", "canceled"):
            assert found == "superseded"
        elif now != before:
            assert found == ("superseded" if dead else "unknown"), "ours may still come after theirs"
        else:
            assert found == ("not_executed" if dead else "unknown")

    @given(stoploss=prices, dead=st.booleans())
    def test_a_trailing_stop_that_has_come_to_our_value_was_not_set_by_us(self, stoploss: Decimal, dead: bool) -> None:
        trailing = make_trade(stoploss=Decimal(47_000), stoploss_trailing_distance=Decimal("0.05"))
        now = dataclasses.replace(trailing, stoploss=stoploss)
        found = outcome(SetStopLoss("trade-1", stoploss), before=trailing, now=now, dead=dead)
        assert found == ("not_executed" if dead else "unknown")

    def test_a_stop_that_someone_made_trailing_is_not_ours(self) -> None:
        now = make_trade(stoploss=Decimal(48_000), stoploss_trailing_distance=Decimal("0.05"))
        assert outcome(STOP, before=make_trade(), now=now) == "superseded"


class TestAmounts:
    @given(
        amount=amounts,
        funding=sats,
        from_margin=st.integers(0, 2_000_000),
        from_profit=st.integers(0, 2_000_000),
        borne_by_margin=st.booleans(),
        done=st.booleans(),
        dead=st.booleans(),
    )
    def test_added_margin_is_never_told_wrongly_whatever_funding_and_others_do(
        self,
        amount: int,
        funding: int,
        from_margin: int,
        from_profit: int,
        borne_by_margin: bool,
        done: bool,
        dead: bool,
    ) -> None:
        before = make_trade(margin=10_000_000)
        margin = before.margin + amount * done - funding * borne_by_margin - from_margin
        now = dataclasses.replace(
            before,
            margin=margin,
            sum_funding_fees=funding,
            sum_cash_in=from_margin + from_profit,
            sum_cash_in_margin=from_margin,
        )
        found = outcome(AddMargin("trade-1", amount), before=before, now=now, dead=dead)
        assert found in (("executed", "unknown", "uncertain") if done else ("not_executed", "unknown", "uncertain"))

    @given(
        amount=amounts, from_margin=st.integers(0, 15_000), from_profit=st.integers(0, 2_000_000), done=st.booleans()
    )
    def test_it_is_told_from_money_that_its_owner_takes_out_meanwhile(
        self, amount: int, from_margin: int, from_profit: int, done: bool
    ) -> None:
        before = make_trade(sum_cash_in=900, sum_cash_in_margin=400)
        now = dataclasses.replace(
            before,
            margin=before.margin + amount * done - from_margin,
            sum_cash_in=900 + from_margin + from_profit,
            sum_cash_in_margin=400 + from_margin,
        )
        found = outcome(AddMargin("trade-1", amount), before=before, now=now)
        assert found == ("executed" if done else "not_executed")

    @given(amount=amounts, done=st.booleans())
    def test_added_margin_alone_is_always_told(self, amount: int, done: bool) -> None:
        before = make_trade()
        now = dataclasses.replace(before, margin=before.margin + (amount if done else 0))
        found = outcome(AddMargin("trade-1", amount), before=before, now=now)
        assert found == ("executed" if done else "not_executed")

    @given(amount=amounts, other=amounts, dead=st.booleans())
    def test_another_change_of_the_margin_is_left_to_a_person(self, amount: int, other: int, dead: bool) -> None:
        before = make_trade()
        now = dataclasses.replace(before, margin=before.margin + other)
        found = outcome(AddMargin("trade-1", amount), before=before, now=now, dead=dead)
        assert found == ("executed" if other == amount else "uncertain" if dead else "unknown")

    def test_funding_that_equals_the_amount_is_left_to_a_person(self) -> None:
        before = make_trade()
        now = dataclasses.replace(before, sum_funding_fees=5_000)
        assert outcome(ADD, before=before, now=now) == "uncertain"

    @given(amount=amounts, change=st.integers(0, 2_000_000), dead=st.booleans())
    def test_cash_in_is_told_by_its_total(self, amount: int, change: int, dead: bool) -> None:
        before = make_trade(sum_cash_in=700)
        now = dataclasses.replace(before, sum_cash_in=700 + change)
        found = outcome(CashIn("trade-1", amount), before=before, now=now, dead=dead)
        if change == amount:
            assert found == "executed"
        elif change == 0:
            assert found == ("not_executed" if dead else "unknown")
        else:
            assert found == ("uncertain" if dead else "unknown")
