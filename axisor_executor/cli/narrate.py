"""Tell an explained execution to a person, from the job to the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from axisor_executor.cli.output import console, facts, plain, styled
from axisor_executor.storage.actions import UNREADABLE

_PLAN_FIELDS = frozenset(
    {"decision", "action", "groups", "facts", "lists_trades", "reason", "version", "handler", "distribution"}
    | {"distributionVersion", "configHash", "seen"}
)


def narrate(explained: Mapping[str, Any]) -> None:
    """Write it."""
    out = console()
    for line in _lines(explained):
        out.print(line, soft_wrap=True)


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    yield from _head(one)
    for number, plan in enumerate(one["plans"]):
        yield ""
        yield from _plan_or_raw(plan, replaced=number < len(one["plans"]) - 1)
    for action in one["actions"]:
        yield ""
        yield from _action(action)
    yield ""
    if one["result"] is None:
        yield "[bold]Result[/]      none yet" + _waiting(one)
    else:
        yield "[bold]Result[/]"
        yield _document(one["result"])
    if one["error"] and "error" not in (one["result"] or {}):
        yield f"  last error  {_error(one['error'])}"


def _head(one: Mapping[str, Any]) -> Iterator[str]:
    account = f"{one['accountName']} ({one['accountId']})" if one["accountId"] else None
    yield f"[bold]Execution[/]   {one['id']}  {styled(one['status'])}{_waiting(one)}"
    yield f"  job         {plain(json.dumps(one['job'], ensure_ascii=False))}"
    yield f"  automation  {plain(one['automationId'])} ({plain(one['automationType'])})"
    yield f"  account     {plain(account)}" + (f" on {plain(one['exchange'])}" if one["exchange"] else "")
    yield f"  user        {plain(one['userId'])}"
    yield f"  taken       {one['createdAt']}, lane {one['lane']}" + _after(one, "startedAt", "started")
    if one["finishedAt"]:
        yield f"  over        {one['finishedAt']}" + _after(one, "finishedAt", "in all")
    elif one["expiresAt"]:
        yield f"  starts by   {one['expiresAt']}"
    counts = {"runs": one["runs"], "failed tries": one["tries"] or None, "looks": one["looks"] or None}
    yield f"  counts      {facts(counts)}" + (
        f", idempotency key {plain(one['idempotencyKey'])}" if one["idempotencyKey"] else ""
    )


def _waiting(one: Mapping[str, Any]) -> str:
    return f", waiting for {one['waitingFor']} until {one['dueAt']}" if one["waitingFor"] else ""


def _after(one: Mapping[str, Any], name: str, word: str) -> str:
    """Say how long after the job was taken something happened."""
    if not one[name]:
        return ""
    seconds = (datetime.fromisoformat(one[name]) - datetime.fromisoformat(one["createdAt"])).total_seconds()
    return f", {word} {seconds:.3f} s" + (" later" if word == "started" else "")


def _plan_or_raw(plan: Any, *, replaced: bool) -> list[str]:
    """Tell a plan; one that is none, or another version's, is shown as it stands in the ledger."""
    try:
        return list(_plan(plan, replaced=replaced))
    except UNREADABLE:
        return ["[bold]Plan[/]        [red]can't be read[/]", _document(plan)]


def _plan(plan: Mapping[str, Any], *, replaced: bool) -> Iterator[str]:
    note = " (replaced by the next)" if replaced else ""
    yield f"[bold]Plan {plan.get('version', '?')}[/]{note}"
    yield (
        f"  decided by  {plain(plan.get('handler'))}, {plain(plan.get('distribution'))} "
        f"{plain(plan.get('distributionVersion'))}, config {plain(plan.get('configHash'))}"
    )
    seen = dict(plan.get("seen") or {})
    trades = seen.pop("trades", {})
    if seen:
        yield f"  saw         {plain(facts(seen))}"
    meant = _trades_meant(plan) & trades.keys() or trades.keys()
    for trade_id in meant:
        yield f"  saw trade   {plain(facts(trades[trade_id]))}"
    if len(trades) > len(meant):
        yield f"  saw also    {len(trades) - len(meant)} other trades (--json shows them)"
    if plan["decision"] == "wait":
        yield f"  decided     to wait: {plain(plan['reason'])}"
    else:
        yield f"  decided     {plain(plan['action'])}"
        for group in plan["groups"]:
            yield f"    group     {plain(_group(group))}"
    if plan.get("facts"):
        yield f"  because     {plain(facts(plan['facts']))}"
    others = {name: value for name, value in plan.items() if name not in _PLAN_FIELDS}
    if others:
        yield f"  more        {plain(facts(others))}"


def _trades_meant(plan: Mapping[str, Any]) -> set[str]:
    """Return the trades that a plan is about; none where it says nothing of one."""
    named = {group["trade_id"] for group in plan.get("groups", ())} | {plan.get("facts", {}).get("tradeId")}
    return {trade_id for trade_id in named if trade_id}


def _group(group: Mapping[str, Any]) -> str:
    names = " + ".join(action["kind"] for action in group["actions"]) or f"nothing ({group['status']})"
    trade = f" trade {group['trade_id']}" if group["trade_id"] else ""
    more = facts(group["facts"])
    return f"{group['action']}:{trade} {names}" + (f"; {more}" if more else "")


def _action(action: Mapping[str, Any]) -> Iterator[str]:
    command = dict(action["action"])
    kind = command.pop("kind")
    yield f"[bold]Action {action['seq']}[/]    {kind}  {styled(action['status'])}"
    yield f"  command     {plain(facts(command))}"
    if action["timestampMs"] is not None:
        signed = datetime.fromtimestamp(action["timestampMs"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
        yield (
            f"  sent        signed with {action['timestampMs']} ({signed} UTC), exchange user "
            f"{plain(action['exchangeUserId'])}, key {plain(action['keyFingerprint'])}"
        )
    if action["dryRun"]:
        yield from _unsent(action["request"])
    for name, label in (("baseline", "before"), ("answer", "answer")):
        if action[name]:
            yield f"  {label:<11} {plain(facts(action[name]))}"
    if action["clientId"]:
        yield f"  client id   {plain(action['clientId'])}"
    if action["newTradeId"]:
        yield f"  new trade   {plain(action['newTradeId'])}"
    if action["error"]:
        yield f"  error       {_error(action['error'])}"


def _unsent(request: Mapping[str, Any] | None) -> Iterator[str]:
    if request is None:
        yield "  dry run     it did not get as far as its request"
    elif "call" in request:
        yield f"  not sent    {plain(request['call'])} {plain(json.dumps(request['arguments'], ensure_ascii=False))}"
    else:
        yield f"  not sent    {request['method']} {plain(request['host'])}{plain(request['path'])}"
        if request["body"]:
            yield f"  body        {plain(request['body'])}"


def _error(error: Mapping[str, Any]) -> str:
    code = f"[{error.get('code')}]"
    return f"[red]{plain(error.get('message'))}[/] {plain(code)}"


def _document(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(f"  {plain(line)}" for line in text.splitlines())
