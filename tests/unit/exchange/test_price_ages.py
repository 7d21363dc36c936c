"""Ages of shared prices in a model of several machines: no clock agrees with another, and everything takes its time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.errors import StaleData, Throttled, Unavailable
from axisor_executor.exchange import Answer, SharedTicker, Ticker
from axisor_executor.exchange.price_board import PriceBoard

SECOND = 1_000_000
RESOLUTIONS = (SECOND, 1)  # of the exchange's Date, in microseconds: as it is, and as if it showed more


class Model:
    """True time, in microseconds; what happens in it takes as long as ``chance`` says."""

    def __init__(self, chance: Random, exchange_ahead: int, redis_ahead: int) -> None:
        self.chance = chance
        self.now = 1_795_334_400 * SECOND
        self.exchange_ahead, self.redis_ahead = exchange_ahead, redis_ahead
        self.date_resolution = SECOND
        self.is_redis_away = False
        self.has_room = True
        self.redis_takes = SECOND // 4
        self.longest_lag = 3 * SECOND
        self.jobs: list[Callable[[], None]] = []
        self.sent: list[int] = []
        self.came: dict[Decimal, int] = {}
        self.true_instants: list[int] = []
        self.arrivals: list[int] = []
        self.keys: dict[str, tuple[Any, int]] = {}

    def pass_some_time(self, most: int) -> None:
        self.now += self.chance.randint(0, most)

    def fetch(self) -> Answer[Ticker]:
        """Ask the exchange. Prices count up, so that each tells which one it is; 0 can't be."""
        self.sent.append(self.now)
        self.pass_some_time(SECOND)
        if not self.has_room:
            raise Throttled("no room")
        self.arrivals.append(self.now)
        lag = self.chance.randint(0, self.longest_lag)
        self.true_instants.append(self.now - lag)
        shown = self.now + self.exchange_ahead
        answer = Answer(
            Ticker(Decimal(len(self.true_instants)), Decimal(1), _instant(shown - lag)),
            _instant(shown // self.date_resolution * self.date_resolution),
        )
        self.run_some()
        self.pass_some_time(SECOND)
        self.came[answer.value.last_price] = self.now
        return answer

    def run_some(self) -> None:
        """Let some of the machines do what they want to do in the background."""
        while self.jobs and self.chance.random() < 0.5:
            self.jobs.pop(self.chance.randrange(len(self.jobs)))()

    # As Redis

    @property
    def redis_now(self) -> int:
        return self.now + self.redis_ahead

    def get(self, key: str) -> Any:
        value, until = self.keys.get(key, (None, 0))
        return value if self.redis_now < until else None

    def set(self, key: str, value: str, *, px: int, nx: bool = False) -> bool | None:
        if nx and self.get(key) is not None:
            return None
        self.keys[key] = value.encode(), self.redis_now + px * 1000
        return True

    def pttl(self, key: str) -> int:
        return -2 if self.get(key) is None else (self.keys[key][1] - self.redis_now) // 1000

    def time(self) -> tuple[int, int]:
        return divmod(self.redis_now, SECOND)

    def eval(self, _script: str, _keys: int, key: str, token: str, pause: str) -> None:
        value, until = self.keys.get(key, (None, 0))
        if value == token.encode():
            self.keys[key] = value, min(until, self.redis_now + int(pause) * 1000)

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)

    # As Shared

    def key(self, *parts: str) -> str:
        return ":".join(parts)

    def ask(self, call: Callable[[Any], Any]) -> Any:
        self.pass_some_time(self.redis_takes)
        answer = None if self.is_redis_away else call(self)
        self.pass_some_time(self.redis_takes)
        return answer


