"""The budget in a real Redis: what several processes share, and what becomes of it while Redis is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.automation import Lane
from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import Throttled
from axisor_executor.limits import pace_script
from axisor_executor.limits.budget import Budget
from axisor_executor.limits.pace import (
    GUARDED,
    HORIZON,
    JITTER,
    LONGEST_SLOW_DOWN,
    LONGEST_WAIT,
    SECOND,
    Calls,
    Pace,
    Turn,
)
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared

KEY = "key:lnmarkets:f1n6"
START = 1_700_000_000 * SECOND
FIVE = Pace.per_second(5)
RARELY: dict[str, Any] = {"private_calls_per_second": 0.1, "public_calls_per_second": 0.1, "rate_wait_seconds": 0.05}
"""A machine may stand still for seconds without a further token coming up."""


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


MakeBudget = Callable[..., Budget]


@pytest.fixture
def budget(redis_url: str) -> Iterator[MakeBudget]:
    """Makes budgets as different processes have them, each with its own connections."""
    made: list[Shared] = []

    def make(url: str = redis_url, **changes: Any) -> Budget:
        made.append(Shared(url, "test"))
        return Budget(made[-1], Settings(**(RARELY | changes)))

    yield make
    for one in made:
        one.close()


def at(client: Any, key: str, now: int, given: tuple[int, ...]) -> Turn:
    """Run the script at a time of the test's choice."""
    return Turn(*client.eval(f"local now = {now}\n{pace_script.BODY}", 1, key, *given))


def taken(budget: Budget, caller: str, *, lane: Lane = "default", most: int = 20) -> int:
    """Take tokens until there are none, and return how many there were."""
    for number in range(most):
        try:
            budget.take(caller, lane=lane)
        except Throttled:
            return number
    return most


