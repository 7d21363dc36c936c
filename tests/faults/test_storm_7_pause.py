"""Storm 7: pauses in mid-burst. Once one has returned, the exchange receives nothing more in its scope."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from axisor_executor import switching
from axisor_executor.storage import actions
from axisor_executor.storage.switches import Mode, Scope
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import KIND_OF_PATH, check
from tests.faults.storming import burst
from tests.faults.workload import Workload
from tests.harness.world import World

HOLD_SECONDS = 0.6


class Held:
    """A pause that was set, and from when to when nothing may have been received."""

    def __init__(self, world: World, scope: Scope, scope_id: str, mode: Mode) -> None:
        self.scope, self.scope_id, self.mode = scope, scope_id, mode
        asked = time.monotonic()
        self.listed = switching.pause(
            world.parts.storage, scope, scope_id, mode=mode, window_seconds=world.settings.signature_window_seconds
        ).already_out
        self.since = datetime.now(UTC)
        self.took = time.monotonic() - asked
        self.until = self.since

    def resume(self, world: World) -> None:
        """Take it away again."""
        self.until = datetime.now(UTC)
        switching.resume(world.parts.storage, self.scope, self.scope_id)

    def covers(self, action: actions.LedgerAction) -> bool:
        """Whether an action is in its scope."""
        if self.mode == "reduce_only" and (action.action.risk_reducing or getattr(action.action, "replaces", None)):
            return False
        own = {"account": action.account_id, "automation": action.automation_id}.get(self.scope)
        return own is None or own == self.scope_id


def received_while(held: Held, requests: list[dict[str, Any]], sent: dict[tuple[str, int], Any]) -> list[str]:
    """Return the requests in a pause's scope that the exchange received while it was on."""
    found = []
    for request in requests:
        if held.since < datetime.fromisoformat(request["receivedAt"]) < held.until:
            kind = KIND_OF_PATH[request["method"], request["path"]]
            action = sent.get((kind, int(request["timestamp"])))
            if action is None or held.covers(action):
                found.append(f"{held.scope} {held.scope_id} ({held.mode}) since {held.since}: {request} {action}")
    return found


@pytest.mark.timeout(1800)
def test_nothing_arrives_after_a_pause(
    world: World, tmp_path: Path, seed: int, fault_jobs: int, figures: Figures
) -> None:
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.05, jitter=0.25, seed=seed)
    accounts = [account.id for account in work.accounts]
    scopes: list[tuple[Scope, str, Mode]] = [
        ("all", "", "paused"),
        ("account", accounts[0], "paused"),
        ("exchange", "lnmarkets", "paused"),
        ("all", "", "reduce_only"),
        ("account", accounts[1], "paused"),
        ("automation", intents[-1].automation_id, "paused"),
        ("all", "", "paused"),
    ]
    held: list[Held] = []
    faults: Counter[str] = Counter()
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        part = max(1, len(intents) // len(scopes))
        for number, (scope, scope_id, mode) in enumerate(scopes):
            last = number == len(scopes) - 1
            burst(work, intents[number * part :] if last else intents[number * part : (number + 1) * part], crew)
            crew.wait(crew.random.uniform(0.0, 0.15))
            one = Held(world, scope, scope_id, mode)
            if number % 3 == 2:
                crew.kill_one()  # whoever takes over must not send either
            crew.wait(HOLD_SECONDS)
            one.resume(world)
            held.append(one)
            faults[f"{mode}: {scope}"] += 1
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    faults["kills"] = crew.ended
    tally = check(world, intents, by_hand=work.keys_by_hand)
    requests = [row for row in world.paper.requests(mutating=True) if row["key"] not in work.keys_by_hand]
    with world.storage.connection():
        listed = [one for intent in intents for one in actions.of(world.storage, intent.execution_id)]
    sent = {(type(one.action).__name__, one.timestamp_ms): one for one in listed if one.timestamp_ms is not None}
    late = [problem for one in held for problem in received_while(one, requests, sent)]
    slowest = max(one.took for one in held)
    figures.record(
        "7",
        "pause in mid-burst",
        world,
        tally,
        faults=faults,
        seconds=seconds,
        received_after_a_pause_had_returned=len(late),
        requests_listed_as_out_already=sum(len(one.listed) for one in held),
        slowest_pause=f"{slowest:.2f} s",
    )
    assert late == []
    assert tally.problems == []
