"""The price board in a real Redis: one process asks, the others take it; whatever stands or happens there."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import redis

from axisor_executor import shared
from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import CircuitOpen, ExchangeError, Rejected, StaleData, Throttled, Unavailable
from axisor_executor.exchange import Answer, SharedTicker, Ticker, prices
from axisor_executor.exchange.price_board import KEPT_SECONDS, Look, PriceBoard
from axisor_executor.shared import Shared

URL = "https://exchange.example/v3"
REUSE = 8.0  # seconds; with so many, a slow machine changes nothing
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


class Exchange:
    """Answers with ``price`` and counts how often it was asked; ``age`` in seconds by its own clock."""

    def __init__(self) -> None:
        self.price, self.age = "50000.5", 0.5
        self.asked = 0
        self.failure: BaseException | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def ticker(self) -> Answer[Ticker]:
        self.asked += 1
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        time = NOW + timedelta(seconds=self.asked - self.age)
        return Answer(Ticker(Decimal(self.price), Decimal("50001"), time), NOW + timedelta(seconds=self.asked))


class Process:
    """What one process has of its own. Its clock stands still unless the test or a pause moves it."""

    def __init__(
        self, redis_url: str, exchange: Exchange, *, url: str = URL, reuse: float = REUSE, asks_ahead: bool = False
    ) -> None:
        self.shared = Shared(redis_url, "test")
        self.board = PriceBoard(self.shared, "lnmarkets", url, turn_seconds=30)
        self.now = 100.0
        self.pauses = 0
        self.on_pause: Callable[[], object] = lambda: None
        self.jobs: list[Callable[[], None]] = []
        self.ticker = SharedTicker(
            exchange.ticker,
            reuse,
            board=self.board,
            in_background=self.jobs.append if asks_ahead else None,
            clock=lambda: self.now,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.now += seconds
        self.on_pause()

    def price(self, max_age: float = 60.0) -> Decimal:
        return self.ticker.fresh_price(max_age)[0]

    def land(self) -> None:
        """Do what is to be done in the background."""
        self.jobs.pop()()
        assert self.jobs == []


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is slow for a moment must not count as a Redis that is away, nor end a pause."""
    monkeypatch.setattr(shared, "TIMEOUT_SECONDS", 10.0)
    monkeypatch.setattr(prices, "FAILURE_SECONDS", 20.0)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def processes(redis_url: str, exchange: Exchange) -> Iterator[tuple[Process, Process]]:
    first, second = Process(redis_url, exchange), Process(redis_url, exchange)
    with closing(first.shared), closing(second.shared):
        yield first, second


AHEAD = 4.0


@pytest.fixture
def ahead(redis_url: str, exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Process, Process]]:
    """Two processes that know the same price, and ask for the next one as long ahead as if a fetch took a second."""
    monkeypatch.setattr(prices, "SPARE_SECONDS", -AHEAD)
    first, second = (Process(redis_url, exchange, asks_ahead=True) for _ in range(2))
    with closing(first.shared), closing(second.shared):
        first.price()
        second.price()
        exchange.price = "50010"
        yield first, second


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def key_of(client: redis.Redis) -> bytes:
    """The one key of a board that is at rest."""
    (key,) = client.keys("*")
    return bytes(key)


def let_pass(client: redis.Redis, seconds: float) -> None:
    """Make the ticker on the board so much older, as if it had been asked for and posted earlier."""
    key = key_of(client)
    text = json.loads(client.get(key) or b"")
    text["asked"] -= int(seconds * 1_000_000)
    client.set(key, json.dumps(text), px=client.pttl(key) - int(seconds * 1000))


def let_all_pass(client: redis.Redis, processes: tuple[Process, Process], seconds: float) -> None:
    let_pass(client, seconds)
    for process in processes:
        process.now += seconds