ASKED = st.tuples(
    st.integers(0, 400_000) | st.sampled_from([-SECOND, -20 * SECOND, -3_600 * SECOND]),
    st.sampled_from(["protect", "default"]),
    st.sampled_from([0, SECOND // 4, 5 * SECOND]),
    st.sampled_from(["new", "new", "back", "back", "slow"]),
)


class TestTheScript:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(asked=st.lists(ASKED, max_size=60), rate=st.sampled_from([0.5, 1.0, 3.0, 5.0, 12.0]))
    def test_says_what_the_pace_in_python_says(
        self, client: Any, asked: list[tuple[int, Lane, int, str]], rate: float
    ) -> None:
        client.flushall()
        pace, calls, now = Pace.per_second(rate), Calls(), START
        waiting: list[tuple[Lane, int]] = []
        for after, lane, wait, how in asked:
            now += after
            place = 0
            if how == "slow":
                if wait:
                    calls.slow_down(now, wait)
                    at(client, KEY, now, pace_script.arguments(pace, lane, slow_down=wait))
                continue
            if how == "back" and waiting:
                lane, place = waiting.pop(0)  # noqa: PLW2901 - who comes back is who waits
                now = max(now, place)
            turn = calls.ask(pace, lane, now, wait, place)
            assert at(client, KEY, now, pace_script.arguments(pace, lane, wait, place)) == turn
            if turn.place:
                waiting.append((lane, turn.place))

    def test_runs_by_the_clock_of_redis(self, client: Any) -> None:
        given = pace_script.arguments(Pace.per_second(0.1), "default", 20 * SECOND)
        assert pace_script.run(client, KEY, given) == (0, 0)
        before, (after, place), later = client.time(), pace_script.run(client, KEY, given), client.time()
        assert before <= divmod(place - after, SECOND) <= later

    def test_is_loaded_again_by_a_redis_that_has_lost_it(self, client: Any) -> None:
        given = pace_script.arguments(FIVE, "default")
        assert pace_script.run(client, KEY, given).after == 0
        client.script_flush()
        assert pace_script.run(client, KEY, given).after == 0

    @pytest.mark.parametrize("back", [11 * SECOND, 3_600 * SECOND, 10**8 * SECOND])
    def test_a_clock_that_is_set_back_holds_nobody_up(self, client: Any, back: int) -> None:
        for lane in ("default", "protect"):
            for wait in (0, 10 * SECOND):
                for _ in range(8):
                    at(client, KEY, START, pace_script.arguments(FIVE, lane, wait))
        for lane in ("protect", "default"):
            turn = at(client, KEY, START - back, pace_script.arguments(FIVE, lane, 2 * SECOND))
            assert turn.after <= FIVE.window + FIVE.spacing
        at(client, KEY, START, pace_script.arguments(FIVE, "default", slow_down=LONGEST_SLOW_DOWN))
        after = at(client, KEY, START - back, pace_script.arguments(FIVE, "default")).after
        assert after <= LONGEST_SLOW_DOWN + FIVE.window

    @pytest.mark.parametrize("back", [SECOND, 11 * SECOND, 600 * SECOND, 10**8 * SECOND])
    @pytest.mark.parametrize("pace", [FIVE, Pace.per_second(1)])
    @pytest.mark.parametrize("waits", [True, False])
    @pytest.mark.parametrize("lane", ["protect", "default"])
    def test_who_comes_back_when_told_goes_after_a_clock_was_set_back(
        self, client: Any, lane: Lane, pace: Pace, back: int, waits: bool
    ) -> None:
        place = 0
        for _ in range(8):
            place = at(client, KEY, START, pace_script.arguments(pace, lane, 10 * SECOND)).place
        now, turn = START - back, Turn(1, place if waits else 0)
        for _ in range(4):
            turn = at(client, KEY, now, pace_script.arguments(pace, lane, 2 * SECOND, turn.place))
            assert client.pttl(KEY) <= GUARDED / 1000, "nor does the key outlive the clock's way back"
            if turn.after <= 0:
                break
            now += turn.after
        assert turn.after <= 0
        assert now <= START - back + LONGEST_WAIT + 2 * pace.window

    def test_a_slow_down_that_was_over_does_not_come_back_with_an_earlier_time(self, client: Any) -> None:
        at(client, KEY, START, pace_script.arguments(FIVE, "protect", slow_down=SECOND))
        assert at(client, KEY, START + 2 * SECOND, pace_script.arguments(FIVE, "protect")).after == 0
        assert at(client, KEY, START - 300 * SECOND, pace_script.arguments(FIVE, "protect")).after == 0

    @pytest.mark.parametrize("number", ["1e300", "-1e300", "1/0", "-1/0", "0/0"])
    @pytest.mark.parametrize("place", range(1, 12))
    def test_a_number_that_can_be_no_time_holds_nobody_up(self, client: Any, place: int, number: str) -> None:
        for _ in range(5):
            at(client, KEY, START, pace_script.arguments(FIVE, "protect"))
        client.eval(
            "local state = cmsgpack.unpack(redis.call('GET', KEYS[1]))\n"
            f"state[{place}] = {number}\n"
            "redis.call('SET', KEYS[1], cmsgpack.pack(state))",
            1,
            KEY,
        )
        now = START
        for lane in ("protect", "default"):
            for _ in range(2):
                turn = at(client, KEY, now, pace_script.arguments(FIVE, lane))
                assert turn.after <= (LONGEST_SLOW_DOWN if place == 5 else FIVE.window)
                assert 0 < client.pttl(KEY) <= (LONGEST_SLOW_DOWN + HORIZON) / 1000
                now += max(turn.after, 0)
                if turn.after <= 0:
                    break
            assert turn.after <= 0

    def test_calls_that_have_left_the_window_are_forgotten(self, client: Any) -> None:
        """Else a caller with a high rate drags as many of them along as it may make in a second."""
        pace, sizes = Pace.per_second(1000), []
        for number in range(20):
            at(client, KEY, START + number * pace.window, pace_script.arguments(pace, "default"))
            sizes.append(client.strlen(KEY))
        assert sizes == [sizes[0]] * 20

    def test_keys_go_by_themselves(self, client: Any) -> None:
        now = START
        at(client, "entries", now, pace_script.arguments(FIVE, "default"))
        at(client, "guards", now, pace_script.arguments(FIVE, "protect"))
        at(client, "slow", now, pace_script.arguments(FIVE, "default", slow_down=40 * SECOND))
        assert 0 < client.pttl("entries") <= FIVE.window / 1000 + 1
        assert 290_000 < client.pttl("guards") <= 300_000
        assert 30_000 < client.pttl("slow") <= 40_000


class TestSharing:
    def test_processes_share_one_budget(self, budget: MakeBudget) -> None:
        first, second = budget(), budget()
        assert taken(first, KEY) == 1
        with pytest.raises(Throttled) as thrown:
            second.take(KEY, lane="default")
        assert thrown.value.retry_after is not None
        assert 0 < thrown.value.retry_after <= 10 + JITTER / SECOND
        second.take("key:lnmarkets:0th3", lane="default")

    def test_everybody_who_shares_the_key_is_slowed_down(self, budget: MakeBudget) -> None:
        first, second = budget(), budget()
        first.slow_down(KEY, 60)
        for one in (first, second):
            for lane in ("protect", "default"):
                with pytest.raises(Throttled) as thrown:
                    one.take(KEY, lane=lane)
                assert thrown.value.retry_after == pytest.approx(60, abs=10)
        second.slow_down(KEY, 1)
        assert taken(first, KEY) == 0
        first.take("key:lnmarkets:0th3", lane="default")

    def test_machines_share_the_budget_for_public_calls_unless_they_have_an_address_of_their_own(
        self, budget: MakeBudget
    ) -> None:
        caller = "public:lnmarkets@api.lnmarkets.com"
        here, there = budget(), budget()
        own, beside = (budget(source_address="rack-7") for _ in range(2))
        assert (taken(here, caller), taken(there, caller)) == (1, 0)
        assert (taken(own, caller), taken(beside, caller)) == (1, 0)

    def test_the_keys_of_accounts_are_the_same_for_every_address(self, budget: MakeBudget) -> None:
        assert taken(budget(), KEY) == 1
        assert taken(budget(source_address="rack-7"), KEY) == 0

    def test_redis_is_told_the_callers_name_and_nothing_else(self, budget: MakeBudget, client: Any) -> None:
        budget().take(KEY, lane="default")
        budget(source_address="rack-7").take("public:host", lane="default")
        assert set(client.keys()) == {f"test:rate:{KEY}".encode(), b"test:rate:public:host:rack-7"}
        assert all(client.pttl(key) > 0 for key in client.scan_iter())

    def test_a_token_costs_one_round_trip(self, budget: MakeBudget, client: Any) -> None:
        made = budget()
        made.take(KEY, lane="default")
        client.config_resetstat()
        for number in range(10):
            made.take(f"key:lnmarkets:{number}", lane="default")
        stats = client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 10
        assert "cmdstat_eval" not in stats

    def test_sixteen_threads_on_one_key_are_all_served_and_none_polls(self, budget: MakeBudget, client: Any) -> None:
        """Each thread wants one token and may wait for it: places are handed out, in steps, once."""
        budgets = [budget(private_calls_per_second=5, rate_wait_seconds=10) for _ in range(2)]
        client.config_resetstat()
        start = threading.Barrier(16)
        served: list[int] = []

        def take(one: Budget) -> None:
            start.wait()
            one.take(KEY, lane="default")
            seconds, micros = one._shared.ask(lambda connection: connection.time()) or (0, 0)
            served.append(seconds * SECOND + micros)

        threads = [threading.Thread(target=take, args=(budgets[number % 2],)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(served) == 16
        served.sort()
        assert served[-1] - served[0] >= 2 * FIVE.window, "three windows for sixteen"
        stats = client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] <= 16 * 20


def test_while_redis_is_away_each_process_keeps_to_its_part(own_redis: PrivateRedis, budget: MakeBudget) -> None:
    rare = {"private_calls_per_second": 0.4, "rate_processes": 4, "rate_wait_seconds": 10}
    made = [budget(own_redis.url, **rare) for _ in range(2)]
    own_redis.kill()
    for one in made:
        assert taken(one, KEY, most=1) == 1
        with pytest.raises(Throttled) as thrown:
            one.take(KEY, lane="protect")
        assert thrown.value.retry_after is not None
        assert thrown.value.retry_after <= 10 + JITTER / SECOND
    own_redis.start()


@pytest.mark.parametrize(
    "value", [b"", b"garbage", b"\xc0", b"\x93\x01\x02\x03", b"\x96\x00\x00\x00\x00\x00\xa1x", None]
)
def test_what_is_no_state_of_ours_is_overwritten(budget: MakeBudget, client: Any, value: bytes | None) -> None:
    one = budget()
    key = f"test:rate:{KEY}"
    if value is None:
        client.hset(key, "not", "ours")
    else:
        client.set(key, value)
    one.take(KEY, lane="default")
    assert client.type(key) == b"string"
    assert client.get(key) != value
    assert client.pttl(key) > 0
