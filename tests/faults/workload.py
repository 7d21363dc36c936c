"""The jobs of a storm: of all kinds, over several accounts, each on a trade of its own, with what it is meant to do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from axisor_executor import api
from axisor_executor.errors import StorageError
from axisor_executor.exchange.base import ExchangeClient, NewTrade
from axisor_executor.storage import accounts
from tests.harness.world import Account, World

OPENED_AT, PRICE = 50_000, 49_700  # between them every long is 6 percent of the way to its liquidation
ALL_KINDS = (
    "close",
    "reduce",
    "enter",
    "add_margin",
    "set_stoploss",
    "enter_limit",
    "reduce",
    "set_takeprofit",
    "close_tp",
    "cash_in",
    "cancel",
    "guard_all",
)

Wanted = tuple[str, str | None]
"""An effect that a job is to have: its kind, and the trade (``None``: a new one)."""


@dataclass
class Intent:
    """A job, and all that it may ever do to the exchange."""

    kind: str
    account: Account
    automation_id: str
    trade_id: str | None
    effects: tuple[Wanted, ...]
    execution_id: str = ""


@dataclass
class Hand:
    """What somebody did by hand, with the account's own keys: known by key and timestamp."""

    client: ExchangeClient
    signed: set[int] = field(default_factory=set)
    _last: int = 0

    def stamp(self) -> int:
        """Return a timestamp to sign with, and remember it."""
        self._last = max(time.time_ns() // 1_000_000, self._last + 1)
        self.signed.add(self._last)
        return self._last


class Workload:
    """Accounts of several users, and jobs on them.

    Args:
        world: where.
        count: how many accounts.
    """

    def __init__(self, world: World, count: int = 6, *, prefix: str = "Account") -> None:
        self.world = world
        users = ("user123", "user456", "user789")
        self.accounts = [
            world.account(users[number % len(users)], f"{prefix} {number}", balance=100_000_000)
            for number in range(count)
        ]
        self.hands = {account.id: self.hand(account) for account in self.accounts}
        self.intents: list[Intent] = []

    def hand(self, account: Account) -> Hand:
        """Return the account's owner, about to use the exchange by themselves."""
        with self.world.storage.connection():
            row = accounts.account(self.world.storage, account.id)
        assert row is not None
        return Hand(self.world.parts.opener.open(row, "by hand").client)

    def prepare(self, jobs: int, kinds: Sequence[str] = ALL_KINDS) -> list[Intent]:
        """Make ``jobs`` jobs over all accounts, with their trades and automations; nothing is enqueued."""
        self.world.move_price(OPENED_AT)
        made = list(itertools.islice(self._jobs(kinds), jobs))
        self.world.move_price(PRICE)
        self.intents += made
        return made

    def _jobs(self, kinds: Sequence[str]) -> Iterator[Intent]:
        for number in itertools.count():
            # The kinds and the accounts step on by numbers without a common divisor: every account gets every kind.
            yield self.job(
                kinds[number % len(kinds)], self.accounts[(number * 5 + number // len(kinds)) % len(self.accounts)]
            )

    def job(self, kind: str, account: Account) -> Intent:
        """Make one job with all that it needs."""
        match kind:
            case "enter":
                return self._intent(kind, account, "auto_entry", {"side": "b", "quantity": 10}, None, ("open", None))
            case "enter_limit":
                config = {"side": "b", "quantity": 10, "trigger_type": "limit", "trigger_price": 49_500}
                return self._intent(kind, account, "auto_entry", config, None, ("open", None))
            case "guard_all":
                return self._guard_all(account)
            case "cancel":
                order = self.trade(account, price=Decimal(48_000))
                return self._intent(kind, account, "desk", {"action": "cancel"}, order, ("cancel", order))
        trade = self.trade(account)
        match kind:
            case "close":
                config = {"action": "close_position"}
                return self._intent(kind, account, "margin_guard", config, trade, ("close", trade))
            case "reduce":
                config = {"action": "reduce_position", "reduce_percentage": 40}
                return self._intent(kind, account, "margin_guard", config, trade, ("close", trade), ("open", None))
            case "add_margin":
                config = {"action": "add_margin", "add_margin_amount": 1_234}
                return self._intent(kind, account, "margin_guard", config, trade, ("add_margin", trade))
            case "set_stoploss":
                config = {"action": "update_sl", "new_stoploss": 46_000}
                return self._intent(kind, account, "tp_sl", config, trade, ("set_stoploss", trade))
            case "set_takeprofit":
                config = {"action": "update_tp", "new_takeprofit": 61_000.5}
                return self._intent(kind, account, "tp_sl", config, trade, ("set_takeprofit", trade))
            case "close_tp":
                return self._intent(kind, account, "tp_sl", {"action": "close_tp"}, trade, ("close", trade))
            case "cash_in":
                config = {"action": "cash_in", "amount": 321}
                return self._intent(kind, account, "desk", config, trade, ("cash_in", trade))
        raise ValueError(kind)

    def _guard_all(self, account: Account) -> Intent:
        trades = [self.trade(account) for _ in range(3)]
        config = {
            "action": "reduce_position",
            "reduce_percentage": 50,
            "scope": "selected",
            "selected_positions": trades,
            "margin_threshold": 5,
        }
        wanted = [effect for trade in trades for effect in (("close", trade), ("open", None))]
        return self._intent("guard_all", account, "margin_guard", config, None, *wanted)

    def _intent(
        self,
        kind: str,
        account: Account,
        type: str,  # noqa: A002  the column's name
        config: dict[str, Any],
        trade_id: str | None,
        *effects: Wanted,
    ) -> Intent:
        automation = self.world.automation(account, type, config)
        return Intent(kind, account, automation, trade_id, effects)

    def trade(self, account: Account, *, price: Decimal | None = None, **more: Any) -> str:
        """Open a trade by hand (a limit order at ``price``) and return its id."""
        hand = self.hands[account.id]
        order = NewTrade("market" if price is None else "limit", "buy", 100, Decimal(10), price=price, **more)
        return hand.client.open_trade(order, timestamp_ms=hand.stamp()).value.id

    def enqueue(self, intent: Intent) -> None:
        """Take the job, as a scheduler would: once more, under the same key, while the database can't be written."""
        more = {} if intent.trade_id is None else {"trade_id": intent.trade_id}
        job = self.world.job(intent.automation_id, user_id=intent.account.user_id, **more)
        key = uuid4().hex
        while not intent.execution_id:
            with suppress(StorageError):
                intent.execution_id = api.enqueue(job, idempotency_key=key)

    @property
    def signed_by_hand(self) -> set[tuple[str, int]]:
        """(Key, timestamp) of everything that was done by hand."""
        return {(account.paper.key, stamp) for account in self.accounts for stamp in self.hands[account.id].signed}

    def all_over(self) -> bool:
        """Whether no execution is left that is not at its end."""
        with self.world.storage.connection():
            row = self.world.storage.one(
                "SELECT COUNT(*) FROM axisor_executions WHERE status IN ('queued', 'running', 'waiting')"
            )
        return row is not None and row[0] == 0
