"""Tell a preview to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from axisor_executor.cli.output import facts, line

_DECIDED = {"act": "to act", "wait": "to wait", "nothing": "that there is nothing to do", "fail": "nothing: it fails"}
_LATER = {
    "act": "it would act",
    "wait": "it would wait",
    "nothing": "nothing would be left to do",
    "fail": "it would fail",
}


def lines(one: Mapping[str, Any]) -> Iterator[str]:
    """Return what was found, line by line."""
    trade = f" on trade {one['tradeId']}" if one["tradeId"] else ""
    yield f"Preview     {one['type']} {one['action']}{trade}, account {line(one['accountName'])} ({one['accountId']})"
    yield from _decision(one["decision"])
    for action in one["actions"]:
        yield from _action(action)
    if one["actions"]:
        yield f"  in all    {_sats(one['cost'])}"
    for hold in one["holds"]:
        yield f"  held by   {hold['message']} [{hold['code']}]"
    if one["mode"] == "dry_run":
        yield "  mode      dry run: a run would record this and send nothing"
    yield from _trigger(one["trigger"])


def _decision(decision: Mapping[str, Any]) -> Iterator[str]:
    yield f"  decided   {_DECIDED[decision['status']]}"
    if decision["status"] == "fail":
        yield f"  because   {decision['error']['message']} [{decision['error']['code']}]"
        return
    if decision["status"] == "wait":
        yield f"  because   {decision['reason']}"
    if decision["facts"]:
        yield f"  facts     {facts(decision['facts'])}"


def _action(action: Mapping[str, Any]) -> Iterator[str]:
    request = action["request"]
    yield f"  action    {action['action']}" + (f" of {action['tradeId']}" if action["tradeId"] else "")
    if "call" in request:
        yield f"    call    {request['call']} {json.dumps(request['arguments'], ensure_ascii=False)}"
    else:
        yield f"    request {request['method']} {request['host']}{request['path']} {request['body']}".rstrip()
    cost = {name: value for name, value in action["cost"].items() if name in ("margin", "pl", "liquidation")}
    yield f"    cost    {_sats(action['cost'])}" + (f" ({facts(cost)})" if facts(cost) else "")


def _sats(cost: Mapping[str, Any]) -> str:
    fees, taken = cost["fees"], cost["fromBalance"]
    told = "fees not known" if fees is None else f"fees up to {fees} sats"
    if taken is None:
        return told
    return f"{told}, takes up to {taken} sats from the balance" if taken >= 0 else f"{told}, gives back {-taken} sats"


def _trigger(trigger: Mapping[str, Any]) -> Iterator[str]:
    if "error" in trigger:
        yield f"  trigger   not found: {trigger['error']['message']} [{trigger['error']['code']}]"
        return
    yield f"  price     {trigger['currentPrice']} USD"
    changes = [("below", one) for one in trigger["below"]] + [("above", one) for one in trigger["above"]]
    for word, change in changes:
        edge = "at or below" if word == "below" else "at or above"
        more = f": {', '.join(change['actions'])}" if "actions" in change else ""
        code = f" [{change['code']}]" if "code" in change else ""
        yield f"  {edge} {change['price']} {_LATER[change['decision']]}{more}{code}"
    if not changes:
        yield "  trigger   no price between a tenth and the tenfold changes this"
