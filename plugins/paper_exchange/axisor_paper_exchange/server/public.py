"""Ping, time, ticker and the account itself."""

from __future__ import annotations

from axisor_paper_exchange.engine.rules import MAX_QUANTITY, MIN_QUANTITY
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.shapes import account_json, number, price_json

__all__ = ["routes"]

_DAY = 86_400_000
_RATIO_DIGITS = 6


def ping(_: Call) -> Answer:
    """Answer "pong"."""
    return ok("pong")


def time(call: Call) -> Answer:
    """Return the server's time."""
    return ok({"time": iso(call.world.clock.now())})


def ticker(call: Call) -> Answer:
    """Return last price, bid and ask, and how old they are."""
    market = call.exchange.market
    at = iso(call.world.ticker_time())
    last = price_json(market.last)
    return ok(
        {
            "time": at,
            "index": last,
            "lastPrice": last,
            "fundingRate": number(call.world.settings.funding_rate),
            "fundingTime": iso(_funding_time(call)),
            "prices": [
                {
                    "askPrice": price_json(market.ask),
                    "bidPrice": price_json(market.bid),
                    "minSize": MIN_QUANTITY,
                    "maxSize": MAX_QUANTITY,
                }
            ],
            "priceChange24h": {"ratio": _change(call), "updatedAt": at},
            "exchangesWeights": {"bybit": 0.4, "binance": 0.4, "okx": 0.2},
        }
    )


def account(call: Call) -> Answer:
    """Return the account that asks."""
    return ok(account_json(call.account))


def _funding_time(call: Call) -> int:
    """Return when funding is settled next, on the exchange's clock."""
    world = call.world
    return call.at + round(world.market_time.until(world.feed.funding) * 1000)


def _change(call: Call) -> float:
    """Return the price's relative change over 24 hours, or since the beginning where that is later."""
    before = call.world.candles.price_at(call.at - _DAY)
    return round(call.exchange.market.last / before - 1, _RATIO_DIGITS)


routes: Routes = {
    ("GET", "/ping"): Route(ping, private=False),
    ("GET", "/time"): Route(time, private=False),
    ("GET", "/futures/ticker"): Route(ticker, private=False),
    ("GET", "/account"): Route(account),
}
