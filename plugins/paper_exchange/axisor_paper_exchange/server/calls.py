"""Carrying out a call of the API, and doing it again after a restart."""

from __future__ import annotations

import zlib
from typing import Any

from axisor_paper_exchange.engine import Rejected
from axisor_paper_exchange.server.answer import Answer, rejected
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.journal import Request
from axisor_paper_exchange.server.world import World

__all__ = ["CALL", "CallDiffers", "carry_out", "repeat"]

CALL = "call"


class CallDiffers(Exception):
    """A call that is done again is answered otherwise than the first time."""


def carry_out(route: Route, call: Call) -> Answer:
    """Answer a call; one that may have changed something is written down first, where that is asked for."""
    world, request = call.world, call.request
    world.ids.begin()
    answer = _answer(route, call)
    drawn = world.ids.drawn
    changed = request.method != "GET" and answer.status < 400
    if world.recorder is not None and (changed or drawn):
        world.recorder.write(CALL, _arguments(call, answer), drawn)
    return answer


def repeat(world: World, routes: Routes, arguments: dict[str, Any]) -> None:
    """Do a call again. Raises `CallDiffers` when it comes out differently."""
    request = Request(
        seq=arguments["seq"],
        at=arguments["at"],
        key=None,
        method=arguments["method"],
        path=arguments["path"],
        query=arguments["query"],
        body=arguments["body"].encode("utf-8", "surrogateescape"),
        timestamp=None,
    )
    account_id = request.account_id = arguments["account_id"]
    call = Call(world, request, None if account_id is None else world.exchange.accounts[account_id])
    world.journal.resume(world.journal.all_effects, max(world.journal.last, request.seq))
    answer = _answer(routes[request.method, request.path], call)
    if request.method != "GET" and _mark(answer) != arguments["answer"]:
        raise CallDiffers(f"{request.method} {request.path}")


def _answer(route: Route, call: Call) -> Answer:
    try:
        return route.endpoint(call)
    except Rejected as reason:
        return rejected(reason)


def _arguments(call: Call, answer: Answer) -> dict[str, Any]:
    request = call.request
    return {
        "seq": request.seq,
        "at": call.at,
        "account_id": request.account_id,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "body": request.body.decode("utf-8", "surrogateescape"),
        "answer": _mark(answer),
    }


def _mark(answer: Answer) -> str:
    """Return what an answer is recognised by."""
    return f"{answer.status} {zlib.crc32(answer.body):08x}"
