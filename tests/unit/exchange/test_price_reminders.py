"""The next price is asked for in time, whenever those come who want one: in waves, as they leave the exchange."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.exchange import SharedTicker
from tests.unit.exchange.test_prices import SPARE_SECONDS, Clock, Source

TAKES = 0.15
REUSE = 1.0


class Scene:
    """A ticker whose jobs run, and whose reminders come, when the test says so."""

    def __init__(self) -> None:
        self.clock, self.source = Clock(), Source()
        self.source.meanwhile = self.take_time
        self.asked_at: list[float] = []
        self.jobs: list[Callable[[], None]] = []
        self.reminders: list[tuple[float, Callable[[], None]]] = []
        self.ticker = SharedTicker(
            self.source, REUSE, in_background=self.jobs.append, remind=self.remind, clock=self.clock
        )

    def remind(self, seconds: float, job: Callable[[], None]) -> None:
        self.reminders.append((self.clock.now + seconds, job))

    def take_time(self) -> None:
        self.asked_at.append(self.clock.now)
        self.clock.now += TAKES

    def price(self) -> Decimal:
        return self.ticker.fresh_price(60)[0]

    def let_pass(self, until: float) -> None:
        """Let time pass, in which reminders come and what they begin is done; nobody asks."""
        while self.reminders and self.reminders[0][0] <= until:
            at, job = self.reminders.pop(0)
            self.clock.now = max(self.clock.now, at)
            job()
            while self.jobs:
                self.jobs.pop(0)()
        self.clock.now = max(self.clock.now, until)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_who_comes_in_waves_finds_a_price_that_serves(scene: Scene) -> None:
    scene.price()
    waits = []
    for wave in range(1, 40):
        scene.let_pass(100.0 + TAKES + 0.35 * wave)
        began = scene.clock.now
        for _ in range(30):
            scene.price()
        waits.append(scene.clock.now - began)
    assert max(waits[12:]) == 0, "how long a fetch takes is known from the fifth on"
    assert max(waits) <= TAKES
    between = [later - one for one, later in zip(scene.asked_at, scene.asked_at[1:], strict=False)]
    assert min(between) >= REUSE
    assert len(scene.asked_at) <= scene.clock.now - 100.0 + 1


def test_for_one_price_it_is_reminded_once_and_when_the_next_is_due(scene: Scene) -> None:
    scene.price()
    for _ in range(100):
        scene.price()
    ((at, _),) = scene.reminders
    assert at == pytest.approx(scene.clock.now + REUSE + SPARE_SECONDS - 2 * SPARE_SECONDS)


def test_a_price_that_served_nobody_else_is_followed_by_none(scene: Scene) -> None:
    scene.price()
    scene.let_pass(scene.clock.now + 100)
    assert (len(scene.asked_at), scene.reminders) == (1, [])
    scene.price()
    scene.price()
    scene.let_pass(scene.clock.now + 100)
    assert len(scene.asked_at) == 3, "one that somebody wants is followed by one, and that by none"


def test_a_reminder_of_one_that_is_gone_begins_nothing(scene: Scene) -> None:
    scene.price()
    scene.price()
    scene.ticker.forget()
    scene.price()
    scene.let_pass(scene.clock.now + 100)
    assert len(scene.asked_at) == 2


def test_where_there_is_no_thread_to_be_reminded_in_the_price_serves(scene: Scene, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(scene.ticker, "_remind", refuse)
    scene.price()
    assert [scene.price() for _ in range(3)] == [Decimal("50000.5")] * 3
