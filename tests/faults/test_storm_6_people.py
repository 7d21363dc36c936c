"""Storm 6: people change things while jobs run: keys, bindings, the account's switch, stop losses and margins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from axisor_executor.errors import ExchangeError
from axisor_executor.exchange.base import ExchangeClient
from axisor_executor.storage.actions import LedgerAction
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import KIND_OF_PATH, Past, check, unchanged
from tests.faults.storming import burst, struck
from tests.faults.workload import ISOLATED_KINDS, Intent, Workload
from tests.harness.paper import PaperAccount
from tests.harness.world import Account, World

RISKY = ("enter", "enter_limit", "enter", "add_margin")
TOUCHED = ("set_stoploss", "set_takeprofit", "add_margin")


class People:
    """What users do meanwhile, and when exactly."""

    def __init__(self, world: World, work: Workload, past: Past) -> None:
        self.world = world
        self.work = work
        self.past = past
        self.done: Counter[str] = Counter()
        self.touched: dict[str, float] = {}
        """Trade -> when its owner has changed it (seconds since the epoch)."""
        self.switched_off: dict[str, datetime] = {}

    @contextmanager
    def _change(self, name: str, value: str) -> Iterator[None]:
        after = datetime.now(UTC)
        yield
        self.past.changed(name, value, after, datetime.now(UTC))

    def rotate(self, account: Account, keys: PaperAccount) -> None:
        """Put other keys into an account's row."""
        written = self.world.written(Account(account.id, account.user_id, account.name, keys))
        with self._change(account.id, keys.key):
            self._update("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", written, account.id)
        self.done["keys rotated"] += 1

    def new_key(self, account: Account) -> PaperAccount:
        """Get one more key for the same account from the exchange."""
        made = self.world.paper._call("POST", f"accounts/{account.paper.id}/keys", {})
        return PaperAccount(**{name: made[name] for name in PaperAccount.__dataclass_fields__})

    def rebind(self, intents: list[Intent], account: Account) -> None:
        """Bind the automations of these jobs to another account."""
        for intent in intents:
            self._rebind(intent, account)

    def _rebind(self, intent: Intent, account: Account) -> None:
        with self._change(intent.automation_id, account.id):
            self._update(
                'UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', account.id, intent.automation_id
            )
        self.done["automations re-bound"] += 1

    def switch_off(self, account: Account) -> None:
        """Deactivate an account."""
        self._update("UPDATE user_exchange_accounts SET is_active = ? WHERE id = ?", False, account.id)
        self.switched_off[account.id] = datetime.now(UTC)
        self.done["accounts deactivated"] += 1

    def _update(self, sql: str, *values: Any) -> None:
        with self.world.storage.write():
            assert self.world.storage.run(sql, *values) == 1

    def touch_what_was_lost(self, intents: list[Intent]) -> None:
        """Change every trade whose request the exchange has dropped: as its owner, who sees that nothing happened."""
        of_trade = {intent.trade_id: intent for intent in intents}
        by_hand = self.work.keys_by_hand
        for request in self.world.paper.requests(mutating=True):
            if request["fault"] not in ("drop_before", "drop_after") or request["key"] in by_hand:
                continue
            intent = next((of_trade[trade] for trade in of_trade if trade and trade in request["body"]), None)
            if intent is None or intent.trade_id is None or intent.trade_id in self.touched:
                continue
            self._by_hand(intent)
            self.touched[intent.trade_id] = time.time()
            self.done[f"{intent.kind} by hand"] += 1

    def _by_hand(self, intent: Intent) -> None:
        """Do it until it is done: the owner's requests are lost like all others."""
        assert intent.trade_id is not None
        done = False
        while not done:
            with suppress(ExchangeError):
                _touch(self.work.hands[intent.account.id].client, intent)
            done = any(
                row["effect"]
                for row in self.world.paper.requests(mutating=True)
                if row["key"] in self.work.keys_by_hand and intent.trade_id in row["body"]
            )


def _touch(client: ExchangeClient, intent: Intent) -> None:
    assert intent.trade_id is not None
    match intent.kind:
        case "set_stoploss":
            client.set_stoploss(intent.trade_id, Decimal(47_123))
        case "set_takeprofit":
            client.set_takeprofit(intent.trade_id, Decimal(70_001))
        case "add_margin":
            client.add_margin(intent.trade_id, 777)


def faults_on(world: World, account: Account, seed: int) -> None:
    """Lose half of what is asked for an account, before or after it was done."""
    for number, kind in enumerate(("drop_before", "drop_after")):
        world.paper.add_fault(kind, mutating=True, account=account.paper, rate=0.3, seed=seed + number)


