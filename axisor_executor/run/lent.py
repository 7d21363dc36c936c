"""What a handler reads through while it decides, and no longer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from axisor_executor.automation import OwnEntry, Reads
from axisor_executor.errors import AxisorError
from axisor_executor.exchange.base import CrossPosition, Trade

T = TypeVar("T")


class LentReads:
    """A run's reads, lent to a plugin for one decision.

    What they return can't be changed for whoever reads it next: records are frozen, and sequences are tuples of the
    plugin's own. What they raise is the core's, and passes through the plugin as it was. Once the decision is over they
    read nothing more: a handler that was given up comes back at its next read.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._raised: list[tuple[Exception, dict[str, Any]]] = []
        self._is_over = False
        self._is_reading = False

    def is_reading(self) -> bool:
        """Return whether a read is under way."""
        return self._is_reading

    def end(self) -> None:
        """Let nothing be read any more."""
        self._is_over = True

    def raised(self, error: BaseException) -> bool:
        """Return whether an error came out of a read; it is made what it was then, whatever was done to it since."""
        for one, was in self._raised:
            if one is error:
                vars(one).clear()
                vars(one).update(was)
                return True
        return False

    def price(self) -> Decimal:
        """Return the last price in USD."""
        return self._read(self._reads.price)

    def running(self) -> tuple[Trade, ...]:
        """Return the running trades."""
        return tuple(self._read(self._reads.running))

    def open_orders(self) -> tuple[Trade, ...]:
        """Return the limit orders that are not filled."""
        return tuple(self._read(self._reads.open_orders))

    def finished(self, trade_id: str) -> Trade | None:
        """Return a closed or canceled trade."""
        return self._read(lambda: self._reads.finished(trade_id))

    def cross_position(self) -> CrossPosition:
        """Return the account's cross position."""
        return self._read(self._reads.cross_position)

    def balance(self) -> int:
        """Return the free balance in sats."""
        return self._read(self._reads.balance)

    def own_trades(self) -> tuple[Trade, ...]:
        """Return the running trades and open orders that this automation opened."""
        return tuple(self._read(self._reads.own_trades))

    def own_entries(self, since: datetime) -> tuple[OwnEntry, ...]:
        """Return what this automation has opened since then, or may have opened."""
        return tuple(self._read(lambda: self._reads.own_entries(since)))

    def acted_on(self, since: datetime) -> tuple[str, ...]:
        """Return which trades this automation has acted on since then."""
        return tuple(self._read(lambda: self._reads.acted_on(since)))

    def current_id(self, trade_id: str) -> str:
        """Return the id that a trade has now."""
        return self._read(lambda: self._reads.current_id(trade_id))

    def original_id(self, trade_id: str) -> str:
        """Return the id that a trade had first."""
        return self._read(lambda: self._reads.original_id(trade_id))

    def _read(self, read: Callable[[], T]) -> T:
        if self._is_over:
            raise RuntimeError("the decision is over: nothing more is read for it")
        self._is_reading = True
        try:
            return read()
        except Exception as error:
            self._raised.append((error, _values(error)))
            raise
        finally:
            self._is_reading = False


def _values(error: Exception) -> dict[str, Any]:
    values = dict(vars(error))
    return {**values, "details": copy.deepcopy(error.details)} if isinstance(error, AxisorError) else values
