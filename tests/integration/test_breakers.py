"""Breakers of several processes that share a Redis: what one finds out, all go by."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import redis

from axisor_executor.embedded import PrivateRedis
from axisor_executor.limits.breaker import LOOK_SECONDS, AccountRef
from tests.unit.breaker_scene import AWAY, EXCHANGE, FORBIDDEN, MAIN, OTHER, UNAUTHORIZED, Scene

MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene() -> Iterator[MakeScene]:
    """Make the breakers of one more process."""
    made = list[Scene]()

    def make(url: str, **limits: float) -> Scene:
        made.append(Scene(url, limits=limits))
        return made[-1]

    yield make
    for scene in made:
        scene.shared.close()


@pytest.fixture
def two(make_scene: MakeScene, redis_url: str) -> tuple[Scene, Scene]:
    """Two processes."""
    return make_scene(redis_url), make_scene(redis_url)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


def let_pass(client: redis.Redis, *scenes: Scene) -> None:
    """Let the time until the next probe pass, by Redis's clock and by the processes' own."""
    if gates := client.keys("test:breakers:gate:*"):
        client.delete(*gates)
    for scene in scenes:
        scene.wait(LOOK_SECONDS + 0.01)


def look(scene: Scene) -> None:
    """Let so much time pass that a process looks what the others know."""
    scene.wait(LOOK_SECONDS + 0.01)


def write_opening(client: redis.Redis, name: str | bytes, **values: float) -> None:
    """Write a record that says the exchange is away, with other values, as somebody may who can write to Redis."""
    ours = {
        "kind": "exchange",
        "subject": EXCHANGE,
        "changes_only": False,
        "reason": "",
        "since": 1e3,
        "probed_at": 1e3,
    }
    client.hset("test:breakers", name, json.dumps(ours | values))
    client.set("test:breakers:version", uuid4().hex)


class TestOpening:
    def test_what_one_opens_is_open_for_all(self, two: tuple[Scene, Scene]) -> None:
        here, there = two
        assert there.passes()
        here.take_exchange_away()
        look(there)
        error = there.held_back()
        assert error.code == "exchange_circuit_open"
        assert error.retry_after is not None
        assert 0.2 < error.retry_after <= 2.0, "by Redis's clock"
        assert there.open_names() == [(EXCHANGE, False)]

    def test_one_alert_over_all_processes(self, two: tuple[Scene, Scene]) -> None:
        assert all(scene.passes() for scene in two), "both have looked, and neither looks again so soon"
        for scene in two:
            scene.take_exchange_away()
        assert [len(scene.alerts) for scene in two] == [1, 0]

    def test_one_alert_for_an_account_over_all_processes(self, two: tuple[Scene, Scene]) -> None:
        assert all(scene.passes() for scene in two)
        for scene in two:
            scene.refuse()
        assert [[alert.kind for alert in scene.alerts] for scene in two] == [["account_circuit_open"], []]
        assert all(not scene.passes() and scene.passes(OTHER) for scene in two)

    def test_a_process_that_starts_later_knows(self, two: tuple[Scene, Scene], make_scene: MakeScene) -> None:
        two[0].refuse(failure=FORBIDDEN, mutating=True)
        late = make_scene(two[0].url)
        assert late.held_back(mutating=True).account_name == MAIN.name
        assert late.passes(mutating=False)

    def test_another_installation_on_the_same_redis_is_not_concerned(self, two: tuple[Scene, Scene]) -> None:
        two[0].take_exchange_away()
        stranger = Scene(two[0].url, prefix="another")
        assert stranger.passes()
        stranger.shared.close()

    def test_what_stands_in_redis_has_no_secret_and_a_closed_breaker_leaves_nothing(
        self, two: tuple[Scene, Scene], client: redis.Redis
    ) -> None:
        assert two[0].call(None)
        assert client.keys("*") == []
        two[0].refuse()
        assert client.hgetall("test:breakers").keys() == {"account:acc456"}
        let_pass(client, two[0])
        assert two[0].call(None)
        assert client.keys("*") == ["test:breakers:version"]


class TestProbing:
    def test_one_probe_over_two_instances(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        here, there = two
        here.take_exchange_away()
        look(there)
        assert not there.passes()
        let_pass(client, here, there)
        assert [here.passes(), there.passes()] == [True, False]
        here.breakers.report(EXCHANGE, MAIN, mutating=False, failure=None)
        look(there)
        assert there.passes()
        assert there.open_names() == []

    def test_a_failed_probe_lengthens_the_time_for_all(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        here, there = two
        here.take_exchange_away()
        for _ in range(2):
            let_pass(client, here, there)
            assert here.call(AWAY)
        look(there)
        assert 4.0 < (there.held_back().retry_after or 0) <= 8.0
        (state,) = there.breakers.states()
        assert (state.failed_probes, state.state) == (2, "open")

    def test_a_probe_under_way_shows_as_half_open(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        here, there = two
        here.take_exchange_away()
        assert [one.state for one in there.breakers.states()] == ["open"]
        let_pass(client, here)
        assert here.passes()
        assert [one.state for one in there.breakers.states()] == ["half_open"]

    def test_a_redis_whose_clock_was_set_back_keeps_nothing_open_for_longer(
        self, two: tuple[Scene, Scene], client: redis.Redis
    ) -> None:
        here, there = two
        here.take_exchange_away()
        gates = client.keys("test:breakers:gate:*")
        assert len(gates) == 2
        for gate in gates:
            client.pexpire(gate, 3_600_000)
        for scene in two:
            look(scene)
        assert [there.passes(), here.passes()] == [True, False], "one probe, at once"

    def test_guards_probe_when_entries_may_not_yet(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        here, there = two
        here.take_exchange_away()
        look(there)
        client.delete("test:breakers:gate:exchange:lnmarkets@api.test:protect")
        assert not there.passes(lane="default")
        assert there.call(None, lane="protect")
        look(here)
        assert here.passes()

    def test_exactly_one_of_many_processes_probes(
        self, two: tuple[Scene, Scene], client: redis.Redis, redis_url: str
    ) -> None:
        two[0].take_exchange_away()
        code = f"""