def overwritten(world: World, people: People, by_hand: Collection[str]) -> list[str]:
    """Return requests that were sent again for a trade that its owner had changed since the first of them."""
    found: list[str] = []
    first: dict[tuple[str, str], float] = {}
    for request in world.paper.requests(mutating=True):
        if request["key"] in by_hand:
            continue
        for trade, touched_at in people.touched.items():
            if trade in request["body"]:
                kind = KIND_OF_PATH[request["method"], request["path"]]
                received = datetime.fromisoformat(request["receivedAt"]).timestamp()
                if first.setdefault((trade, kind), received) < touched_at < received:
                    found.append(f"{kind} of {trade}, changed by hand at {touched_at}: {request}")
    return found


@pytest.mark.timeout(1800)
def test_people_keep_the_last_word(world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures) -> None:
    work = Workload(world, 6)
    renewed, old, off, moved, new, touched = work.accounts
    assert old.user_id == new.user_id
    past = unchanged(world)
    people = People(world, work, past)
    share = max(6, fault_jobs // 5)

    def on(account: Account, kinds: tuple[str, ...]) -> list[Intent]:
        made = [work.job(kinds[number % len(kinds)], account) for number in range(share)]
        work.intents += made
        return made

    world.move_price(50_000)
    for_renewed = on(renewed, ISOLATED_KINDS)
    for_moved = on(moved, ("reduce", "enter", "close", "reduce", "set_stoploss"))
    for_off, for_old, for_touched = on(off, RISKY), on(old, ("close", "enter", "add_margin")), on(touched, TOUCHED)
    world.move_price(49_700)
    for intent in work.intents:
        past.always(intent.automation_id, intent.account.id)
    faults_on(world, moved, seed)
    faults_on(world, touched, seed + 2)
    # Reads are slow, so that much happens between a run's look at the rows and its request.
    world.paper.add_fault("latency", seconds=0.05, jitter=0.2, seed=seed)
    stranger = world.paper.create_account("somebody else", balance=100_000_000)

    turns: list[Callable[[], None]] = [
        lambda: people.rotate(renewed, people.new_key(renewed)),
        lambda: people.switch_off(off),
        lambda: people.rebind(for_old, new),
        lambda: people.rotate(moved, stranger),
        lambda: people.rotate(renewed, people.new_key(renewed)),
    ]
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        crew.order("kill", "between", 2)
        began = time.monotonic()
        mixed = [one for row in zip(for_renewed, for_moved, for_off, for_old, for_touched, strict=True) for one in row]
        burst(work, mixed, crew, lambda _: people.touch_what_was_lost(for_touched))
        while turns:
            crew.wait(crew.random.uniform(0.1, 0.5))
            turns.pop(0)()
            people.touch_what_was_lost(for_touched)
        while not work.all_over():
            crew.wait(0.1)
            people.touch_what_was_lost(for_touched)
            assert time.monotonic() - began < 60 + 2 * fault_jobs, crew.last_words()
        seconds = time.monotonic() - began

    def unknowable(action: LedgerAction) -> str | None:
        if action.account_id == moved.id:
            return "the account's key belongs to somebody else now, who can't see what became of it"
        if action.action.target in people.touched and type(action.action).__name__ == "AddMargin":
            return "the owner added margin by hand while the answer was lost: the sum fits neither outcome"
        return None

    by_hand = work.keys_by_hand
    # The stranger's account has none of the trades; an inactive one takes no entries.
    may_fail = {
        "trade_not_found",
        "account_inactive",
        "exchange_not_found",
        "exchange_rejected",
        "exchange_unavailable",
        "exchange_user_changed",
        "rebound",
        "account_changed",
    }
    tally = check(
        world, work.intents, by_hand=by_hand, past=past, interfered=True, may_fail=may_fail, may_be_uncertain=unknowable
    )
    again = overwritten(world, people, by_hand)
    entered = entries_while_off(world, work, people)
    figures.record(
        "6", "keys, bindings, switches and trades changed by people", world, tally,
        faults={**people.done, **struck(world.paper)}, seconds=seconds, overwritten_by_a_resend=len(again),
    )  # fmt: skip
    assert tally.problems == []
    assert again == []
    assert split_groups(world) == []
    assert entered == []


def entries_while_off(world: World, work: Workload, people: People) -> list[str]:
    """Return entries that were sent on an account after it was switched off."""
    found = []
    with world.storage.connection():
        for account_id, since in people.switched_off.items():
            rows = world.storage.rows(
                "SELECT execution_id, sent_at FROM axisor_actions WHERE account_id = ? AND kind = 'OpenPosition' "
                "AND sent_at > ?",
                account_id,
                since,
            )
            found += [f"execution {row[0]} entered at {row[1]}, its account is off since {since}" for row in rows]
    return found


def split_groups(world: World) -> list[str]:
    """Return the groups (a close and its reopen) that were sent for different users of the exchange."""
    with world.storage.connection():
        rows = world.storage.rows(
            "SELECT execution_id FROM axisor_actions WHERE sent_at IS NOT NULL "
            "GROUP BY execution_id, plan_version, group_index HAVING COUNT(DISTINCT exchange_user_id) > 1"
        )
    return [f"execution {row[0]} acted for two users of the exchange" for row in rows]
