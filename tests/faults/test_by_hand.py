"""What people do by hand is told apart from what the executor does, at whatever moment either of them signs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from axisor_executor.storage import actions
from tests.faults.ledger_check import check
from tests.faults.workload import Intent, Workload
from tests.harness.world import World


@pytest.fixture
def work(world: World) -> Workload:
    """One account, with one trade that is to get a take profit."""
    made = Workload(world, 1)
    made.prepare(1, ("set_takeprofit",))
    return made


def _carry_out(work: Workload) -> Intent:
    (intent,) = work.intents
    result = work.world.run(intent.automation_id, user_id=intent.account.user_id, trade_id=intent.trade_id)
    assert result["status"] == "completed", result
    intent.execution_id = result["executionId"]
    return intent


def test_in_the_same_millisecond(world: World, work: Workload) -> None:
    world.paper.settings(windowSeconds=60)  # the hand's request is not too late, however slow this machine is
    intent = _carry_out(work)
    assert intent.trade_id is not None
    with world.storage.connection():
        (action,) = actions.of(world.storage, intent.execution_id)
    hand = work.hands[intent.account.id].client
    hand.set_takeprofit(intent.trade_id, Decimal(70_001), timestamp_ms=action.timestamp_ms)
    signed = [row["key"] for row in world.paper.requests(mutating=True) if row["timestamp"] == str(action.timestamp_ms)]
    assert len(signed) == len(set(signed)) == 2
    tally = check(world, work.intents, by_hand=work.keys_by_hand)
    assert tally.problems == []
    assert (tally.requests, tally.effects) == (1, 1)


def test_the_executor_with_the_key_of_a_hand(world: World, work: Workload) -> None:
    """It passes for nobody's: its job is missed."""
    (account,) = work.accounts
    stolen = world.paper.add_keys(account.paper)
    written = world.written(replace(account, paper=stolen))
    with world.storage.write():
        assert world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", written, account.id)
    _carry_out(work)
    tally = check(world, work.intents, by_hand={*work.keys_by_hand, stolen.key})
    assert "is completed and did not do" in "\n".join(tally.problems)
