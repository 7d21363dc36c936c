"""The control surface's market: the price, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from axisor_paper_exchange.engine import Fired
from axisor_paper_exchange.server import commands
from axisor_paper_exchange.server import control_bodies as bodies
from axisor_paper_exchange.server import control_market_bodies as market_bodies
from axisor_paper_exchange.server.answer import Answer, error, ok
from axisor_paper_exchange.server.clock import iso, system_time
from axisor_paper_exchange.server.control_route import ControlRoutes
from axisor_paper_exchange.server.fields import Fields
from axisor_paper_exchange.server.living import Living, skip, take_steps
from axisor_paper_exchange.server.market import Source, Walk
from axisor_paper_exchange.server.shapes import number, price_json
from axisor_paper_exchange.server.world import World

__all__ = ["MarketControl"]


class MarketControl:
    """`/paper/price` and `/paper/market` of one world."""

    def __init__(self, world: World, living: Living) -> None:
        self._world = world
        self._living = living
        self.routes: ControlRoutes = {
            ("GET", "price"): self.price,
            ("PUT", "price"): self.move_price,
            ("GET", "market"): self.market,
            ("PUT", "market"): self.change_market,
            ("POST", "market", "step"): self.step,
        }

    def price(self, _: Fields) -> Answer:
        """Return the last price."""
        return ok(self._price())

    def move_price(self, fields: Fields) -> Answer:
        """Move the last price and tell which trades that set off."""
        fields.only("price")
        fired = self._world.do(commands.move_price, at=self._world.clock.now(), price=bodies.price(fields))
        return ok({**self._price(), "triggered": _triggered(fired)})

    def market(self, _: Fields) -> Answer:
        """Return where prices come from, and where that is on its way."""
        return ok(self._market())

    def change_market(self, fields: Fields) -> Answer:
        """Replace the source of prices, or change its speed, or stop it, or let it go on."""
        world = self._world
        source, speed, paused = market_bodies.market(fields, world.feed)
        if source is None:
            world.do(commands.turn_market, speed=speed, paused=paused, market_time=world.market_time.now())
        else:
            world.do(commands.replace_market, source=source, speed=speed, paused=paused, market_time=system_time())
        self._living.changed.set()
        return ok(self._market())

    def step(self, fields: Fields) -> Answer:
        """Take steps at once, or let market time pass at once."""
        count, duration = market_bodies.steps(fields)
        if duration is None and self._world.feed.due is None:
            return error(409, "NO_STEPS", "The market's source has no further step")
        fired = take_steps(self._world, count) if duration is None else skip(self._world, duration)
        self._living.changed.set()
        return ok({**self._market(), "triggered": _triggered(fired)})

    def _price(self) -> dict[str, Any]:
        market = self._world.exchange.market
        return {
            "price": price_json(market.last),
            "bid": price_json(market.bid),
            "ask": price_json(market.ask),
            "updatedAt": iso(self._world.price_moved_at),
        }

    def _market(self) -> dict[str, Any]:
        world, feed = self._world, self._world.feed
        return {
            "source": feed.source.kind,
            **_options(feed.source),
            "speed": number(feed.speed),
            "paused": feed.paused,
            "steps": feed.position,
            "time": iso(world.market_time.now()),
            "nextStep": None if feed.due is None else iso(feed.due),
            "nextFunding": iso(feed.funding),
            "price": price_json(world.exchange.market.last),
        }


def _options(source: Source) -> dict[str, Any]:
    if isinstance(source, Walk):
        return {
            "volatility": number(source.volatility),
            "intervalSeconds": source.interval / 1000,
            "seed": source.seed,
        }
    return {}


def _triggered(fired: Iterable[Fired]) -> list[dict[str, Any]]:
    return [
        {
            "tradeId": row.trade.id,
            "accountId": row.trade.account.id,
            "what": row.what,
            "price": price_json(row.price),
        }
        for row in fired
    ]
