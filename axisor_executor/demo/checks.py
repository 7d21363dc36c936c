"""Hold what happened against what must have happened. Pure: evidence in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from axisor_executor.demo.garbage import PIECES
from axisor_executor.demo.perform import Evidence, Played
from axisor_executor.demo.scenario import Change
from axisor_executor.embedded.paper import Row

_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One thing that must hold; ``detail`` says how it was seen, or what is wrong."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, order=True)
class Effect:
    """One change on the exchange: on whose account, what, to which trade, and its value (as in the scenario)."""

    account: str
    kind: str
    trade_id: str
    value: float | None = None


def check(evidence: Evidence) -> list[Check]:
    """Return every finding."""
    return [
        _judged(name, looked(evidence), seen)
        for name, looked, seen in (
            ("Every job ended as it must", _wrong_ends, f"{len(evidence.played)} jobs"),
            ("Each trade was changed with its own account's key only", _foreign_keys, _count(evidence.effects)),
            ("Each effect happened exactly once, and no other", _wrong_effects, _count(evidence.effects)),
            ("Refused and waiting jobs sent nothing", _sent_in_vain, f"{len(_idle(evidence))} jobs"),
            (
                "Every request stands in the ledger with its timestamp",
                _unexplained,
                _count(evidence.requests, "requests"),
            ),
            ("Each cross position holds what the jobs left of it", _wrong_rest, _count(_cross(evidence), "positions")),
            ("All other trades are as they were", _touched, f"{len(_bystanders(evidence))} trades and positions"),
            ("Results name the automation's own account", _wrong_results, f"{len(evidence.played)} results"),
            ("TradeLog has a row for each run that acted or failed", _wrong_log, f"{len(evidence.trade_log)} rows"),
            ("One key, one execution; a message, one execution", _doubled, f"{len(evidence.execution_ids)} executions"),
            ("Garbage on the queue was logged and dropped", _garbage, f"{PIECES} messages"),
            ("The exchange's own books are sound", lambda found: found.audit, "every sat accounted for"),
        )
    ]


def expected_effects(played: Played, evidence: Evidence) -> list[Effect]:
    """Return what a job must have changed; the id of a new trade is taken from its result."""
    return [_expected(change, played, evidence) for change in played.cast.case.changes]


def effects(evidence: Evidence) -> list[Effect]:
    """Return what was changed, as the exchange's journal tells."""
    names = {account_id: name for name, account_id in evidence.stage.exchange_ids.items()}
    answers = {row["seq"]: row["answer"] for row in evidence.requests}
    return [
        _effect(names[row["accountId"]], row, _changed(row, evidence), answers.get(row["requestSeq"]) or {})
        for row in evidence.effects
    ]


def _changed(effect: Row, evidence: Evidence) -> Row:
    """Return the trade that an effect was on; where it was an order on a cross position, that."""
    if effect["kind"] not in ("cross_order", "cross_close"):
        return evidence.after[effect["tradeId"]]
    ids = evidence.stage.exchange_ids
    return next(row for row in _cross(evidence) if ids[row["account"]] == effect["accountId"])


def _cross(evidence: Evidence) -> tuple[Row, ...]:
    return tuple(row for row in evidence.after.values() if row["cross"])


def _expected(change: Change, played: Played, evidence: Evidence) -> Effect:
    account = played.cast.case.account
    if change.position is None:
        return Effect(account, f"open {change.side}", _new_trade_id(played.result), change.value)
    return Effect(account, change.kind, evidence.stage.trade_ids[change.position], change.value)


def _new_trade_id(result: dict[str, object]) -> str:
    nested = result.get("result")
    new = nested.get("newTradeId") if isinstance(nested, dict) else None
    return str(new or result.get("tradeId"))


def _effect(account: str, row: Row, trade: Row, answer: Row) -> Effect:
    """Read a row of the journal; what was opened is looked up in the trade itself, a cross order in the answer."""
    match row["kind"]:
        case "open":
            return Effect(account, f"open {trade['side']}", trade["id"], trade["quantity"])
        case "add_margin":
            return Effect(account, "add_margin", trade["id"], row["amount"])
        case "set_takeprofit" | "set_stoploss" as kind:
            return Effect(account, kind, trade["id"], row["value"])
        case "cross_order" | "cross_close" as kind:
            return Effect(account, kind, trade["id"], answer.get("quantity"))
        case kind:
            return Effect(account, str(kind), trade["id"])


def _wrong_ends(evidence: Evidence) -> list[str]:
    wrong = []
    for one in evidence.played:
        case, code = one.cast.case, (one.execution.error or {}).get("code")
        if (one.execution.status, code) != (case.status, case.code):
            wrong.append(f"{case.title}: {one.execution.status} {code or ''}, not {case.status} {case.code or ''}")
    return wrong


def _foreign_keys(evidence: Evidence) -> list[str]:
    """Compare three witnesses: whose trade it is, whose key signed, and whose account the ledger recorded."""
    stage = evidence.stage
    requests = {row["seq"]: row for row in evidence.requests}
    recorded = {(str(action.timestamp_ms), action.account_id) for one in evidence.played for action in one.ledger}
    wrong = []
    for effect in evidence.effects:
        request, owner = requests.get(effect["requestSeq"]), _changed(effect, evidence)["account"]
        holding = stage.people[owner]
        if request is None or request["key"] != holding.key or effect["accountId"] != stage.exchange_ids[owner]:
            wrong.append(f"{effect['kind']} of a trade of {owner} was signed with another account's key")
        elif (str(request["timestamp"]), holding.id) not in recorded:
            wrong.append(f"{effect['kind']} of a trade of {owner} stands in the ledger under another account")
    return wrong


