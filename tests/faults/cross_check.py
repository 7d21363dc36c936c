"""The cross positions after a storm, by the exchange's own lists: what was taken from each is what was meant, once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from axisor_executor.errors import ExchangeError
from axisor_executor.exchange.base import CrossOrder
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution
from tests.faults.workload import Intent, of_cross
from tests.harness.cross import Owner
from tests.harness.world import World

EFFECTS = ("cross_order", "cross_close")
_PATH = "/v3/futures/cross/"
_TRIES = 100

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """A cross position: the account that has it, what it holds (signed USD), its filled orders, oldest first."""

    id: str
    account_id: str
    held: int
    orders: tuple[CrossOrder, ...]


def read_positions(world: World) -> dict[str, Position]:
    """Return the cross position of every account that was asked to change one, by the account's key."""
    asked = {row["accountId"] for row in world.paper.requests(mutating=True) if row["path"].startswith(_PATH)}
    found = {}
    for account in world.accounts:
        if account.paper.id in asked:
            client = Owner(world, account).client
            position = _through(client.cross_position).value
            page = _through(client.cross_filled_orders).value
            assert page.next_cursor is None
            found[account.paper.key] = Position(position.id, account.id, position.quantity, page.items[::-1])
    return found


def named(effect: Row, positions: Iterable[Position]) -> Row:
    """Return an effect with what it took from which position in the place of its order's id."""
    if effect["kind"] not in EFFECTS:
        return effect
    for position in positions:
        for order in position.orders:
            if order.id == effect["tradeId"]:
                return effect | {"tradeId": of_cross(position.id, order.quantity), "orderId": order.id}
    raise AssertionError(f"no filled order of {effect}")


def check_positions(
    positions: Collection[Position], intents: Sequence[Intent], runs: Mapping[str, Execution], effects: Iterable[Row]
) -> list[str]:
    """Compare what each position holds with what its owner bought and what the completed jobs were to take.

    Everything of ours must have been sold at the market, and must never have turned the position. That what the jobs
    took adds up needs no ledger: only which of them are completed.
    """
    ours = {row["orderId"] for row in effects if row["kind"] in EFFECTS}
    taken: dict[str, dict[tuple[object, ...], int]] = defaultdict(dict)
    for intent in intents:
        if intent.takes and runs[intent.execution_id].status == "completed":
            once = (intent.effects if intent.rivalled else intent.execution_id,)
            taken[intent.account.id][once] = intent.takes
    problems = []
    for one in positions:
        meant = taken[one.account_id].values()
        bought = sum(_signed(order) for order in one.orders if order.id not in ours)
        sold = [order for order in one.orders if order.id in ours]
        what = f"the cross position {one.id}"
        if one.held != bought - sum(meant):
            problems.append(f"{what} holds {one.held} USD, of {bought} USD {sorted(meant)} were to be taken")
        if Counter(order.quantity for order in sold) != Counter(meant):
            problems.append(f"{what}: {[order.quantity for order in sold]} were taken, and not {sorted(meant)}")
        if any((order.type, order.side) != ("market", "sell") for order in sold):
            problems.append(f"{what} was changed by more than sales at the market: {sold}")
        if min(accumulate(map(_signed, one.orders)), default=0) < 0:
            problems.append(f"{what} was turned: {one.orders}")
    return problems


def check_rivals(
    intents: Iterable[Intent],
    runs: Mapping[str, Execution],
    actions: Iterable[LedgerAction],
    effects_of: Mapping[tuple[str, int], Sequence[Row]],
) -> tuple[int, int, list[str]]:
    """Return how many closes were doubled, how many were lost, and both in words.

    Of the jobs that are after the same close, one must have done it, and all others must say why they did nothing.
    Where the answers to two of them were lost, nobody can tell whose close it was: the exchange's order has no name.
    So the one that claims it needn't be the one whose request did it.
    """
    rivals: dict[tuple[object, ...], list[Intent]] = defaultdict(list)
    for intent in intents:
        if intent.rivalled:
            rivals[intent.effects].append(intent)
    ledger: dict[str, list[LedgerAction]] = defaultdict(list)
    for action in actions:
        ledger[action.execution_id].append(action)
    doubled, lost, problems = 0, 0, []
    for wanted, group in rivals.items():
        ended = [runs[intent.execution_id] for intent in group]
        had = [sum(len(effects_of.get((run.id, one.seq), ())) for one in ledger[run.id]) for run in ended]
        done = sum(had)
        claimed = [run for run in ended if run.status == "completed" and _last(ledger[run.id]) == "confirmed"]
        failed = [run for run in ended if run.status == "failed"]
        beaten = [run for run in ended if _is_beaten(run, ledger[run.id])]
        due = 0 if len(failed) == len(ended) else 1
        doubled += max(0, sum(map(bool, had)) - 1)  # one that did it twice is counted with its job
        lost += max(0, due - done)
        if not done == len(claimed) == due:
            problems.append(
                f"{wanted} happened {done} times, and {len(claimed)} of {_shown(ended)} say that they did it"
            )
        if len(claimed) + len(failed) + len(beaten) != len(ended):
            problems.append(f"{wanted}: some do not say why they did nothing: {_shown(ended)}")
    return doubled, lost, problems


def _is_beaten(run: Execution, own: Sequence[LedgerAction]) -> bool:
    """Whether it found nothing left to do: before it sent anything that counts, or by what it had sent."""
    nested = (run.result or {}).get("result") or {}
    if run.status == "pending":
        return nested.get("reason") == "no_cross_position" and all(one.status in ("planned", "rejected") for one in own)
    return run.status == "completed" and nested.get("alreadyClosed") is True and _last(own) == "superseded"


def _last(own: Sequence[LedgerAction]) -> str | None:
    return own[-1].status if own else None


def _shown(runs: Sequence[Execution]) -> list[tuple[str, str, Any]]:
    return [(run.id, run.status, run.result) for run in runs]


def _signed(order: CrossOrder) -> int:
    return order.quantity if order.side == "buy" else -order.quantity


def _through(read: Callable[[], T]) -> T:
    """Read what the storm's faults may still refuse."""
    for _ in range(_TRIES):
        try:
            return read()
        except ExchangeError as error:
            last = error
    raise last
