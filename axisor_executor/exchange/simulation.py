"""A simulated exchange inside this process, whose time and price the caller moves: for backtests and plugins' tests.

The core defines what it must offer; a plugin brings one (``axisor_register_simulations``), the paper exchange for the
slug ``paper``. Units as in :mod:`.base`. One caller at a time: a simulation is not shared between threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from axisor_executor.exchange.base import FEE_RATE, Answer, CrossOrder, CrossPosition, ExchangeClient, Trade

What = Literal["filled", "takeprofit", "stoploss", "liquidation", "canceled"]


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """How a simulation begins: its time (aware), its last price and spread in USD, the trading fee as a factor.

    The same ``seed`` gives the same ids: the same calls then make the same simulation, down to the last byte.
    """

    at: datetime
    price: Decimal
    spread: Decimal = Decimal(0)
    fee_rate: Decimal = FEE_RATE
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fired:
    """Something that the market did to an account: no call of its client brought it about.

    ``id`` is the isolated trade's or, where ``is_cross``, the cross order's; ``price`` the one it happened at.
    """

    account: str
    what: What
    id: str
    price: Decimal
    is_cross: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """An account's money in whole sats, isolated trades and cross position together.

    ``equity`` is all that it would own if the last price were final: the free ``balance``, what is held for trades
    and in the cross wallet, and P&L that is not realised; fees of closing are not taken off. ``fees`` and ``funding``
    are what was paid so far (``funding`` below 0: received); margin and reserves count when they become a fee.
    """

    deposited: int
    balance: int
    equity: int
    fees: int
    funding: int

    @property
    def pl(self) -> int:
        """What the account has gained or lost by everything: trades, fees and funding."""
        return self.equity - self.deposited


class Exposure(NamedTuple):
    """What an account holds on either side of the market, in whole USD; both 0: it is not at risk."""

    long: int
    short: int


class SimulatedClient(ExchangeClient, Protocol):
    """A client of a simulation: what any exchange has, and what an account needs before it can hold a cross position.

    ``timestamp_ms`` is checked by nobody: nothing is signed, and calls happen at the simulated time.
    """

    def deposit_cross(self, amount: int, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Move ``amount`` sats from the balance into the cross wallet."""

    def set_cross_leverage(self, leverage: Decimal, *, timestamp_ms: int | None = None) -> Answer[CrossPosition]:
        """Set the cross position's leverage: whole, 1 to 100."""


class Simulation(Protocol):
    """An exchange in this process. Accounts are known by the names that they were added with."""

    @property
    def now(self) -> datetime:
        """The simulated time, in UTC: every answer's ``server_time``."""

    @property
    def price(self) -> Decimal:
        """The last price in USD."""

    def add_account(self, name: str, *, balance: int) -> None:
        """Open an account with ``balance`` sats.

        Raises:
            ValueError: the name is taken, or the balance is below 0.
        """

    def client(self, name: str) -> SimulatedClient:
        """Return the client of an account: what it refuses, it refuses as a client over HTTP does.

        Raises:
            KeyError: there is no such account.
        """

    def move(self, at: datetime, price: Decimal) -> Sequence[Fired]:
        """Let time go on to ``at`` and the price move to ``price``, setting off all that lies on the way.

        Limit orders, stop losses, take profits and liquidations happen at their own prices, the nearest first: the
        way from the price before is taken for unbroken.

        Raises:
            ValueError: ``at`` lies before :attr:`now`, or the price is none that the exchange has (steps of 0.5).
        """

    def settle_funding(self, rate: Decimal) -> Sequence[Fired]:
        """Settle funding now, at the last price: longs pay ``rate`` (a factor) of their worth, shorts receive it."""

    def trade(self, name: str, trade_id: str) -> Trade | None:
        """Return an account's isolated trade in whatever state, ``None`` where it has none of this id."""

    def trades(self, name: str) -> Sequence[Trade]:
        """Return all isolated trades of an account in whatever state, the oldest first."""

    def cross_orders(self, name: str) -> Sequence[CrossOrder]:
        """Return all orders on the cross position of an account in whatever state, the oldest first."""

    def books(self, name: str) -> Books:
        """Return an account's money."""

    def equity(self, name: str) -> int:
        """Return :attr:`Books.equity` alone, quickly."""

    def exposure(self, name: str) -> Exposure:
        """Return how much an account holds on each side: running trades and the cross position."""

    def audit(self) -> Sequence[str]:
        """Return what does not add up in the books of all accounts, as sentences: nothing, or it is a bug."""


SimulationFactory = Callable[[SimulationOptions], Simulation]
"""Makes a new simulation."""
