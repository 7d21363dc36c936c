"""The account context: everything a handler may know when it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Generic, Literal, Protocol, TypeVar

from axisor_executor.automation.actions import OpenPosition
from axisor_executor.errors import InvalidJob, NotFound, StaleData
from axisor_executor.exchange.base import CrossPosition, Trade

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """The resolved exchange account (no keys in it)."""

    id: str
    name: str
    user_id: str
    exchange: str
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class AutomationInfo:
    """The automation whose turn it is."""

    id: str
    type: str
    risk_level: str | None = None


@dataclass(frozen=True, slots=True)
class JobInfo:
    """The job as it applies here: ``action`` is one of the handler's, ``trade_id`` follows the lineage."""

    action: str
    trade_id: str | None = None


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """A trade that this automation has opened, or may have opened.

    Attributes:
        sent_at: when its request left.
        order: what was asked for.
        status: ``confirmed``, or ``sending`` or ``unknown`` while nobody knows whether it was opened.
        trade_id: the trade; ``None`` unless confirmed.
        price: where it was entered, or a limit order's price, in USD per BTC; ``None`` unless confirmed.
        margin: its margin in sats when it was opened; ``None`` unless confirmed.
    """

    sent_at: datetime
    order: OpenPosition
    status: Literal["sending", "unknown", "confirmed"]
    trade_id: str | None = None
    price: Decimal | None = None
    margin: int | None = None


class Reads(Protocol):
    """Where a context gets its facts from: read when asked for, once a run, and recorded with the plan."""

    def price(self) -> Decimal: ...
    def running(self) -> Sequence[Trade]: ...
    def open_orders(self) -> Sequence[Trade]: ...
    def finished(self, trade_id: str) -> Trade | None: ...
    def cross_position(self) -> CrossPosition: ...
    def balance(self) -> int: ...
    def own_trades(self) -> Sequence[Trade]: ...
    def own_entries(self, since: datetime) -> Sequence[OwnEntry]: ...
    def acted_on(self, since: datetime) -> Sequence[str]: ...
    def current_id(self, trade_id: str) -> str: ...
    def original_id(self, trade_id: str) -> str: ...


@dataclass(frozen=True)
class AccountContext(Generic[ConfigT]):
    """What a handler gets: account, automation, validated config, job, time, and lazily read facts.

    Every read may raise :class:`~axisor_executor.errors.StaleData` or
    :class:`~axisor_executor.errors.Unavailable`, and one of a trade that does not run
    :class:`~axisor_executor.errors.Held`, while a reduce that has closed it may still open its remainder; let them
    pass, the core retries the run. Do no I/O, keep no state
    and use no clock but :attr:`now`.
    """

    account: AccountInfo
    automation: AutomationInfo
    config: ConfigT
    job: JobInfo
    now: datetime
    reads: Reads

    def price(self) -> Decimal:
        """Return the last price in USD per BTC, not older than ``AXISOR_MAX_PRICE_AGE_SECONDS``.

        Raises:
            StaleData: it is too old, missing or not positive.
        """
        price = self.reads.price()
        if price <= 0:
            raise StaleData(f"the last price is not positive: {price}", code="price_invalid")
        return price

    def balance(self) -> int:
        """Return the free balance in sats."""
        return self.reads.balance()

    def running_trades(self) -> tuple[Trade, ...]:
        """Return the account's running trades, oldest first."""
        return tuple(sorted(self.reads.running(), key=lambda trade: (trade.created_at, trade.id)))

    def open_orders(self) -> tuple[Trade, ...]:
        """Return the account's limit orders that are not filled yet, oldest first."""
        return tuple(sorted(self.reads.open_orders(), key=lambda trade: (trade.created_at, trade.id)))

    def cross_position(self) -> CrossPosition:
        """Return the account's one cross position; a ``quantity`` of 0 where it holds nothing."""
        return self.reads.cross_position()

    def own_trades(self) -> tuple[Trade, ...]:
        """Return the running trades and open orders that this automation opened (and what replaced them)."""
        return tuple(self.reads.own_trades())

    def own_entries(self, since: datetime) -> tuple[OwnEntry, ...]:
        """Return what this automation has opened on the account since then, or may have opened, newest first.

        The remainder of a reduce is no entry. Those that are not known yet (``sending``, ``unknown``) are in it: a
        budget counts them as spent.

        Raises:
            ValueError: ``since`` is no datetime with a time zone.
        """
        if not isinstance(since, datetime) or since.utcoffset() is None:
            raise ValueError(f"since must be a datetime with a time zone, got {since!r}")
        return tuple(self.reads.own_entries(since))

    def cooling_down(self) -> frozenset[str]:
        """Return the ids of the trades that the config's ``cooldown_seconds`` holds back now.

        The core leaves them alone whatever is decided. Ask where a decision reserves money for one trade that another
        goes without, or refuses: what waits anyway needs none, and fails for nothing.
        """
        seconds = getattr(self.config, "cooldown_seconds", None)
        return frozenset(() if seconds is None else self.reads.acted_on(self.now - timedelta(seconds=seconds)))

    def current_id(self, trade_id: str) -> str:
        """Return the id of the trade that ``trade_id`` has become (itself where nothing replaced it)."""
        return self.reads.current_id(trade_id)

    def original_trade(self, trade: Trade) -> Trade:
        """Return the trade that ``trade`` began as, before any reduce, as it was when that closed it.

        It is ``trade`` itself where it replaced none. The history is searched for it: ask only when it decides
        something.

        Raises:
            StaleData: the exchange does not show it any more (``original_trade_missing``).
        """
        original = self.reads.original_id(trade.id)
        if original == trade.id:
            return trade
        found = self.reads.finished(original)
        if found is None:
            raise StaleData(
                f"Trade {trade.id} began as {original}, which the exchange does not show", code="original_trade_missing"
            )
        return found

    def find_trade(self, trade_id: str) -> Trade | None:
        """Return the account's trade of this id in whatever state, following the lineage; ``None``: not there.

        Running trades are read first, open orders only for one that does not run, running ones anew for an order that
        was filled in between, and the history only for one that is neither: what can't be read further on never hides
        a running trade.
        """
        wanted = self.current_id(trade_id)
        for read in (self.reads.running, self.reads.open_orders, self.reads.running):
            for trade in read():
                if trade.id == wanted:
                    return trade
        return self.reads.finished(wanted)

    def finished_trade(self, trade_id: str) -> Trade | None:
        """Return the account's closed or canceled trade of this id, following the lineage; ``None``: not there.

        Many requests where the history is long: ask for it only when it decides something.
        """
        return self.reads.finished(self.current_id(trade_id))

    def trade(self) -> Trade:
        """Return the trade that the job names, running or not.

        Raises:
            InvalidJob: the job names no trade.
            NotFound: this account has no such trade (another account's trade looks just the same).
        """
        if self.job.trade_id is None:
            raise InvalidJob(f"{self.automation.type} {self.job.action} needs a tradeId", code="trade_id_missing")
        trade = self.find_trade(self.job.trade_id)
        if trade is None:
            raise NotFound(
                f"Trade {self.job.trade_id} not found on account {self.account.name}", code="trade_not_found"
            )
        return trade
