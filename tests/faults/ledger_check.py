"""The comparison behind every number: what the exchange did, one for one, against what the ledger says and was asked.

``check`` returns a tally with every discrepancy in words. A storm passes when there is none.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from axisor_executor.storage import actions, executions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import TERMINAL, Execution
from tests.faults import cross_check
from tests.faults.workload import Intent
from tests.harness.world import World

KIND_OF_PATH = {
    ("POST", "/v3/futures/isolated/trade"): "OpenPosition",
    ("POST", "/v3/futures/isolated/trade/close"): "ClosePosition",
    ("POST", "/v3/futures/isolated/trade/cancel"): "CancelOrder",
    ("POST", "/v3/futures/isolated/trade/add-margin"): "AddMargin",
    ("POST", "/v3/futures/isolated/trade/cash-in"): "CashIn",
    ("PUT", "/v3/futures/isolated/trade/takeprofit"): "SetTakeProfit",
    ("PUT", "/v3/futures/isolated/trade/stoploss"): "SetStopLoss",
    ("POST", "/v3/futures/cross/order"): "ReduceCrossPosition",
    ("POST", "/v3/futures/cross/position/close"): "CloseCrossPosition",
}
NOT_PROCESSED = (429, 503)
_CLOCK_STEP = timedelta(milliseconds=2)

Row = dict[str, Any]


@dataclass
class Tally:
    """What came of a storm. ``problems``: everything that must not be, in words."""

    jobs: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    effects: int = 0
    doubled: int = 0
    lost: int = 0
    wrong_account: int = 0
    uncertain: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        why = f" ({dict(self.failures)})" if self.failures else ""
        return (
            f"{self.jobs} jobs: {shown}{why}; {self.requests} requests, {self.effects} effects; "
            f"{self.doubled} doubled, {self.lost} lost, {self.wrong_account} on a wrong account, "
            f"{len(self.uncertain)} uncertain"
        )


_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Past:
    """What was true at which time: the key of each account, and the account of each automation.

    A change is known to have happened between two instants; within them both is right.
    """

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)

    def always(self, name: str, value: str) -> None:
        """Say what was so from the beginning."""
        self._known[name].append((*_ALWAYS, value))

    def changed(self, name: str, value: str, after: datetime, before: datetime) -> None:
        """Say that ``name`` became ``value`` between two instants."""
        since, _, old = self._known[name].pop()
        self._known[name] += [(since, before, old), (after, _ALWAYS[1], value)]

    def could_be(self, name: str, at: datetime) -> set[str]:
        """Return what ``name`` may have been at an instant; nothing where it is not known at all."""
        return {value for since, until, value in self._known.get(name, ()) if since <= at <= until}

    def knows(self, name: str) -> bool:
        """Whether anything is known of it."""
        return name in self._known


@dataclass(frozen=True)
class Books:
    """Both sides, read once after a storm."""

    executions: dict[str, Execution]
    actions: list[LedgerAction]
    requests: list[Row]
    effects: list[Row]
    past: Past
    trade_log: Counter[str]
    positions: dict[str, cross_check.Position]
    """The cross positions, by the key of their account."""


def check(
    world: World,
    intents: Sequence[Intent],
    *,
    by_hand: Collection[str] = (),
    may_fail: Collection[str] = (),
    may_be_uncertain: Callable[[LedgerAction], str | None] = lambda _: None,
    interfered: bool = False,
    past: Past | None = None,
) -> Tally:
    """Compare everything, and return what was found.

    Args:
        world: both sides.
        intents: every job that was taken.
        by_hand: keys that are not the executor's: what was signed with them is left out.
        may_fail: codes of errors that the storm's faults explain.
        may_be_uncertain: why an action's outcome can't be known (in words), or ``None``.
        interfered: somebody changed trades by hand, so an action may be superseded.
        past: keys of accounts and accounts of automations that have changed; the world's as they are if left out.
    """
    books = _read(world, by_hand, past or unchanged(world))
    tally = Tally(jobs=len(intents), requests=len(books.requests), effects=len(books.effects))
    effects_of = _match(books, tally)
    rivals = {intent.execution_id for intent in intents if intent.rivalled}
    _check_actions(books, effects_of, rivals, tally, interfered=interfered)
    for intent in intents:
        _check_job(intent, books, effects_of, tally, may_fail, may_be_uncertain, interfered=interfered)
    _check_trade_log(intents, books, tally)
    known = {intent.execution_id for intent in intents}
    tally.problems += [f"execution {one} belongs to no job" for one in books.executions if one not in known]
    if all(one in books.executions and books.executions[one].is_over for one in known):
        _check_cross(books, intents, effects_of, tally)
    tally.problems += [f"the exchange's own books: {problem}" for problem in world.paper.audit()]
    return tally


def unchanged(world: World) -> Past:
    """Return the past of a world in which no key has changed."""
    past = Past()
    for account in world.accounts:
        past.always(account.id, account.paper.key)
    return past


def _read(world: World, by_hand: Collection[str], past: Past) -> Books:
    storage = world.storage
    with storage.connection():
        ids = [row[0] for row in storage.rows("SELECT id FROM axisor_executions ORDER BY id")]
        found = {one: executions.get(storage, one) for one in ids}
        listed = [action for one in ids for action in actions.of(storage, one)]
        logged = Counter(
            {
                str(row[0]): int(row[1])
                for row in storage.rows('SELECT automation_id, COUNT(*) FROM "TradeLog" GROUP BY automation_id')
            }
        )
    requests = [row for row in world.paper.requests(mutating=True) if row["key"] not in by_hand]
    ours = {row["seq"] for row in requests}
    positions = cross_check.read_positions(world)
    return Books(
        executions={one: row for one, row in found.items() if row is not None},
        actions=listed,
        requests=requests,
        effects=[
            cross_check.named(row, positions.values()) for row in world.paper.effects() if row["requestSeq"] in ours
        ],
        past=past,
        trade_log=logged,
        positions=positions,
    )


def _match(books: Books, tally: Tally) -> dict[tuple[str, int], list[Row]]:
    """Find the action of each request and of each effect; what has none, or a strange one, is a problem."""
    by_stamp: dict[tuple[str, int], list[LedgerAction]] = defaultdict(list)
    by_target: dict[tuple[str, str], list[LedgerAction]] = defaultdict(list)
    for action in books.actions:
        kind = type(action.action).__name__
        if action.timestamp_ms is not None:
            by_stamp[kind, action.timestamp_ms].append(action)
        by_target[kind, _name(action)].append(action)
    found: dict[int, LedgerAction] = {}
    for request in books.requests:
        kind = KIND_OF_PATH.get((request["method"], request["path"]), "")
        name = _named_in(request, books)
        named = by_target.get((kind, name), [])
        stamped = [one for one in by_stamp.get((kind, int(request["timestamp"])), []) if one in named]
        what = f"request {request['seq']} ({kind} of {name}, signed {request['timestamp']})"
        if not named:
            tally.problems.append(f"{what} reached the exchange and is in no row of the ledger")
            continue
        for one in stamped or named[-1:]:
            _check_keys(books.past, one, request, what, tally)
        if not stamped:
            if request["status"] not in NOT_PROCESSED or request["outcome"] is not None:
                tally.problems.append(f"{what} was received, but no action was recorded with this timestamp")
            continue
        action = stamped[0]
        if action.sent_at is None or action.sent_at > _instant(request["receivedAt"]) + _CLOCK_STEP:
            tally.problems.append(f"{what} was received at {request['receivedAt']}, before it was recorded")
        if request["seq"] in found:
            tally.problems.append(f"{what} was sent twice")
        found[request["seq"]] = action
    effects_of: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for effect in books.effects:
        owner = found.get(effect["requestSeq"])
        if owner is None:
            tally.problems.append(f"effect {effect} has no action in the ledger")
            continue
        effects_of[owner.execution_id, owner.seq].append(effect)
    return effects_of


def _check_keys(past: Past, action: LedgerAction, request: Row, what: str, tally: Tally) -> None:
    """The key must be that of the action's account, and the account that of its automation, when it was sent."""
    at = action.sent_at or _instant(request["receivedAt"])
    if request["key"] not in past.could_be(action.account_id, at):
        tally.wrong_account += 1
        tally.problems.append(
            f"{what} of {at} was signed with a key that account {action.account_id} did not have then"
        )
    if past.knows(action.automation_id) and action.account_id not in past.could_be(action.automation_id, at):
        tally.wrong_account += 1
        tally.problems.append(
            f"{what} of {at} was sent for automation {action.automation_id}, not bound to {action.account_id} then"
        )