def _wrong_effects(evidence: Evidence) -> list[str]:
    wanted = Counter(effect for one in evidence.played for effect in expected_effects(one, evidence))
    found = Counter(effects(evidence))
    missing = [f"missing: {_told(effect)}" for effect in (wanted - found).elements()]
    return missing + [f"too much: {_told(effect)}" for effect in (found - wanted).elements()]


def _idle(evidence: Evidence) -> list[Played]:
    return [one for one in evidence.played if not one.cast.case.changes]


def _sent_in_vain(evidence: Evidence) -> list[str]:
    return [f"{one.cast.case.title}: sent {len(one.ledger)} requests" for one in _idle(evidence) if one.ledger]


def _unexplained(evidence: Evidence) -> list[str]:
    """Match the exchange's list of requests with the ledger's actions, one to one, by timestamp and key."""
    keys = {holding.id: holding.key for holding in evidence.stage.people.values()}
    ledger = [action for one in evidence.played for action in one.ledger]
    sent = Counter((str(row["timestamp"]), row["key"]) for row in evidence.requests)
    recorded = Counter((str(action.timestamp_ms), keys[action.account_id]) for action in ledger)
    wrong = [f"the request of {stamp} stands nowhere in the ledger" for stamp, _ in (sent - recorded).elements()]
    wrong += [f"the action of {stamp} never reached the exchange" for stamp, _ in (recorded - sent).elements()]
    return wrong + [f"{action.action.kind} is {action.status}" for action in ledger if action.status != "confirmed"]


def _wrong_rest(evidence: Evidence) -> list[str]:
    """Compare each cross position with what it held before, less what the jobs were to take: never turned."""
    taken: Counter[str] = Counter()
    for one in evidence.played:
        for effect in expected_effects(one, evidence):
            if effect.kind in ("cross_order", "cross_close"):
                taken[effect.trade_id] += int(effect.value or 0)
    wrong = []
    for row in _cross(evidence):
        before = evidence.stage.before[row["id"]]
        left = before["quantity"] - taken[row["id"]]
        if (row["quantity"], row["side"]) != (left, before["side"] if left else None):
            wrong.append(f"that of {row['account']} holds {row['quantity']} USD ({row['side']}), not {left}")
    return wrong


def _bystanders(evidence: Evidence) -> list[str]:
    changed = {effect.trade_id for one in evidence.played for effect in expected_effects(one, evidence)}
    return [trade_id for trade_id in evidence.stage.before if trade_id not in changed]


def _touched(evidence: Evidence) -> list[str]:
    before, after = evidence.stage.before, evidence.after
    return [
        f"trade {trade_id} of {before[trade_id]['account']} has changed"
        for trade_id in _bystanders(evidence)
        if before[trade_id] != after.get(trade_id)
    ]


def _wrong_results(evidence: Evidence) -> list[str]:
    wrong = []
    for one in evidence.played:
        name = one.cast.case.result_account
        account = evidence.stage.people[name] if name else None
        wanted = {
            "status": one.cast.case.status,
            "automationId": one.cast.automation_id,
            "userId": one.cast.job["userId"],
            "accountId": account.id if account else None,
            "accountName": name,
        }
        wrong += [
            f"{one.cast.case.title}: {field} is {one.result.get(field)!r}"
            for field, value in wanted.items()
            if one.result.get(field) != value
        ]
    return wrong


def _wrong_log(evidence: Evidence) -> list[str]:
    wanted: Counter[tuple[str, str, str]] = Counter()
    titles = {}
    for one in evidence.played:
        titles[one.cast.automation_id] = one.cast.case.title
        for status in one.cast.case.logged:
            wanted[one.cast.automation_id, one.cast.job["userId"], status] += 1
    found = Counter((row["automation_id"], row["user_id"], row["status"]) for row in evidence.trade_log)
    wrong = [f"missing: {titles[row[0]]} {row[2]}" for row in (wanted - found).elements()]
    wrong += [f"too much: {titles.get(row[0], row[0])} {row[2]}" for row in (found - wanted).elements()]
    known = set(evidence.after)
    acted = [row for row in evidence.trade_log if row["status"] == "success"]
    return wrong + [f"{titles[row['automation_id']]}: no such trade" for row in acted if row["trade_id"] not in known]


def _doubled(evidence: Evidence) -> list[str]:
    wrong = [
        f"{one.cast.case.title}: {len(set(one.execution_ids))} executions"
        for one in evidence.played
        if len(set(one.execution_ids)) != 1
    ]
    known = {one.execution.id for one in evidence.played}
    return wrong + [f"execution {one} is of no job" for one in evidence.execution_ids - known]


def _garbage(evidence: Evidence) -> list[str]:
    dropped = evidence.worker_log.count("was dropped")
    wrong = [] if dropped == PIECES else [f"{dropped} of {PIECES} were logged"]
    if evidence.queue_left:
        wrong.append(f"{evidence.queue_left} messages are still on the queue")
    if evidence.worker_log.count("Worker ready") != 1:
        wrong.append("the worker's process was started again")
    return wrong


def _judged(name: str, problems: Iterable[str], seen: str) -> Check:
    found = list(problems)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Check(name, not found, "; ".join(found[:_SHOWN]) + more if found else seen)


def _count(rows: tuple[object, ...], unit: str = "effects") -> str:
    return f"{len(rows)} {unit}"


def _told(effect: Effect) -> str:
    return f"{effect.kind} on {effect.account}, trade {effect.trade_id}"
