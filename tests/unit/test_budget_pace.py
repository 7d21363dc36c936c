"""The pace of one caller: never too many in any window, none left unused, guards first."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import Lane
from axisor_executor.limits.pace import (
    GRACE,
    GUARDED,
    HORIZON,
    JITTER,
    LONGEST_SLOW_DOWN,
    LONGEST_WAIT,
    SECOND,
    Calls,
    Pace,
)
from axisor_paper_exchange.server.limits import RateLimits

FIVE = Pace.per_second(5)
START = 1_000 * SECOND
LANES = st.sampled_from(["protect", "default"])
RATES = st.sampled_from([0.5, 1.0, 2.0, 3.7, 4.0, 5.0, 7.0, 12.0])


@dataclass(order=True)
class Call:
    """One call of a simulated thread: when it asks next, how late it wakes up (on average), what it was answered."""

    at: int
    number: int
    lane: Lane = field(compare=False)
    wait: int = field(default=0, compare=False)
    late: int = field(default=0, compare=False)
    deadline: int = field(default=0, compare=False)
    place: int = field(default=0, compare=False)
    thread: int = field(default=0, compare=False)


@dataclass
class Threads:
    """Plays calls on the pace of one caller; those that are sent away come back when they are told to."""

    pace: Pace = FIVE
    calls: Calls = field(default_factory=Calls)
    sent: list[tuple[int, Lane]] = field(default_factory=list)
    asked: int = 0
    served: Counter[int] = field(default_factory=Counter)
    random: Random = field(default_factory=lambda: Random(4))

    def play(self, calls: list[Call], *, until: int, endless: bool = False) -> None:
        """Let the calls ask until all have left or it is ``until``; ``endless``: who has called calls again."""
        numbers = count(len(calls))
        heapq.heapify(calls)
        while calls and calls[0].at <= until:
            call = heapq.heappop(calls)
            self.asked += 1
            if not call.place:
                call.deadline = call.at + call.wait
            left = max(call.deadline + bool(call.place) * GRACE - call.at, 0)
            turn = self.calls.ask(self.pace, call.lane, call.at, left, call.place)
            call.place = turn.place
            call.number = next(numbers)
            if turn.after == 0:
                self.sent.append((call.at, call.lane))
                self.served[call.thread] += 1
                if not endless:
                    continue
                call.place = 0
            call.at += turn.after + (round(self.random.expovariate(1 / call.late)) if call.late else 0)
            heapq.heappush(calls, call)

    def most_within(self, window: int, lane: Lane | None = None) -> int:
        """Return the most calls that left within any half-open window of that length."""
        times = [at for at, other in self.sent if lane in (None, other)]
        return max((sum(start <= at < start + window for at in times) for start in times), default=0)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Call]:
    """Draw calls of both lanes, in bursts and alone, from threads that wait or don't, and that wake up late."""
    times = draw(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=40))
    return [
        Call(
            START + at,
            number,
            draw(LANES),
            wait=draw(st.sampled_from([0, SECOND // 4, 2 * SECOND])),
            late=draw(st.integers(0, 120_000)),
        )
        for number, at in enumerate(times)
    ]


class TestNeverTooMany:
    @given(arrivals(), RATES)
    def test_in_any_window_whoever_asks(self, calls: list[Call], rate: float) -> None:
        threads = Threads(Pace.per_second(rate))
        everyone = len(calls)
        threads.play(calls, until=START + 3_600 * SECOND)
        assert len(threads.sent) == everyone, "whoever comes back when told gets through"
        assert threads.most_within(threads.pace.window) <= threads.pace.count

    @given(arrivals(), RATES, st.randoms(use_true_random=False))
    def test_an_exchange_that_counts_in_any_second_refuses_none_that_the_way_delays_by_the_jitter_at_most(
        self, calls: list[Call], rate: float, chance: Random
    ) -> None:
        threads = Threads(Pace.per_second(rate))
        threads.play(calls, until=START + 3_600 * SECOND)
        now = [0.0]
        limits = RateLimits(lambda: now[0])
        for arrival in sorted(at + chance.randrange(JITTER) for at, _ in threads.sent):
            now[0] = arrival / SECOND
            assert limits.wait("key", rate) == 0

    @given(arrivals(), st.integers(0, 3 * SECOND), st.integers(1, 5 * SECOND))
    def test_nothing_leaves_during_a_slow_down(self, calls: list[Call], at: int, duration: int) -> None:
        threads = Threads()
        later = [call for call in calls if call.at >= START + at]
        threads.play([call for call in calls if call.at < START + at], until=START + at - 1)
        threads.calls.slow_down(START + at, duration)
        threads.play(later, until=START + 60 * SECOND)
        assert not [sent for sent, _ in threads.sent if START + at <= sent < START + at + duration]

    @given(RATES)
    def test_the_window_is_the_exchanges_and_a_little_more(self, rate: float) -> None:
        pace = Pace.per_second(rate)
        assert pace.count / rate * SECOND + JITTER <= pace.window <= pace.count / rate * SECOND + JITTER + 1
        assert pace.count * SECOND / pace.window >= 0.9 * min(rate, pace.count)


class TestAllIsUsed:
    @given(RATES, st.integers(1, 20), st.sampled_from([0, SECOND // 4, SECOND]), LANES)
    def test_under_demand_that_never_ends(self, rate: float, threads: int, wait: int, lane: Lane) -> None:
        pace = Pace.per_second(rate)
        played = Threads(pace)
        until = START + 50 * pace.window
        played.play([Call(START, number, lane, wait) for number in range(threads)], until=until, endless=True)
        assert played.most_within(pace.window) <= pace.count
        assert len(played.sent) >= 0.95 * 50 * pace.count

    def test_steps_become_even_under_full_load(self) -> None:
        threads = Threads()
        threads.play([Call(START, 0, "default", SECOND)], until=START + 30 * SECOND, endless=True)
        late = [at for at, _ in threads.sent if at > START + 10 * SECOND]
        steps = [after - before for before, after in pairwise(late)]
        assert max(steps) - min(steps) <= 5

    def test_a_caller_at_rest_may_call_at_once(self) -> None:
        for lane, at_once in (("default", 4), ("protect", 4)):
            calls = Calls()
            turns = [calls.ask(FIVE, lane, START, 0) for _ in range(5)]
            assert [turn.after == 0 for turn in turns] == [True] * at_once + [False]

    @given(LANES, st.integers(1, SECOND))
    def test_a_place_that_nobody_takes_costs_no_more_than_itself(self, lane: Lane, wait: int) -> None:
        calls = Calls()
        while calls.ask(FIVE, lane, START, 0).after == 0:
            pass
        calls.ask(FIVE, lane, START, SECOND)  # and dies
        threads = Threads(calls=calls)
        threads.play([Call(START + wait, 0, lane, 3 * SECOND)], until=START + 5 * SECOND)
        assert threads.sent[0][0] <= START + FIVE.window + FIVE.spacing


class TestGuards:
    @given(st.integers(0, SECOND // 2))
    def test_the_last_share_is_not_for_others_where_guards_call(self, since: int) -> None:
        calls = Calls()
        assert calls.ask(FIVE, "protect", START, 0).after == 0
        threads = Threads(calls=calls)
        start = START + 2 * SECOND
        threads.play([Call(start, number, "default") for number in range(16)], until=start + 20 * SECOND, endless=True)
        assert threads.most_within(FIVE.window) == FIVE.own_count == 4
        assert calls.ask(FIVE, "protect", start + 20 * SECOND + since, 0).after == 0

    @given(st.integers(0, 2 * SECOND))
    def test_others_that_use_all_cost_the_first_guard_a_step_at_most(self, since: int) -> None:
        threads = Threads()
        until = START + 10 * SECOND + since
        threads.play([Call(START, number, "default", SECOND) for number in range(16)], until=until, endless=True)
        assert threads.most_within(FIVE.window) == 5
        assert threads.calls.ask(FIVE, "protect", until, 0).after <= FIVE.spacing + 1

    @given(arrivals(), st.integers(1, 10), st.integers(0, SECOND))
    def test_a_guard_waits_for_nobody_who_waits(self, calls: list[Call], guards: int, at: int) -> None:
        """Whatever others have asked for and not got: guards are answered as if they had never asked."""
        threads = Threads()
        threads.play([call for call in calls if call.at <= START + at], until=START + at)
        alone = Calls(sent=list(threads.calls.sent), places={"protect": threads.calls.places["protect"], "default": 0})
        alone.told["protect"] = threads.calls.told["protect"]
        for _ in range(guards):
            asked = threads.calls.ask(FIVE, "protect", START + at, SECOND)
            assert asked == alone.ask(FIVE, "protect", START + at, SECOND)

    def test_who_waits_lets_a_guard_pass(self) -> None:
        calls = Calls()
        while calls.ask(FIVE, "default", START, 0).after == 0:
            pass
        entry = calls.ask(FIVE, "default", START, 2 * SECOND)
        assert calls.ask(FIVE, "protect", START, 0).after == 0
        guard = calls.ask(FIVE, "protect", START, 2 * SECOND)
        assert guard.place == START + FIVE.window
        again = calls.ask(FIVE, "default", entry.place, 2 * SECOND, entry.place)
        assert again.place >= guard.place + FIVE.spacing

    def test_its_share_is_free_for_all_again_when_guards_have_been_away(self) -> None:
        calls = Calls()
        calls.ask(FIVE, "protect", START, 0)
        threads = Threads(calls=calls)
        start = START + GUARDED
        threads.play([Call(start, 0, "default", SECOND)], until=start + 10 * SECOND, endless=True)
        assert threads.most_within(FIVE.window) == 5


class TestThoseWhoWait:
    def test_are_served_in_their_order(self) -> None:
        calls = Calls()
        while calls.ask(FIVE, "default", START, 0).after == 0:
            pass
        places = [calls.ask(FIVE, "default", START, 10 * SECOND).place for _ in range(10)]
        assert [after - before for before, after in pairwise(places)] == [FIVE.spacing] * 9
        for place in places:
            assert calls.ask(FIVE, "default", place, 0, place).after == 0

    def test_nobody_passes_them(self) -> None:
        calls = Calls()
        while calls.ask(FIVE, "default", START, 0).after == 0:
            pass
        place = calls.ask(FIVE, "default", START, SECOND).place
        assert calls.ask(FIVE, "default", place + 1, 0).after > 0
        assert calls.ask(FIVE, "default", place + 2, 0, place).after == 0

    @pytest.mark.parametrize("wait", [GRACE, SECOND // 4, SECOND])
    @pytest.mark.parametrize("late", [500, 5_000])
    @pytest.mark.parametrize("threads", [1, 2, 16])
    def test_all_are_served_and_few_ask_in_vain(self, threads: int, late: int, wait: int) -> None:
        played = Threads()
        calls = [Call(START, one, "default", wait, late, thread=one) for one in range(threads)]
        played.play(calls, until=START + 120 * SECOND, endless=True)
        assert played.most_within(FIVE.window) <= 5
        assert len(played.sent) >= 0.92 * 120 * 5
        assert played.asked <= 5 * len(played.sent)
        assert min(played.served[one] for one in range(threads)) >= len(played.sent) / threads / 10

    @pytest.mark.parametrize("wait", [GRACE, SECOND // 4, SECOND])
    def test_a_crowd_loses_nothing_of_the_rate(self, wait: int) -> None:
        played = Threads()
        calls = [Call(START, one, "default", wait, late=2_000) for one in range(200)]
        played.play(calls, until=START + 60 * SECOND, endless=True)
        assert played.most_within(FIVE.window) <= 5
        assert len(played.sent) >= 0.92 * 60 * 5
        assert played.asked <= 20 * len(played.sent)

    @given(st.integers(1, 200))
    def test_those_sent_away_come_back_one_by_one_and_soon(self, asking: int) -> None:
        calls = Calls()
        while calls.ask(FIVE, "default", START, 0).after == 0:
            pass
        told = [calls.ask(FIVE, "default", START, 0).after for _ in range(asking)]
        assert max(told) <= FIVE.window + HORIZON
        assert all(after != before for before, after in pairwise(told))


def test_a_slow_down_has_an_end() -> None:
    calls = Calls()
    calls.slow_down(START, 10**15)
    calls.slow_down(START, 1)
    assert calls.ask(FIVE, "protect", START, 0).after == LONGEST_SLOW_DOWN
    assert calls.ask(FIVE, "protect", START + LONGEST_SLOW_DOWN, 0).after == 0


@pytest.mark.parametrize("back", [SECOND, 600 * SECOND, 900 * SECOND])
@pytest.mark.parametrize("lane", ["protect", "default"])
def test_a_clock_that_is_set_back_holds_nobody_up(lane: Lane, back: int) -> None:
    calls = Calls()
    for _ in range(8):
        place = calls.ask(FIVE, lane, START, 2 * SECOND).place
    now = START - back
    for _ in range(4):
        turn = calls.ask(FIVE, lane, now, SECOND, place)
        place = turn.place
        now += turn.after
        if turn.after == 0:
            break
    assert turn.after == 0
    assert now <= START - back + LONGEST_WAIT + FIVE.window
