"""What is wrong with a cross position after a storm is seen: a quiet run of all its jobs, tampered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.ledger_check import Tally, check
from tests.faults.workload import CROSS_KINDS, Intent, Workload
from tests.harness.cross import Owner
from tests.harness.world import World


@pytest.fixture
def work(world: World) -> Workload:
    """Two jobs of each kind, carried out in this process, one after the other."""
    made = Workload(world, 2)
    for intent in made.prepare(2 * len(CROSS_KINDS), CROSS_KINDS):
        intent.execution_id = world.run(intent.automation_id, user_id=intent.account.user_id)["executionId"]
    return made


def _check(work: Workload) -> Tally:
    return check(work.world, work.intents, by_hand=work.keys_by_hand)


def _first(work: Workload, kind: str) -> Intent:
    return next(intent for intent in work.intents if intent.kind == kind)


def _beaten(work: Workload) -> Intent:
    return next(one for one in work.intents if work.world.execution(one.execution_id).status == "pending")


def _set(work: Workload, intent: Intent, column: str, value: str) -> None:
    with work.world.storage.write():
        assert work.world.storage.run(
            f"UPDATE axisor_executions SET {column} = ? WHERE id = ?", value, intent.execution_id
        )


def test_the_run_as_it_was(work: Workload) -> None:
    tally = _check(work)
    assert tally.problems == []
    assert tally.statuses == {"completed": 6, "pending": 2}
    assert tally.effects == 6


def _sold_by_another(work: Workload, kind: str, quantity: int) -> None:
    Owner(work.world, _first(work, kind).account).trade(-quantity)


def _meant_more(work: Workload) -> None:
    at = work.intents.index(_first(work, "trim_cross"))
    work.intents[at] = replace(work.intents[at], takes=work.intents[at].takes + 10)


def _never_done(work: Workload) -> None:
    work.intents.append(replace(_first(work, "trim_cross"), takes=77))
    work.intents[-1].execution_id = _beaten(work).execution_id
    _set(work, work.intents[-1], "status", "completed")


def _says_nothing(work: Workload) -> None:
    _set(work, _beaten(work), "result", '{"result": {}}')


TAMPERED: dict[str, tuple[Callable[[Workload], None], str]] = {
    "an order of another": (lambda work: _sold_by_another(work, "trim_cross", 5), "is in no row of the ledger"),
    "less is held": (lambda work: _sold_by_another(work, "trim_cross", 5), "holds 19992 USD, of 20000 USD [1, 2]"),
    "turned": (lambda work: _sold_by_another(work, "trim_cross", 50_000), "was turned"),
    "more was meant": (_meant_more, "[1, 2] were taken, and not [2, 11]"),
    "never done": (_never_done, "is completed and did not do"),
    "completed, not done": (lambda work: _set(work, _beaten(work), "status", "completed"), "some do not say why"),
    "no reason given": (_says_nothing, "some do not say why they did nothing"),
    "nobody says it did": (lambda work: _set(work, _first(work, "close_cross"), "status", "pending"), "and 0 of"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_is_wrong_is_seen(work: Workload, case: str) -> None:
    tamper, seen = TAMPERED[case]
    tamper(work)
    assert seen in "\n".join(_check(work).problems)
