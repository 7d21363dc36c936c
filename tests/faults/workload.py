"""The jobs of a storm: of all kinds, over several accounts, each on a trade of its own, with what it is meant to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

from axisor_executor import api
from axisor_executor.errors import StorageError
from axisor_executor.exchange.base import NewTrade
from tests.harness.cross import Owner
from tests.harness.world import Account, World

OPENED_AT, PRICE = 50_000, 49_700  # between them every long is 6 percent of the way to its liquidation
USERS = ("user123", "user456", "user789")
ISOLATED_KINDS = (
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
CROSS_KINDS = ("trim_cross", "reduce_cross", "close_cross", "close_cross")  # two that close the same one
ALL_KINDS = ISOLATED_KINDS + CROSS_KINDS
HELD, HELD_FOR_MANY = 1_000, 20_000
"""USD in the cross position of an account that is there for one job (or two rivals), and in that for many."""

Wanted = tuple[str, str | None]
"""An effect that a job is to have: its kind, and the trade (``None``: a new one) or what of the cross position."""


def of_cross(position_id: str, quantity: int) -> str:
    """Return how an effect names that it took ``quantity`` USD of the cross position."""
    return f"{quantity} USD of {position_id}"


@dataclass
class Intent:
    """A job, and all that it may ever do to the exchange.

    ``takes``: how many USD of its account's cross position. ``rivalled``: another job is after the very same effect;
    one has it, and the other must find that there is nothing left to do.
    """

    kind: str
    account: Account
    automation_id: str
    trade_id: str | None
    effects: tuple[Wanted, ...]
    execution_id: str = ""
    takes: int = 0
    rivalled: bool = False


class Workload:
    """Accounts of several users, and jobs on them.

    Args:
        world: where.
        count: how many accounts.
    """

    def __init__(self, world: World, count: int = 6, *, prefix: str = "Account") -> None:
        self.world = world
        self.prefix = prefix
        self.hands: dict[str, Owner] = {}
        """Account -> its owner, who uses the exchange by themselves."""
        self.keys_by_hand: set[str] = set()
        """The owners' keys. The executor has none of them, so that its requests are told apart whenever it sends."""
        self.accounts = [self._account() for _ in range(count)]
        self.intents: list[Intent] = []
        self._trims = itertools.count(1)
        self._positions: dict[str, str] = {}
        self._rival: Intent | None = None

    def _account(self) -> Account:
        number = len(self.hands)
        made = self.world.account(USERS[number % len(USERS)], f"{self.prefix} {number}", balance=100_000_000)
        keys = self.world.paper.add_keys(made.paper)
        self.keys_by_hand.add(keys.key)
        self.hands[made.id] = Owner(self.world, replace(made, paper=keys))
        return made

    def prepare(self, jobs: int, kinds: Sequence[str] = ALL_KINDS) -> list[Intent]:
        """Make ``jobs`` jobs over all accounts, with their trades and automations; nothing is enqueued."""
        self.world.move_price(OPENED_AT)
        made = list(itertools.islice(self._jobs(kinds), jobs))
        self.world.move_price(PRICE)
        self.intents += made
        return made

    def _jobs(self, kinds: Sequence[str]) -> Iterator[Intent]:
        for turn in itertools.count():
            for number, kind in enumerate(kinds):  # with every turn on the next account: each gets every kind
                yield self.job(kind, self.accounts[(number * 5 + turn) % len(self.accounts)])

    def job(self, kind: str, account: Account) -> Intent:
        """Make one job with all that it needs; those on a cross position have accounts chosen for them."""
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
            case "trim_cross":
                return self._trim_cross()
            case "reduce_cross":
                config = {"action": "reduce_position", "reduce_percentage": 40}
                return self._guard_cross(kind, self._account(), config, "cross_order", HELD * 40 // 100)
            case "close_cross":
                return self._close_cross()
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

    def _trim_cross(self) -> Intent:
        """One of many on one position, each with a quantity of its own: in any order they add up to the same."""
        account, quantity = self.accounts[0], next(self._trims)
        effect = ("cross_order", of_cross(self._position(account, HELD_FOR_MANY), quantity))
        made = self._intent("trim_cross", account, "desk", {"action": "trim_cross", "quantity": quantity}, None, effect)
        made.takes = quantity
        return made

    def _close_cross(self) -> Intent:
        """Two jobs, one after the other, are to close the same position."""
        first, account = self._rival, self._rival.account if self._rival else self._account()
        made = self._guard_cross("close_cross", account, {"action": "close_position"}, "cross_close", HELD)
        if first is None:
            self._rival = made
        else:
            first.rivalled = made.rivalled = True
            self._rival = None
        return made

    def _guard_cross(self, kind: str, account: Account, config: dict[str, Any], effect: str, quantity: int) -> Intent:
        wanted = (effect, of_cross(self._position(account, HELD), quantity))
        made = self._intent(kind, account, "margin_guard", {"margin_mode": "cross", **config}, None, wanted)
        made.takes = quantity
        return made

    def _position(self, account: Account, held: int) -> str:
        """Return the id of the account's cross position, which its owner opens before the first job on it."""
        if account.id not in self._positions:
            self._positions[account.id] = self.hands[account.id].hold(held, wallet=held * 500)
        return self._positions[account.id]

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
        order = NewTrade("market" if price is None else "limit", "buy", 100, Decimal(10), price=price, **more)
        return self.hands[account.id].client.open_trade(order).value.id

    def enqueue(self, intent: Intent) -> None:
        """Take the job, as a scheduler would: once more, under the same key, while the database can't be written."""
        more = {} if intent.trade_id is None else {"trade_id": intent.trade_id}
        job = self.world.job(intent.automation_id, user_id=intent.account.user_id, **more)
        key = uuid4().hex
        while not intent.execution_id:
            with suppress(StorageError):
                intent.execution_id = api.enqueue(job, idempotency_key=key)

    def all_over(self) -> bool:
        """Whether no execution is left that is not at its end."""
        with self.world.storage.connection():
            row = self.world.storage.one(
                "SELECT COUNT(*) FROM axisor_executions WHERE status IN ('queued', 'running', 'waiting')"
            )
        return row is not None and row[0] == 0
