"""The market's life: taking the steps and the settlements that are due."""

from __future__ import annotations

import asyncio
import contextlib

from axisor_paper_exchange.engine import Fired
from axisor_paper_exchange.server import commands
from axisor_paper_exchange.server.market import Due
from axisor_paper_exchange.server.world import World

__all__ = ["MOST_EVENTS", "Living", "skip", "take_steps"]

MOST_EVENTS = 100_000
"""How many steps and settlements one request may bring about."""
_AT_ONCE = 64
"""How many are taken before requests get their turn."""


class Living:
    """Lets a world's market go on by itself; `changed` tells that it goes on otherwise than it was about to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Take steps and settlements as they fall due, until cancelled."""
        while True:
            self.changed.clear()
            if self._catch_up():
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self.changed.wait()

    def _catch_up(self) -> bool:
        """Take what is due, but not too much at once; tell whether there may be more."""
        world = self._world
        for _ in range(_AT_ONCE):
            due = world.feed.next()
            if world.feed.paused or due.time > world.market_time.now():
                return False
            _take(world, due)
        return True

    def _pause(self) -> float | None:
        """Return how many seconds it is to what is next, None when nothing is."""
        world = self._world
        return None if world.feed.paused else world.market_time.until(world.feed.next().time)


def take_steps(world: World, count: int) -> list[Fired]:
    """Take the next steps at once, and the settlements on the way; market time goes on from there."""
    fired: list[Fired] = []
    for _ in range(count):
        while (due := world.feed.next()).what == "funding" and world.feed.due is not None:
            fired += _take(world, due)
        if world.feed.due is None:
            break
        fired += _take(world, due)
    _go_on(world, world.feed.time)
    return fired


def skip(world: World, duration: int) -> list[Fired]:
    """Let `duration` milliseconds of market time pass at once, with what is due in them, up to `MOST_EVENTS`."""
    until = world.market_time.now() + duration
    fired: list[Fired] = []
    for _ in range(MOST_EVENTS):
        due = world.feed.next()
        if due.time > until:
            break
        fired += _take(world, due)
    _go_on(world, until)
    return fired


def _go_on(world: World, market_time: int) -> None:
    world.do(commands.turn_market, speed=world.feed.speed, paused=world.feed.paused, market_time=market_time)


def _take(world: World, due: Due) -> list[Fired]:
    at = world.clock.now()
    if due.what == "funding":
        rate = world.settings.funding_rate if world.settings.funding else None
        return world.do(commands.settle, at=at, rate=rate)
    feed = world.feed
    price = feed.source.price(feed.position, world.exchange.market.last)
    volume = feed.source.volume(feed.position)
    return world.do(commands.step, at=at, market_time=due.time, price=price, volume=volume)