def _check_actions(
    books: Books, effects_of: dict[tuple[str, int], list[Row]], rivals: set[str], tally: Tally, *, interfered: bool
) -> None:
    for action in books.actions:
        had = len(effects_of.get((action.execution_id, action.seq), ()))
        what = f"{type(action.action).__name__} {action.seq} of execution {action.execution_id} is {action.status}"
        if had > 1:
            tally.problems.append(f"{what} and took effect {had} times")
        if action.execution_id in rivals and action.status in ("confirmed", "superseded"):
            continue  # who of them did it is compared for all of them together
        if action.status == "confirmed" and had == 0 and not interfered:
            tally.lost += 1
            tally.problems.append(f"{what}, but the exchange never did it: {action.error} {action.answer}")
        if action.status in ("rejected", "planned") and had:
            tally.problems.append(f"{what}, but it took effect: {action.error}")
        if action.status == "superseded" and had and not interfered:
            tally.problems.append(f"{what}, but it took effect: {action.error}")


def _check_job(
    intent: Intent,
    books: Books,
    effects_of: dict[tuple[str, int], list[Row]],
    tally: Tally,
    may_fail: Collection[str],
    may_be_uncertain: Callable[[LedgerAction], str | None],
    *,
    interfered: bool,
) -> None:
    run = books.executions.get(intent.execution_id)
    what = f"{intent.kind} (execution {intent.execution_id})"
    if run is None or run.status not in TERMINAL:
        tally.lost += 1
        tally.problems.append(f"{what} was lost: {run.status if run else 'no row'}")
        return
    tally.statuses[run.status] += 1
    own = [action for action in books.actions if action.execution_id == run.id]
    had = Counter(
        (effect["kind"], None if effect["kind"] == "open" else effect["tradeId"])
        for action in own
        for effect in effects_of.get((run.id, action.seq), ())
    )
    wanted = Counter(intent.effects)
    over = had - wanted
    if over:
        tally.doubled += over.total()
        tally.problems.append(f"{what} is {run.status} and did more than once or never meant: {dict(over)}")
    missing = wanted - had
    superseded = interfered and any(action.status == "superseded" for action in own)
    match run.status:
        case "completed":
            if missing and not superseded and not intent.rivalled:
                tally.lost += 1
                tally.problems.append(f"{what} is completed and did not do {dict(missing)}: {run.result}")
        case "failed":
            code = str((run.error or {}).get("code"))
            tally.failures[code] += 1
            if code not in may_fail:
                tally.problems.append(f"{what} failed: {run.error}")
            if set(had) - {effect for effect in wanted if effect[0] == "close" and ("open", None) in wanted}:
                _check_partial(intent, run, had, tally)
        case "uncertain":
            for action in own:
                if action.is_unsettled:
                    reason = may_be_uncertain(action)
                    tally.uncertain.append(f"{what}: {type(action.action).__name__}: {action.error}: {reason}")
                    if reason is None:
                        tally.problems.append(f"{what} is uncertain without need: {action.error}")
        case "pending" if intent.rivalled and not had:
            pass  # it says that the other was first: compared for both together
        case _:
            if had:
                tally.problems.append(f"{what} is {run.status}, but did {dict(had)}")
            if not (interfered and run.status == "cancelled"):
                tally.problems.append(f"{what} is {run.status}, and nobody kept it from being done: {run.result}")