def test_one_asks_and_the_others_take_it(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes
    assert first.price() == second.price() == Decimal("50000.5")
    assert second.ticker.read()[0].index == Decimal("50001")
    assert exchange.asked == 1
    assert 0 < client.pttl(key_of(client)) <= KEPT_SECONDS * 1000


def test_what_is_taken_is_as_old_as_it_is(processes: tuple[Process, Process], client: redis.Redis) -> None:
    first, second = processes
    first.price()
    let_pass(client, 0.9)
    assert second.ticker.fresh_price(60)[1] >= 1.4
    with pytest.raises(StaleData):
        second.ticker.fresh_price(0.25)


def test_what_is_older_than_the_reuse_time_is_asked_anew(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes
    first.price()
    let_pass(client, REUSE + 0.1)
    exchange.price = "50010"
    assert second.price() == 50_010
    first.now += REUSE + 0.1
    assert first.price() == 50_010
    assert exchange.asked == 2


def test_lower_age_limit_has_it_asked_anew(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes
    first.price()
    let_pass(client, 3)
    second.price(max_age=2)
    assert exchange.asked == 2


def test_exchanges_and_addresses_have_boards_of_their_own(redis_url: str, exchange: Exchange) -> None:
    for url in ("https://one.example", "https://other.example"):
        process = Process(redis_url, exchange, url=url)
        with closing(process.shared):
            process.price()
    assert exchange.asked == 2


def test_others_wait_for_the_one_that_asks(processes: tuple[Process, Process], exchange: Exchange) -> None:
    first, second = processes
    asked, answer = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert answer.wait(30)

    exchange.meanwhile = hold
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(first.price)
        assert asked.wait(30)
        second.on_pause = lambda: (answer.set(), task.result(30))
        assert second.price() == Decimal("50000.5")
    assert second.pauses == 1
    assert exchange.asked == 1


def test_turn_that_came_with_a_new_price_is_given_back(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = processes
    look = second.board.look

    def be_a_little_late(*, wants_turn: bool) -> Look | None:
        if wants_turn:
            first.price()
        return look(wants_turn=wants_turn)

    monkeypatch.setattr(second.board, "look", be_a_little_late)
    assert second.price() == Decimal("50000.5")
    assert exchange.asked == 1
    assert len(client.keys("*")) == 1


def test_waiting_for_another_process_ends(processes: tuple[Process, Process], exchange: Exchange) -> None:
    first, second = processes
    assert first.board.look(wants_turn=True).turn is not None  # type: ignore[union-attr]
    with pytest.raises(Unavailable, match="another process"):
        second.ticker.fresh_price(5, timeout=1)
    assert second.pauses in (40, 41)
    assert exchange.asked == 0


def test_turn_ends_by_itself(processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis) -> None:
    first, second = processes
    assert first.board.look(wants_turn=True).turn is not None  # type: ignore[union-attr]
    turn = key_of(client)
    assert 0 < client.pttl(turn) <= 30_000
    second.on_pause = lambda: client.pexpire(turn, 1) if second.pauses == 3 else client.exists(turn)
    assert second.price() == Decimal("50000.5")
    assert second.pauses >= 3


def test_turn_is_free_again_after_an_answer(processes: tuple[Process, Process], client: redis.Redis) -> None:
    first, second = processes
    first.price()
    key_of(client)
    let_pass(client, REUSE + 0.1)
    second.price()
    key_of(client)


@pytest.mark.parametrize("failure", [Unavailable("down"), Rejected("no", status=403)])
def test_after_a_failure_the_next_process_asks_after_a_pause(
    failure: ExchangeError, processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes
    exchange.failure = failure
    with pytest.raises(type(failure)):
        first.price()
    turn = key_of(client)
    assert 10_000 < client.pttl(turn) <= 20_000
    exchange.failure = None
    second.on_pause = lambda: client.delete(turn)
    assert second.price() == Decimal("50000.5")
    assert second.pauses == 1


@pytest.mark.parametrize("failure", [Throttled("no room", retry_after=0.3), CircuitOpen("held back")])
def test_where_nothing_was_sent_the_turn_is_free_at_once(
    failure: ExchangeError, processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes
    exchange.failure = failure
    for process in (first, second):
        with pytest.raises(type(failure)):
            process.price()
        assert process.pauses == 0
    assert client.keys("*") == []


def test_without_room_to_ask_an_older_price_of_another_process_serves(redis_url: str, exchange: Exchange) -> None:
    # Below 0: one that was posted in this very moment, by Redis' clock, is none to be reused either.
    first, second = (Process(redis_url, exchange, reuse=-1) for _ in range(2))
    with closing(first.shared), closing(second.shared):
        first.price()
        exchange.failure = Throttled("no room", retry_after=0.3)
        assert second.price(max_age=60) == Decimal("50000.5")
        with pytest.raises(Throttled):
            second.price(max_age=0.25)


@pytest.mark.parametrize(
    "put",
    [
        lambda client, key, text: client.set(key, "garbage", ex=5),
        lambda client, key, text: client.set(key, b"\xff\x00", ex=5),
        lambda client, key, text: client.set(key, text.replace('"50000.5"', '"-1"'), ex=5),
        lambda client, key, text: client.set(key, text.replace('"50000.5"', "50000.5"), ex=5),
        lambda client, key, text: client.set(key, text.replace('"v": 1', '"v": 2'), ex=5),
        lambda client, key, text: client.set(key, text.replace('"asked": 1', '"asked": 9'), ex=5),
        lambda client, key, text: client.set(key, text),
        lambda client, key, text: client.set(key, text, ex=3600),
        lambda client, key, text: (client.delete(key), client.rpush(key, text)),
        lambda client, key, text: (client.delete(key), client.hset(key, "last", "1")),
    ],
    ids=["text", "bytes", "negative", "type", "version", "future", "endless", "long", "list", "hash"],
)
def test_what_nobody_of_us_has_written_is_ignored_and_overwritten(
    put: Callable[[redis.Redis, bytes, str], Any],
    processes: tuple[Process, Process],
    exchange: Exchange,
    client: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = processes
    first.price()
    key = key_of(client)
    put(client, key, (client.get(key) or b"").decode())
    exchange.price = "50010"
    with caplog.at_level(logging.WARNING):
        assert second.price() == 50_010
    assert [record.getMessage() for record in caplog.records if "not one of ours" in record.getMessage()] != []
    assert len(caplog.records) == 1
    first.now += REUSE + 0.1
    assert first.price() == 50_010
    assert exchange.asked == 2


def test_turn_that_nobody_gave_and_that_has_no_end_is_taken_away(
    processes: tuple[Process, Process], client: redis.Redis
) -> None:
    first, second = processes
    assert first.board.look(wants_turn=True).turn is not None  # type: ignore[union-attr]
    client.set(key_of(client), "for ever")
    assert second.price() == Decimal("50000.5")
    assert second.pauses == 1


def test_price_that_no_reader_would_take_is_not_posted(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, _ = processes
    exchange.price = "0"
    with pytest.raises(StaleData):
        first.price()
    turn = key_of(client)
    assert 10_000 < client.pttl(turn) <= 20_000


def test_what_comes_late_overwrites_nothing_newer(
    processes: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = processes

    def be_overtaken() -> None:
        exchange.meanwhile = lambda: None
        client.delete(key_of(client))  # the turn took too long
        exchange.price = "50010"
        assert second.price() == 50_010
        exchange.price, exchange.asked = "50000", 1

    exchange.meanwhile = be_overtaken
    assert first.price() == 50_000
    first.now += REUSE + 0.1
    assert first.price() == 50_010


def test_of_two_that_ask_ahead_one_asks_and_the_other_takes_it(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    assert [process.price() for process in ahead] == [Decimal("50000.5")] * 2
    for process in ahead:
        process.land()
    assert exchange.asked == 2
    assert [process.price() for process in ahead] == [50_010] * 2
    assert [(process.jobs, process.pauses) for process in ahead] == [([], 0)] * 2
    key_of(client)


def test_who_asks_ahead_waits_for_another_that_does(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = ahead
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    asked, answer = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert answer.wait(30)

    exchange.meanwhile = hold
    first.price()
    second.price()
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(first.land)
        assert asked.wait(30)
        second.on_pause = lambda: (answer.set(), task.result(30))
        assert first.price() == second.price() == Decimal("50000.5")
        second.land()
    assert first.price() == second.price() == 50_010
    assert second.pauses == 1
    assert exchange.asked == 2


def test_who_asks_ahead_does_so_by_the_clock_of_redis(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    _, second = ahead
    let_pass(client, REUSE - AHEAD - 1.5)
    second.now += REUSE - AHEAD + 0.1
    second.price()
    began = second.now
    second.on_pause = lambda: let_pass(client, 1.5)
    second.land()
    assert 0 < second.now - began <= 1.5
    assert second.pauses == 1
    assert exchange.asked == 2
    assert second.price() == 50_010


def test_who_asks_ahead_takes_what_is_newer_although_the_next_one_is_due(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, second = ahead
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    first.price()
    second.price()
    first.land()
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    second.land()
    assert exchange.asked == 2
    assert second.price() == 50_010


def test_two_that_ask_ahead_ask_once_a_reuse_time_together_and_know_the_same(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    asked_at = []
    exchange.meanwhile = lambda: asked_at.append(ahead[0].now)
    for step in range(100):
        let_all_pass(client, ahead, 0.5)
        exchange.price = str(50_000 + step)
        in_turn = ahead if step % 3 else ahead[::-1]
        for process in in_turn:
            process.price()
        for process in in_turn:
            for _ in process.jobs[:]:
                process.land()
        assert ahead[0].price() == ahead[1].price()
    assert [process.pauses for process in ahead] == [0, 0]
    assert {later - earlier for earlier, later in pairwise(asked_at)} == {REUSE - AHEAD}
    assert len(asked_at) == 100 * 0.5 // (REUSE - AHEAD)


def test_what_was_on_its_way_when_the_price_was_forgotten_is_not_posted(
    ahead: tuple[Process, Process], exchange: Exchange, client: redis.Redis
) -> None:
    first, _ = ahead
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    first.price()
    exchange.meanwhile = first.ticker.forget
    first.land()
    assert client.keys("*") == []
    exchange.meanwhile, exchange.price = lambda: None, "50020"
    assert first.price() == 50_020


def test_forgotten_price_does_not_come_back_with_what_was_seen_on_the_board(
    ahead: tuple[Process, Process], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = ahead
    let_all_pass(client, ahead, REUSE - AHEAD / 2)
    first.price()
    look = first.board.look

    def look_and_forget(*, wants_turn: bool) -> Look | None:
        found = look(wants_turn=wants_turn)
        if not wants_turn and first.ticker._reading is not None:
            first.ticker.forget()
        return found

    monkeypatch.setattr(first.board, "look", look_and_forget)
    first.land()
    assert first.price() == 50_010


def test_without_redis_each_process_asks_ahead_for_itself(own_redis: PrivateRedis, exchange: Exchange) -> None:
    first, second = (Process(own_redis.url, exchange, asks_ahead=True) for _ in range(2))
    with closing(first.shared), closing(second.shared):
        own_redis.kill()
        for process in (first, second):
            process.price()
            exchange.meanwhile = partial(process.pause, 2)
            process.now += REUSE
            process.price()
            assert process.jobs == []  # what took no time needs none ahead
            process.now += 0.1
            process.price()
            process.now += REUSE - 0.01
            process.price()
            process.land()
    assert exchange.asked == 6


def test_forgotten_price_is_asked_anew_by_all_that_have_none(
    processes: tuple[Process, Process], exchange: Exchange
) -> None:
    first, second = processes
    first.price()
    exchange.price = "50010"
    first.ticker.forget()
    assert second.price() == first.price() == 50_010


def test_without_redis_each_process_asks_once_a_second_and_shares_again_when_it_is_back(
    own_redis: PrivateRedis, exchange: Exchange
) -> None:
    first, second = Process(own_redis.url, exchange), Process(own_redis.url, exchange)
    with closing(first.shared), closing(second.shared):
        own_redis.kill()
        for process in (first, second):
            assert [process.price() for _ in range(1000)] == [Decimal("50000.5")] * 1000
        assert exchange.asked == 2
        own_redis.start()
        for process in (first, second):
            process.now += REUSE + 0.1
            process.shared._away_until = 0.0
        exchange.price = "50010"
        assert first.price() == second.price() == 50_010
        assert exchange.asked == 3


def test_redis_that_goes_away_while_one_waits_for_the_turn(own_redis: PrivateRedis, exchange: Exchange) -> None:
    first, second = Process(own_redis.url, exchange), Process(own_redis.url, exchange)
    with closing(first.shared), closing(second.shared):
        assert first.board.look(wants_turn=True).turn is not None  # type: ignore[union-attr]
        second.on_pause = own_redis.kill
        assert second.price() == Decimal("50000.5")
        assert second.pauses == 1
