"""The endpoints of the account and those that need no signature."""

from __future__ import annotations

from axisor_paper_exchange.engine.rules import MAX_QUANTITY, MIN_QUANTITY
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.shapes import account_json, number, price_json

__all__ = ["routes"]

_FUNDING_PERIOD = 8 * 3_600_000


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
            "fundingTime": iso((call.at // _FUNDING_PERIOD + 1) * _FUNDING_PERIOD),
            "prices": [
                {
                    "askPrice": price_json(market.ask),
                    "bidPrice": price_json(market.bid),
                    "minSize": MIN_QUANTITY,
                    "maxSize": MAX_QUANTITY,
                }
            ],
            "priceChange24h": {"ratio": 0, "updatedAt": at},
            "exchangesWeights": {"bybit": 0.4, "binance": 0.4, "okx": 0.2},
        }
    )


def account(call: Call) -> Answer:
    """Return the account that asks."""
    return ok(account_json(call.account))


routes: Routes = {
    ("GET", "/ping"): Route(ping, private=False),
    ("GET", "/time"): Route(time, private=False),
    ("GET", "/futures/ticker"): Route(ticker, private=False),
    ("GET", "/account"): Route(account),
}
