"""The cross position in the hand of its owner, beside what the executor does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, NewCrossOrder
from axisor_executor.exchange.base import CrossOrder, CrossPosition
from axisor_executor.run import points
from tests.harness.world import Account, World

WALLET = 30_000
"""A long of 100 USD from 50 000 with it is liquidated at 43 573: at 90 percent of the way, the market is at 44 215."""


class Owner:
    """Uses an account as a person would, with the keys that it is given with, and trades on its cross position."""

    def __init__(self, world: World, account: Account) -> None:
        keys = account.paper
        credentials = SecureCredentials(keys.key, keys.secret, keys.passphrase)
        self.client = LNMarketsClient(ExchangeOptions("paper", world.paper.url), credentials)

    def hold(self, quantity: int, *, wallet: int = WALLET, leverage: int = 10) -> str:
        """Fill the wallet, open a position (USD, below 0 a short), and return the position's id."""
        self.client.deposit_cross(wallet)
        self.client.set_cross_leverage(Decimal(leverage))
        self.trade(quantity)
        return self.position().id

    def trade(self, quantity: int) -> CrossOrder:
        """Buy, or below 0 sell, at the market (USD)."""
        order = NewCrossOrder("market", "buy" if quantity > 0 else "sell", abs(quantity))
        return self.client.open_cross_order(order).value

    def close(self) -> CrossOrder:
        """Close the position."""
        return self.client.close_cross_position().value

    def position(self) -> CrossPosition:
        """Return the position."""
        return self.client.cross_position().value

    @property
    def held(self) -> int:
        """What the position holds (USD, below 0 a short)."""
        return self.position().quantity


@contextmanager
def at(point: str, act: Callable[[], Any]) -> Iterator[None]:
    """Do something when a run first reaches a point."""
    done = False

    def listener(reached: str) -> None:
        nonlocal done
        if reached == point and not done:
            done = True
            act()

    points.listeners.append(listener)
    try:
        yield
    finally:
        points.listeners.remove(listener)
    assert done