def _check_trade_log(intents: Sequence[Intent], books: Books, tally: Tally) -> None:
    """A completed job leaves a row for each trade that it is about; jobs of one automation leave the sum."""
    by_automation: dict[str, list[Intent]] = defaultdict(list)
    for intent in intents:
        by_automation[intent.automation_id].append(intent)
    for automation_id, of_it in by_automation.items():
        runs = [books.executions.get(intent.execution_id) for intent in of_it]
        if any(run is None or run.status != "completed" for run in runs):
            continue
        rows = sum(len({effect[1] for effect in intent.effects if effect[1]}) or 1 for intent in of_it)
        if (logged := books.trade_log[automation_id]) != rows:
            jobs = ", ".join(f"{intent.kind} ({intent.execution_id})" for intent in of_it)
            tally.problems.append(f"{jobs}: completed, with {logged} rows in the TradeLog, not {rows}")


def _check_cross(
    books: Books, intents: Sequence[Intent], effects_of: dict[tuple[str, int], list[Row]], tally: Tally
) -> None:
    doubled, lost, problems = cross_check.check_rivals(intents, books.executions, books.actions, effects_of)
    tally.doubled += doubled
    tally.lost += lost
    tally.problems += problems
    tally.problems += cross_check.check_positions(books.positions.values(), intents, books.executions, books.effects)


def _check_partial(intent: Intent, run: Execution, had: Counter[Any], tally: Tally) -> None:
    """A failed execution of several groups: those that it lists as completed are done, the others are not."""
    listed = {row["tradeId"]: row["status"] for row in (run.result or {}).get("trades", ())}
    for trade, status in listed.items():
        if (status == "completed") != bool(had["close", trade]) and status != "failed":
            tally.problems.append(f"{intent.kind} {run.id}: trade {trade} is {status}, effects {dict(had)}")
    if not listed:
        tally.problems.append(f"{intent.kind} {run.id} failed, but did {dict(had)}: {run.error}")


def _name(action: LedgerAction) -> str:
    """What a request for it carries in its body: the trade's id, or for a new one our client id.

    A close of the cross position carries nothing: there it is the id of the account's position.
    """
    return action.client_id or action.action.target or ""


def _named_in(request: Row, books: Books) -> str:
    if KIND_OF_PATH.get((request["method"], request["path"])) == "CloseCrossPosition":
        return books.positions[request["key"]].id
    body = json.loads(request["body"] or "{}")
    return str(body.get("clientId") or body.get("id") or "")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
