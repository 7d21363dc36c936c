"""Everything that a server is about: exchange, market, accounts, keys, journal, faults, settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from axisor_paper_exchange.engine import Account, Exchange
from axisor_paper_exchange.server.auth import Credentials
from axisor_paper_exchange.server.clock import Clock, system_time
from axisor_paper_exchange.server.faults import Faults
from axisor_paper_exchange.server.ids import Ids
from axisor_paper_exchange.server.journal import Journal
from axisor_paper_exchange.server.limits import RateLimits
from axisor_paper_exchange.server.market import Candles, Feed, MarketTime
from axisor_paper_exchange.server.opening import Opening
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.wallet import Wallet

__all__ = ["Recorder", "World"]

P = ParamSpec("P")
R = TypeVar("R")


class Recorder(Protocol):
    """Writes commands down before they are answered."""

    def write(self, command: str, arguments: dict[str, Any], ids: list[str]) -> None:
        """Write down a command that was carried out, with the ids that it drew."""


class World:
    """The state of one server. `do` changes it, the commands are in `commands.py`; the API's calls do by `calls.py`."""

    def __init__(self, start: Settings, journal_size: int, opening: Opening | None = None) -> None:
        self.start = start
        self.opening = opening or Opening()
        self.recorder: Recorder | None = None
        self.ids = Ids()
        self.clock = Clock()
        self._journal_size = journal_size
        self.reset(system_time())

    def do(self, command: Callable[Concatenate[World, P], R], /, *arguments: P.args, **named: P.kwargs) -> R:
        """Carry a command out, and write it down where that is asked for; the arguments have to be named."""
        assert not arguments
        self.ids.begin()
        result = command(self, *arguments, **named)
        if self.recorder is not None:
            self.recorder.write(command.__name__, dict(named), self.ids.drawn)
        return result

    def reset(self, now: int) -> None:
        """Forget accounts, trades, requests and faults; price, settings and market are those of the start again.

        `now` is the machine's time, where a market without a time of its own begins; milliseconds.
        """
        self.exchange = Exchange(price=self.start.price, new_id=self.ids)
        self.keys: dict[str, Credentials] = {}
        self.keys_of: dict[str, list[Credentials]] = {}
        self.wallets: dict[str, Wallet] = {}
        self.journal = Journal(self._journal_size)
        self.reserved = 0
        """Sequence numbers of requests up to here may be in use; where there is a recorder only."""
        self.faults = Faults()
        self.limits = RateLimits()
        self.apply(self.start)
        opening = self.opening
        self.run(Feed.starting(opening.source, now, speed=opening.speed, paused=opening.paused))
        self.price_moved_at = now + self.start.clock_offset
        self.candles = Candles(self.start.price, self.price_moved_at)

    def run(self, feed: Feed) -> None:
        """Let the market follow a feed, from the feed's time on."""
        self.feed = feed
        self.market_time = MarketTime(feed)

    def apply(self, settings: Settings) -> None:
        """Make settings effective; the price is not moved by them."""
        self.settings = settings
        self.clock.offset = settings.clock_offset
        self.exchange.fee_rate = settings.fee_rate
        self.exchange.market.spread = settings.spread
        self.exchange.crossing_limits_fill = settings.crossing_limits_fill

    def ticker_time(self) -> int:
        """Return the ticker's time in milliseconds since the epoch."""
        at = self.price_moved_at if self.settings.ticker_frozen else self.clock.now()
        return at - self.settings.ticker_age

    def account(self, account_id: str) -> Account | None:
        """Return an account, None when there is none of that id."""
        return self.exchange.accounts.get(account_id)

    def give_key(self, credentials: Credentials) -> None:
        """Make a key valid for its account."""
        self.keys[credentials.key] = credentials
        self.keys_of[credentials.account.id].append(credentials)

    def take_key(self, key: str) -> None:
        """Make a key invalid."""
        credentials = self.keys.pop(key)
        self.keys_of[credentials.account.id].remove(credentials)