class Pipeline:
    """Commands, carried out with some time between them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.commands: list[Callable[[], Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Pipeline]:
        def queue(*given: Any, **named: Any) -> Pipeline:
            self.commands.append(lambda: getattr(self.model, name)(*given, **named))
            return self

        return queue

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        answers = []
        for command in self.commands:
            self.model.pass_some_time(SECOND // 100)
            answers.append(command())
        return answers


class Machine:
    """A process with a monotonic clock of its own."""

    def __init__(self, model: Model, ahead: int, *, asks_ahead: bool = False) -> None:
        self.model, self.ahead = model, ahead
        self.board = PriceBoard(model, "lnmarkets", "https://exchange")  # type: ignore[arg-type]
        self.ticker = SharedTicker(
            model.fetch,
            board=self.board,
            in_background=model.jobs.append if asks_ahead else None,
            clock=self.clock,
            pause=self.pause,
        )

    def price(self, max_age: float) -> tuple[Decimal, float]:
        """Return a price; nobody else would go on while it is waited for."""
        return self.ticker.fresh_price(max_age, 15.0 if self.ticker._flight is None else 0.0)

    def clock(self) -> float:
        return (self.model.now + self.ahead) / SECOND

    def pause(self, seconds: float) -> None:
        self.model.now += int(seconds * SECOND)

    def die_in_turn(self) -> None:
        """Take the turn if it is free, and never be heard of again."""
        self.board.look(wants_turn=True)


def _instant(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


skews = st.integers(-1000 * SECOND, 1000 * SECOND)
seeds = st.integers(0, 2**32)
WAITS = (0, 0, 1000, SECOND // 10, SECOND // 2, 2 * SECOND)


@given(seeds, st.sampled_from(RESOLUTIONS), skews, skews, st.tuples(skews, skews, skews), st.booleans())
def test_no_age_is_too_low_by_more_than_the_exchange_leaves_open(
    seed: int,
    resolution: int,
    exchange_ahead: int,
    redis_ahead: int,
    machines_ahead: tuple[int, int, int],
    asks_ahead: bool,
) -> None:
    chance = Random(seed)
    model = Model(chance, exchange_ahead, redis_ahead)
    model.date_resolution = resolution
    machines = [Machine(model, ahead, asks_ahead=asks_ahead) for ahead in machines_ahead]
    for _ in range(30):
        model.now += chance.choice(WAITS)
        model.run_some()
        model.is_redis_away = chance.random() < 0.2
        model.has_room = chance.random() < 0.7
        machine = chance.choice(machines)
        if chance.random() < 0.1:
            machine.die_in_turn()
        limit = chance.choice([0.5, 2.0, 5.0, 60.0])
        with suppress(StaleData, Unavailable):
            price, age = machine.price(limit)
            true_age = (model.now - model.true_instants[int(price) - 1]) / SECOND
            assert age <= limit
            assert true_age < age + resolution / SECOND + 1e-4  # floats of the monotonic clock


@given(seeds, skews, st.tuples(skews, skews, skews))
def test_all_machines_together_ask_once_a_second(
    seed: int, redis_ahead: int, machines_ahead: tuple[int, int, int]
) -> None:
    chance = Random(seed)
    model = Model(chance, 0, redis_ahead)
    machines = [Machine(model, ahead) for ahead in machines_ahead]
    for _ in range(30):
        model.now += chance.choice(WAITS)
        chance.choice(machines).ticker.fresh_price(60)
    assert all(later - earlier >= 0.998 * SECOND for earlier, later in pairwise(model.arrivals))


@given(seeds, skews, st.tuples(skews, skews, skews))
def test_machines_that_ask_ahead_ask_once_a_second_and_serve_no_price_for_longer(
    seed: int, redis_ahead: int, machines_ahead: tuple[int, int, int]
) -> None:
    chance = Random(seed)
    model = Model(chance, 0, redis_ahead)
    model.redis_takes, model.longest_lag = SECOND // 1000, 0
    machines = [Machine(model, ahead, asks_ahead=True) for ahead in machines_ahead]
    for _ in range(100):
        model.now += chance.choice((0, 1000, SECOND // 10, SECOND // 4))
        model.run_some()
        begun = model.now
        with suppress(Unavailable):  # it would have to wait
            price, _ = chance.choice(machines).price(60)
            assert begun - model.came[price] <= 1.1 * SECOND  # and it took a little until it was posted
    assert all(later - earlier >= 0.998 * SECOND for earlier, later in pairwise(model.sent))


def test_a_taken_ticker_is_as_old_as_it_is() -> None:
    model = Model(Random(0), 0, 0)
    model.pass_some_time = lambda _: None  # type: ignore[method-assign]
    first, second = Machine(model, 0), Machine(model, 5 * SECOND)
    price, age = first.ticker.fresh_price(60)
    model.now += SECOND // 2
    assert second.ticker.fresh_price(60) == (price, pytest.approx(age + 0.5, abs=0.001))
