"""Everything that `/paper/reset` puts back to the start: exchange, accounts, journal, faults, settings."""

from __future__ import annotations

import secrets
from uuid import uuid4

from axisor_paper_exchange.engine import Account, Exchange, Fired
from axisor_paper_exchange.server.auth import Credentials
from axisor_paper_exchange.server.clock import Clock
from axisor_paper_exchange.server.faults import Faults
from axisor_paper_exchange.server.journal import Journal
from axisor_paper_exchange.server.limits import RateLimits
from axisor_paper_exchange.server.settings import Settings

__all__ = ["World"]


class World:
    """The state of one server."""

    def __init__(self, start: Settings, journal_size: int) -> None:
        self._start = start
        self._journal_size = journal_size
        self.clock = Clock()
        self.reset()

    def reset(self) -> None:
        """Forget all accounts, trades, requests and faults; price and settings are the start values again."""
        self.exchange = Exchange(price=self._start.price, new_id=lambda: str(uuid4()))
        self.keys: dict[str, Credentials] = {}
        self.credentials: dict[str, Credentials] = {}
        self.journal = Journal(self._journal_size)
        self.faults = Faults()
        self.limits = RateLimits()
        self.apply(self._start)
        self.price_moved_at = self.clock.now()

    def apply(self, settings: Settings) -> None:
        """Make settings effective; the price is not moved by them."""
        self.settings = settings
        self.clock.offset = settings.clock_offset
        self.exchange.fee_rate = settings.fee_rate
        self.exchange.market.spread = settings.spread
        self.exchange.crossing_limits_fill = settings.crossing_limits_fill

    def move_price(self, price: int) -> list[Fired]:
        """Move the last price (ticks) and set off what lies on the way."""
        self.price_moved_at = self.clock.now()
        return self.exchange.move_price(price, self.price_moved_at)

    def ticker_time(self) -> int:
        """Return the ticker's time in milliseconds since the epoch."""
        at = self.price_moved_at if self.settings.ticker_frozen else self.clock.now()
        return at - self.settings.ticker_age

    def open_account(
        self,
        *,
        username: str | None,
        balance: int,
        key: str | None,
        secret: str | None,
        passphrase: str | None,
    ) -> Credentials:
        """Open an account; what is not given is made up. Raises `ValueError` when the key is taken."""
        key = key or secrets.token_urlsafe(24)
        if key in self.keys:
            raise ValueError("key is taken")
        name = username or f"paper{len(self.keys) + 1}"
        account = self.exchange.open_account(name, balance, self.clock.now())
        credentials = self._give_key(account, key, secret, passphrase)
        self.credentials[account.id] = credentials
        return credentials

    def add_key(self, account_id: str) -> Credentials:
        """Give an account one more key; those that it has stay valid.

        Raises `KeyError` when there is no such account.
        """
        account = self.credentials[account_id].account
        return self._give_key(account, secrets.token_urlsafe(24), None, None)

    def _give_key(self, account: Account, key: str, secret: str | None, passphrase: str | None) -> Credentials:
        made = Credentials(account, key, secret or secrets.token_urlsafe(32), passphrase or secrets.token_urlsafe(12))
        self.keys[key] = made
        return made
