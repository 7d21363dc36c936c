"""The demo's checks see what they are for: the evidence of a real run, tampered with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from axisor_executor import runtime
from axisor_executor.demo.checks import check
from axisor_executor.demo.leaks import check_leaks, redis_texts
from axisor_executor.demo.parts import require_parts
from axisor_executor.demo.perform import Evidence, Played, gather, send_jobs, wait_for_ends
from axisor_executor.demo.show import decision, job_row
from axisor_executor.demo.stack import Stack
from axisor_executor.demo.stage import set_stage
from axisor_executor.embedded.interrupts import Interrupts
from axisor_executor.embedded.paper import Row


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack on which the demo has run."""
    with Interrupts() as interrupts:
        made = Stack(interrupts, require_parts(), lambda _: None)
        try:
            made.start()
            yield made
        finally:
            made.stop()
            runtime.use(None)


@pytest.fixture(scope="module")
def evidence(stack: Stack) -> Evidence:
    """What was seen of it."""
    stage = set_stage(stack)
    stack.wait_for_worker()
    return gather(stack, stage, wait_for_ends(stack, send_jobs(stack, stage), lambda _: None))


def _played(evidence: Evidence, title: str) -> Played:
    return next(one for one in evidence.played if one.cast.case.title == title)


def _with(evidence: Evidence, title: str, **changes: Any) -> Evidence:
    """Return the evidence with one job's changed."""
    played = tuple(
        dataclasses.replace(one, **changes) if one.cast.case.title == title else one for one in evidence.played
    )
    return dataclasses.replace(evidence, played=played)


def _failed(evidence: Evidence) -> set[str]:
    return {found.name for found in check(evidence) if not found.ok}


def test_the_evidence_as_it_is(evidence: Evidence) -> None:
    assert _failed(evidence) == set()


def _another_key(evidence: Evidence) -> Evidence:
    others = {holding.key for holding in evidence.stage.people.values()}
    first, *rest = evidence.requests
    return dataclasses.replace(evidence, requests=(first | {"key": min(others - {first["key"]})}, *rest))


def _other_account_in_the_ledger(evidence: Evidence) -> Evidence:
    one = _played(evidence, "margin_guard close_position")
    other = evidence.stage.people["Bob Main"].id
    return _with(
        evidence, one.cast.case.title, ledger=tuple(dataclasses.replace(a, account_id=other) for a in one.ledger)
    )


def _twice(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, effects=(*evidence.effects, evidence.effects[0]))


def _never(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, effects=evidence.effects[1:])


def _too_much(evidence: Evidence) -> Evidence:
    rows = [row | {"amount": row["amount"] * 2} if row["kind"] == "add_margin" else row for row in evidence.effects]
    return dataclasses.replace(evidence, effects=tuple(rows))


def _wrong_end(evidence: Evidence) -> Evidence:
    one = _played(evidence, "bad config")
    return _with(evidence, "bad config", execution=dataclasses.replace(one.execution, status="completed"))


def _sent_in_vain(evidence: Evidence) -> Evidence:
    return _with(evidence, "bad config", ledger=_played(evidence, "tp_sl update_tp").ledger)


def _unrecorded(evidence: Evidence) -> Evidence:
    return _with(evidence, "tp_sl update_tp", ledger=())


def _bystander_hit(evidence: Evidence) -> Evidence:
    trade_id = evidence.stage.trade_ids["bobs-own"]
    closed = evidence.after[trade_id] | {"running": False, "closed": True}
    return dataclasses.replace(evidence, after={**evidence.after, trade_id: closed})


def _bystander_gone(evidence: Evidence) -> Evidence:
    gone = evidence.stage.trade_ids["bobs-own"]
    return dataclasses.replace(evidence, after={key: row for key, row in evidence.after.items() if key != gone})


def _turned(evidence: Evidence) -> Evidence:
    position_id = evidence.stage.trade_ids["cross-long"]
    turned = evidence.after[position_id] | {"side": "sell"}
    return dataclasses.replace(evidence, after={**evidence.after, position_id: turned})


def _taken_too_much(evidence: Evidence) -> Evidence:
    rows = [row | {"answer": row["answer"] | {"quantity": 101}} for row in evidence.requests if _is_cross(row)]
    others = [row for row in evidence.requests if not _is_cross(row)]
    return dataclasses.replace(evidence, requests=(*others, *rows))


def _is_cross(request: Row) -> bool:
    return bool(request["path"] == "/v3/futures/cross/order")


def _cross_bystander_hit(evidence: Evidence) -> Evidence:
    position_id = evidence.stage.trade_ids["cross-untouched"]
    changed = evidence.after[position_id] | {"margin": 1}
    return dataclasses.replace(evidence, after={**evidence.after, position_id: changed})


def _wrong_account(evidence: Evidence) -> Evidence:
    one = _played(evidence, "tp_sl update_tp")
    return _with(evidence, "tp_sl update_tp", result=one.result | {"accountName": "Bob Main"})


def _no_log(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, trade_log=evidence.trade_log[1:])


def _log_too_much(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, trade_log=(*evidence.trade_log, evidence.trade_log[0]))


def _doubled(evidence: Evidence) -> Evidence:
    one = _played(evidence, "enqueued twice, one key")
    return _with(evidence, one.cast.case.title, execution_ids=(one.execution.id, "another"))