import sys
from tests.unit.breaker_scene import Scene
scene = Scene({redis_url!r})
print(scene.breakers.states()[0].state, flush=True)
sys.stdin.readline()
print(scene.passes(), flush=True)
sys.stdin.readline()
"""
        crowd = [
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        try:
            for one in crowd:
                assert one.stdout is not None
                assert one.stdout.readline().strip() in ("open", "half_open")
            let_pass(client)
            for one in crowd:
                assert one.stdin is not None
                one.stdin.write("\n")
                one.stdin.flush()
            answers = [one.stdout.readline().strip() for one in crowd if one.stdout is not None]
        finally:
            for one in crowd:
                one.communicate(input="\n", timeout=30)
        assert sorted(answers) == ["False"] * 3 + ["True"]

    def test_threads_of_two_instances(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        two[0].take_exchange_away()
        look(two[1])
        assert not two[1].passes()
        let_pass(client, *two)
        asked = threading.Barrier(8, timeout=30)
        through = list[bool]()

        def probe(scene: Scene) -> None:
            asked.wait()
            through.append(scene.passes())

        threads = [threading.Thread(target=probe, args=(two[number % 2],)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(through) == [False] * 7 + [True]


class TestClosing:
    def test_changed_credentials_close_it_for_all(self, two: tuple[Scene, Scene]) -> None:
        here, there = two
        here.refuse()
        look(there)
        assert there.call(None, AccountRef(MAIN.id, MAIN.name, MAIN.fingerprint, "d-renewed"))
        look(here)
        assert here.open_names() == []

    def test_by_hand(self, two: tuple[Scene, Scene]) -> None:
        here, there = two
        here.refuse(failure=FORBIDDEN, mutating=True)
        here.refuse()
        assert [one.changes_only for one in there.breakers.reset(MAIN.id)] == [False, True]
        look(here)
        assert here.passes(mutating=True)

    def test_a_probe_that_fails_behind_a_reset_does_not_open_it_again(
        self, two: tuple[Scene, Scene], client: redis.Redis
    ) -> None:
        here, there = two
        here.take_exchange_away()
        let_pass(client, here)
        assert here.passes()
        there.breakers.reset(EXCHANGE)
        here.breakers.report(EXCHANGE, MAIN, mutating=False, failure=AWAY)
        assert (here.open_names(), there.open_names()) == ([], [])

    def test_what_was_not_heard_of_for_a_day_is_forgotten(self, two: tuple[Scene, Scene]) -> None:
        here, there = two
        here.refuse()
        there.wait(86_401)
        assert there.passes()
        assert there.open_names() == []
        assert here.open_names() == []

    def test_one_that_is_probed_less_often_is_not(self, make_scene: MakeScene, redis_url: str) -> None:
        here, there = (make_scene(redis_url, breaker_account_probe_seconds=86_400) for _ in range(2))
        here.refuse()
        there.wait(86_401)
        assert there.open_names() == [(MAIN.id, False)]


class TestRedisAway:
    def test_each_process_goes_on_by_itself_and_tells_the_others_later(
        self, own_redis: PrivateRedis, make_scene: MakeScene
    ) -> None:
        here, there = make_scene(own_redis.url), make_scene(own_redis.url)
        assert here.passes()
        assert there.passes()
        own_redis.kill()
        here.take_exchange_away()
        look(there)
        assert (here.passes(), there.passes()) == (False, True)
        own_redis.start()
        for scene in (here, there):
            scene.wait(1.01)  # so long Redis counts as away
        assert not here.passes()
        look(there)
        assert not there.passes()
        assert [len(scene.alerts) for scene in (here, there)] == [1, 0]

    def test_what_was_closed_meanwhile_is_closed_for_all_later(
        self, own_redis: PrivateRedis, make_scene: MakeScene
    ) -> None:
        here, there = make_scene(own_redis.url), make_scene(own_redis.url)
        here.take_exchange_away()
        look(there)
        assert not there.passes()
        own_redis.pause()
        here.wait(2.01)
        assert here.call(None), "without Redis it may probe by its own clock"
        assert here.passes()
        own_redis.resume()
        for scene in (here, there):
            scene.wait(1.01)
        assert here.passes()
        look(there)
        assert there.passes()

    def test_a_wiped_redis_closes_them(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        two[0].refuse()
        client.flushall()
        two[1].take_exchange_away()
        look(two[0])
        assert two[0].open_names() == [(EXCHANGE, False)]

    def test_a_record_that_can_not_be_read_holds_nobody_back(
        self, two: tuple[Scene, Scene], client: redis.Redis
    ) -> None:
        two[0].refuse()
        client.hset("test:breakers", "account:acc789", '{"kind": "something else"}')
        client.hset("test:breakers", "account:acc000", "no json")
        client.set("test:breakers:version", "another")
        look(two[1])
        assert two[1].open_names() == [(MAIN.id, False)]
        assert two[1].passes(OTHER)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"failed_probes": -(10**400)},
            {"failed_probes": -1},
            {"failed_probes": 10**400},
            {"since": math.nan},
            {"since": math.inf},
            {"since": 1e300},
            {"since": -1},
            {"probed_at": math.nan},
            {"probed_at": 1e300},
        ],
        ids=lambda wrong: next(iter(wrong)),
    )
    def test_nor_one_with_a_number_that_can_not_be(
        self, two: tuple[Scene, Scene], client: redis.Redis, wrong: dict[str, float]
    ) -> None:
        write_opening(client, f"exchange:{EXCHANGE}", **wrong)
        assert [two[0].passes(), two[0].passes(lane="protect")] == [True, True]
        assert two[0].breakers.states() == []

    def test_nor_one_under_anothers_name(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        write_opening(client, "ghost")
        write_opening(client, b"exchange:\xff")
        assert two[0].breakers.states() == []
        assert two[0].passes()
        write_opening(client, f"exchange:{EXCHANGE}")
        look(two[0])
        assert two[0].open_names() == [(EXCHANGE, False)]

    def test_nor_is_a_version_that_is_no_text_in_the_way(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        here, there = two
        client.set("test:breakers:version", b"\xff")
        assert there.passes()
        here.take_exchange_away()
        look(there)
        for gate in client.keys("test:breakers:gate:*"):
            client.set(gate, b"\xff")
        assert there.open_names() == [(EXCHANGE, False)]

    def test_one_that_has_failed_for_weeks_is_known_to_all(self, two: tuple[Scene, Scene], client: redis.Redis) -> None:
        write_opening(client, f"exchange:{EXCHANGE}", failed_probes=5000)
        let_pass(client, two[0])
        assert two[0].call(AWAY)
        (state,) = two[1].breakers.states()
        assert state.failed_probes == 5001


def test_a_healthy_call_asks_redis_nothing(two: tuple[Scene, Scene], client: redis.Redis) -> None:
    scene = two[0]
    assert scene.call(None)
    before = client.info("stats")["total_commands_processed"]
    for _ in range(500):
        assert scene.call(None, mutating=True)
        assert scene.call(UNAUTHORIZED, OTHER)
        assert scene.call(None, OTHER)
    asked = client.info("stats")["total_commands_processed"] - before - 1
    assert asked == 0
    scene.wait(LOOK_SECONDS + 0.01)
    assert scene.call(None)
    assert client.info("stats")["total_commands_processed"] - before - 2 == 1, "twice a second, one read for everything"
