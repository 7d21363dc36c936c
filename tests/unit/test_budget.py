"""The budget of one process: how long it waits, whom it asks, and what it does without Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import Lane
from axisor_executor.errors import Throttled
from axisor_executor.limits.budget import Budget
from axisor_executor.limits.pace import GRACE, SECOND, Pace, Turn
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared

T = TypeVar("T")
KEY = "key:lnmarkets:f1n6"
PUBLIC = "public:api.lnmarkets.com"
WINDOW = Pace.per_second(5).window / SECOND


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Redis:
    """What stands in for the shared Redis: answers from a list, and is away when there are none left."""

    def __init__(self, *answers: Turn) -> None:
        self.answers = list(answers)
        self.places: list[int] = []

    def key(self, *parts: str) -> str:
        return ":".join(parts)

    def ask(self, call: Callable[[Any], T]) -> T | None:
        return call(self) if self.answers else None

    def evalsha(self, _digest: str, _keys: int, _key: str, *given: int) -> Turn:
        self.places.append(given[7])
        return self.answers.pop(0)


def budget(clock: Clock, redis: Redis | None = None, **changes: Any) -> Budget:
    values = {"private_calls_per_second": 5, "public_calls_per_second": 1, "rate_processes": 1, **changes}
    return Budget(cast(Shared, redis or Redis()), Settings(**values), clock=clock, sleep=clock.sleep)


def sent(one: Budget, clock: Clock, *, until: float, lane: Lane = "default", caller: str = KEY) -> list[float]:
    """Call as often as the budget lets, come back when told to, and return when calls left."""
    times = []
    while clock.now < until:
        try:
            one.take(caller, lane=lane)
        except Throttled as error:
            clock.now += cast(float, error.retry_after)
        else:
            times.append(clock.now)
    return times


class TestWaiting:
    def test_is_short_and_then_the_caller_is_sent_away(self) -> None:
        clock = Clock()
        one = budget(clock, rate_wait_seconds=0.25)
        for _ in range(4):
            one.take(KEY, lane="default")
        assert clock.slept == []
        with pytest.raises(Throttled) as thrown:
            one.take(KEY, lane="default")
        assert clock.slept == []
        assert thrown.value.code == "rate_limited"
        assert thrown.value.retry_after == pytest.approx(WINDOW * 4 / 5)
        assert KEY not in str(thrown.value)

    def test_that_helps_is_waited(self) -> None:
        clock = Clock()
        one = budget(clock, rate_wait_seconds=1)
        for _ in range(5):
            one.take(KEY, lane="default")
        assert sum(clock.slept) == pytest.approx(WINDOW * 4 / 5)

    def test_who_waits_keeps_the_place(self) -> None:
        clock = Clock()
        redis = Redis(Turn(200_000, 7), Turn(30_000, 8), Turn(0, 0))
        budget(clock, redis, rate_wait_seconds=0.25).take(KEY, lane="default")
        assert clock.slept == [0.2, 0.03]
        assert redis.places == [0, 7, 8]

    def test_has_an_end_for_those_who_are_passed_again_and_again(self) -> None:
        class Passing(Redis):
            def evalsha(self, _digest: str, _keys: int, _key: str, *given: int) -> Turn:
                return Turn(40_000, 7 if given[6] >= 40_000 else 0)

        clock = Clock()
        with pytest.raises(Throttled):
            budget(clock, Passing(Turn(0, 0)), rate_wait_seconds=0.25).take(KEY, lane="default")
        assert 0.25 <= sum(clock.slept) + 0.04 <= 0.25 + GRACE / SECOND + 0.04

    @pytest.mark.parametrize(("rate", "processes"), [(5.0, 1), (5.0, 4), (5.0, 8)])
    def test_is_long_enough_for_a_run_that_goes_on(self, rate: float, processes: int) -> None:
        """However much it reads, what nobody but itself has called for never sends it away."""
        clock = Clock()
        one = budget(clock, rate_wait_seconds=0.25, private_calls_per_second=rate, rate_processes=processes)
        for _ in range(30):
            one.take(KEY, lane="protect", goes_on=True)
        assert max(clock.slept) > 0.25

    def test_not_when_all_are_told_to_slow_down(self) -> None:
        clock = Clock()
        one = budget(clock)
        one.slow_down(KEY, 30.0)
        with pytest.raises(Throttled):
            one.take(KEY, lane="protect", goes_on=True)
        assert clock.slept == []

    def test_callers_have_budgets_of_their_own(self) -> None:
        clock = Clock()
        one = budget(clock)
        assert len(sent(one, clock, until=clock.now + 0.1)) == 4
        one.take("key:lnmarkets:0th3", lane="default")
        one.take(PUBLIC, lane="default")
        with pytest.raises(Throttled):
            one.take(PUBLIC, lane="protect")

    @pytest.mark.parametrize("caller", ["", "canary", "lnmarkets:canary", "Key:canary"])
    def test_a_caller_of_no_kind_is_refused(self, caller: str) -> None:
        with pytest.raises(ValueError, match="begins with key: or public:") as thrown:
            budget(Clock()).take(caller, lane="default")
        assert "canary" not in str(thrown.value)


class TestWithoutRedis:
    @given(
        st.integers(1, 5), st.lists(st.floats(0, 3), min_size=5, max_size=5), st.sampled_from(["protect", "default"])
    )
    def test_processes_together_keep_the_rate(self, processes: int, starts: list[float], lane: Lane) -> None:
        times: list[float] = []
        for start in starts[:processes]:
            clock = Clock()
            clock.now += start
            times += sent(budget(clock, rate_processes=processes), clock, until=1_020, lane=lane)
        assert max(sum(at <= other < at + 1 for other in times) for at in times) <= 5
        assert len(times) >= 0.9 * 17 * (5 // processes) * processes

    @pytest.mark.parametrize("processes", [6, 20])
    def test_more_processes_than_calls_keep_it_on_average(self, processes: int) -> None:
        clock = Clock()
        times = sent(budget(clock, rate_processes=processes), clock, until=1_100)
        assert 0.9 * 500 <= len(times) * processes <= 500 + processes

    def test_public_calls_keep_theirs(self) -> None:
        clock = Clock()
        times = sent(budget(clock, rate_processes=4), clock, until=1_100, caller=PUBLIC)
        assert len(times) * 4 == pytest.approx(100, abs=4)

    def test_what_was_sent_by_all_just_before_it_went_has_to_be_out_of_the_window(self) -> None:
        clock = Clock()
        redis = Redis(Turn(0, 0))
        one = budget(clock, redis)
        one.take(KEY, lane="default")
        with pytest.raises(Throttled) as thrown:
            one.take(KEY, lane="protect")
        assert thrown.value.retry_after == pytest.approx(WINDOW)
        clock.now += WINDOW + 0.001
        one.take(KEY, lane="protect")

    def test_a_place_in_redis_is_none_here_and_the_other_way_round(self) -> None:
        clock = Clock()
        far = int((clock.now + 1_000_000) * SECOND)
        redis = Redis(Turn(50_000, far))
        one = budget(clock, redis, rate_wait_seconds=5)
        one.take(KEY, lane="default")
        assert sum(clock.slept) < 2

    def test_a_slow_down_holds_here_too(self) -> None:
        clock = Clock()
        one = budget(clock)
        one.slow_down(KEY, 30)
        one.slow_down(KEY, 0)
        one.slow_down(KEY, -1)
        assert sent(one, clock, until=1_029) == []
        one.take("key:lnmarkets:0th3", lane="default")

    @pytest.mark.parametrize("seconds", [601, 1e12, float("inf")])
    def test_a_slow_down_ends(self, seconds: float) -> None:
        clock = Clock()
        one = budget(clock)
        one.slow_down(KEY, seconds)
        clock.now += 599
        with pytest.raises(Throttled):
            one.take(KEY, lane="protect")
        clock.now += 2
        one.take(KEY, lane="protect")


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.7, 5])
def test_at_any_rate_that_can_be_set_a_run_makes_its_second_call(rate: float) -> None:
    """Sent away there, it would begin anew and be sent away at the same place, again and again."""
    clock = Clock()
    one = budget(clock, private_calls_per_second=rate)
    one.take(KEY, lane="default")
    for _ in range(3):
        one.take(KEY, lane="default", goes_on=True)
    assert clock.now - 1_000 <= 3 / rate + 1