def _of_garbage(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, execution_ids=evidence.execution_ids | {"of garbage"})


def _left_on_the_queue(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, queue_left=1)


def _unlogged(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, worker_log=evidence.worker_log.replace("was dropped", "", 1))


def _restarted(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, worker_log=evidence.worker_log + "Worker ready")


def _unsound(evidence: Evidence) -> Evidence:
    return dataclasses.replace(evidence, audit=("3 sats are missing",))


@pytest.mark.parametrize(
    ("tamper", "seen"),
    [
        (_another_key, "Each trade was changed with its own account's key only"),
        (_other_account_in_the_ledger, "Each trade was changed with its own account's key only"),
        (_twice, "Each effect happened exactly once, and no other"),
        (_never, "Each effect happened exactly once, and no other"),
        (_too_much, "Each effect happened exactly once, and no other"),
        (_wrong_end, "Every job ended as it must"),
        (_sent_in_vain, "Refused and waiting jobs sent nothing"),
        (_unrecorded, "Every request stands in the ledger with its timestamp"),
        (_taken_too_much, "Each effect happened exactly once, and no other"),
        (_turned, "Each cross position holds what the jobs left of it"),
        (_cross_bystander_hit, "All other trades are as they were"),
        (_bystander_hit, "All other trades are as they were"),
        (_bystander_gone, "All other trades are as they were"),
        (_wrong_account, "Results name the automation's own account"),
        (_no_log, "TradeLog has a row for each run that acted or failed"),
        (_log_too_much, "TradeLog has a row for each run that acted or failed"),
        (_doubled, "One key, one execution; a message, one execution"),
        (_of_garbage, "One key, one execution; a message, one execution"),
        (_left_on_the_queue, "Garbage on the queue was logged and dropped"),
        (_unlogged, "Garbage on the queue was logged and dropped"),
        (_restarted, "Garbage on the queue was logged and dropped"),
        (_unsound, "The exchange's own books are sound"),
    ],
)
def test_what_is_wrong_is_seen(evidence: Evidence, tamper: Callable[[Evidence], Evidence], seen: str) -> None:
    assert seen in _failed(tamper(evidence))


def test_no_secret_is_found_where_none_is(stack: Stack, evidence: Evidence) -> None:
    assert [found for found in check_leaks(stack, evidence, []) if not found.ok] == []


@pytest.mark.parametrize("what", ["key", "secret", "passphrase", "encryption key"])
def test_a_secret_is_found_in_every_place(stack: Stack, evidence: Evidence, what: str) -> None:
    holding = evidence.stage.people["Bob Trial"]
    secret = stack.encryption_key if what == "encryption key" else str(getattr(holding, what))
    one = _played(evidence, "tp_sl update_tp")
    leaked = _with(evidence, "tp_sl update_tp", result=one.result | {"note": f"it is {secret}!"})
    storage = stack.runtime.storage
    with storage.write():
        storage.run("UPDATE axisor_workers SET host = ?", f"host {secret}")
    stack.runtime.queue.broker.client.hset("axisor:odd", f"field {secret}", "1")
    with stack.worker.output.open("a") as log:
        log.write(f"Oh dear, {secret}\n")
    try:
        found = {found.name: found.ok for found in check_leaks(stack, leaked, [])}
    finally:
        storage.run("UPDATE axisor_workers SET host = 'host'")
        stack.runtime.queue.broker.client.delete("axisor:odd")
        stack.worker.output.write_text(stack.worker.text().replace(secret, ""))
    assert not any(found.values()), found


def test_redis_is_searched_whatever_the_type(stack: Stack) -> None:
    client: Any = stack.runtime.queue.broker.client
    client.set("t:string", "in-string")
    client.hset("t:hash", "in-field", "in-value")
    client.rpush("t:list", "in-list")
    client.sadd("t:set", "in-set")
    client.zadd("t:zset", {"in-zset": 1})
    client.xadd("t:stream", {"in-stream": "x"})
    everything = "\n".join(redis_texts(stack))
    client.delete(*client.keys("t:*"))
    for word in ("in-string", "in-field", "in-value", "in-list", "in-set", "in-zset", "in-stream", "t:zset"):
        assert word in everything


def test_the_table_tells_what_happened(evidence: Evidence) -> None:
    rows = {row["job"]: row for row in (job_row(one, evidence) for one in evidence.played)}
    assert rows["margin_guard reduce_position"]["trades"] == ["long $100 → closed", "– → long $50"]
    assert rows["margin_guard reduce_position"]["decision"] == "close + open"
    assert rows["margin_guard add_margin"]["trades"] == ["long $100 margin 20,000 → 25,000"]
    assert rows["margin_guard cross, reduce_position"]["trades"] == ["cross long $200 → $100"]
    assert rows["margin_guard cross, reduce_position"]["decision"] == "reduce cross"
    assert rows["margin_guard cross, close_position"]["trades"] == ["cross short $150 → closed"]
    assert rows["tp_sl update_tp"]["trades"] == ["long $100 TP – → 55,000"]
    assert rows["auto_entry limit"]["trades"] == ["– → long $80 (order open)"]
    assert rows["auto_entry, price not reached"]["decision"] == "price_not_triggered"
    assert rows["Alice's job, Bob's automation"]["outcome"] == "failed 404"
    assert decision(_played(evidence, "automation switched off")) == "disabled"
