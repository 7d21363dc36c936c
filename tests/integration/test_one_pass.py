"""Several automations of one account, one after the other: what one has read serves the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from axisor_executor import api
from axisor_executor.automation import AccountContext, Decision, Lane, wait
from axisor_executor.storage import claiming, executions, lineage
from axisor_executor.storage.executions import Next
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet

RUNNING = "/v3/futures/isolated/trades/running"
FAR = {"action": "close_position", "margin_threshold": 90}


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


def reads(world: World, since: int) -> int:
    """Return how often the running trades were asked for after request number ``since``."""
    return sum(1 for row in world.paper.requests(since=since) if row["path"] == RUNNING)


def last(world: World) -> int:
    return max((int(row["seq"]) for row in world.paper.requests()), default=0)


def in_line(
    world: World, account: Account, jobs: int, config: dict[str, object], kind: str = "margin_guard"
) -> list[str]:
    """Take jobs of as many automations: the first one holds the account, the others have joined its line."""
    taken = [world.enqueue(world.job(world.automation(account, kind, config))) for _ in range(jobs)]
    keep_for(world, account, *taken)
    return taken


def keep_for(world: World, account: Account, blocker: str, *others: str) -> None:
    """Keep the account for an execution, while others join its line."""
    with world.storage.connection(), world.storage.write():
        world.storage.run(
            "INSERT INTO axisor_leases (account_id, execution_id, worker_id, fence, until) VALUES (?,?,?,?,{later})",
            account.id,
            blocker,
            None,
            -1,
            60.0,
        )
    for one in others:
        world.parts.executor.run(one)
        assert world.execution(one).wait_for == "lease"


class TestWhatWasRead:
    def test_it_serves_all_that_follow_on_the_account(self, world: World, account: Account) -> None:
        world.open_trade(account)
        scan = {**FAR, "scope": "all"}
        taken = in_line(world, account, 4, scan)
        since = last(world)
        world.parts.executor.run(taken[0])
        assert [api.get_result(one)["status"] for one in taken] == ["pending"] * 4
        assert reads(world, since) == 1

    def test_not_after_something_was_changed(self, world: World, account: Account) -> None:
        taken = in_line(world, account, 2, {"side": "b", "quantity": 100, "max_open_trades": 5}, "auto_entry")
        since = last(world)
        world.parts.executor.run(taken[0])
        assert [api.get_result(one)["status"] for one in taken] == ["completed"] * 2
        assert reads(world, since) >= 2

    def test_but_what_a_trade_has_become_is_looked_up_by_each(self, world: World) -> None:
        """A late answer, or a person, may say that it was replaced, and holds no lease to say so."""
        puppet = Puppet()
        world.restart(puppet.plugin)
        account = world.account()
        became = world.open_trade(account)
        taken = in_line(world, account, 2, CONFIG, "puppet")
        found: list[str] = []

        def decide(context: AccountContext[Any]) -> Decision:
            context.running_trades()
            found.extend((context.current_id("t1"), context.current_id("t1")))
            lineage.replaced(world.storage, account.id, "t1", became, taken[0])
            return wait("not yet")

        puppet.decision = decide
        since = last(world)
        world.parts.executor.run(taken[0])
        assert found == ["t1", "t1", became, became]
        assert reads(world, since) == 1

    def test_nor_the_running_trades_beside_orders_that_are_read_later(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of the orders may have been filled in between, and would be neither."""
        limit = {"trigger_type": "limit", "trigger_price": 49_000, "max_open_trades": 1}
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100, **limit})
        assert world.run(entry)["result"]["order"] == "open"
        blocker, scan = in_line(world, account, 2, {**FAR, "scope": "all"})
        last_in_line = world.enqueue(world.job(entry))
        world.parts.executor.run(last_in_line)
        opener = world.parts.opener
        handed = opener.hand_on

        def fill(*given: object) -> None:
            handed(*given)  # type: ignore[arg-type]
            world.paper.set_price(49_000)

        monkeypatch.setattr(opener, "hand_on", fill)
        world.parts.executor.run(blocker)
        for one in (scan, last_in_line):
            world.parts.executor.run(one)  # where it was not carried out in the same turn
        assert api.get_result(scan)["status"] == "pending"
        assert api.get_result(last_in_line)["result"]["reason"] == "max_open_trades_reached"

    def test_nor_when_it_is_old(self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("axisor_executor.run.acting.OLDEST_HANDED_SECONDS", 0.0)
        world.open_trade(account)
        taken = in_line(world, account, 3, {**FAR, "scope": "all"})
        since = last(world)
        world.parts.executor.run(taken[0])
        assert [api.get_result(one)["status"] for one in taken] == ["pending"] * 3
        assert reads(world, since) == 3

    def test_nor_for_another_key(self, world: World, account: Account) -> None:
        world.open_trade(account)
        taken = in_line(world, account, 2, {**FAR, "scope": "all"})
        opener = world.parts.opener
        handed = opener.hand_on
        row = world.written(replace(account, paper=world.account(name="Other").paper))

        def rotate(*given: object) -> None:
            handed(*given)  # type: ignore[arg-type]
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)

        opener.hand_on = rotate  # type: ignore[method-assign,assignment]
        since = last(world)
        world.parts.executor.run(taken[0])
        assert reads(world, since) == 2

    def test_nor_with_another_secret_of_the_same_key(self, world: World, account: Account) -> None:
        world.open_trade(account)
        taken = in_line(world, account, 2, {**FAR, "scope": "all"})
        opener = world.parts.opener
        handed = opener.hand_on
        wrong = replace(account.paper, secret=world.account(name="Other").paper.secret)
        row = world.written(replace(account, paper=wrong))

        def rotate(*given: object) -> None:
            handed(*given)  # type: ignore[arg-type]
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)

        opener.hand_on = rotate  # type: ignore[method-assign,assignment]
        world.parts.executor.run(taken[0])
        refused = api.get_result(taken[1])
        assert (refused["status"], refused["error"]["code"]) == ("failed", "exchange_unauthorized")

    def test_nor_behind_a_run_of_another_process(self, world: World, account: Account) -> None:
        """Handed to the queue, taken up elsewhere, changed there, put back: all within the second."""
        world.open_trade(account)
        taken = in_line(world, account, 2, {**FAR, "scope": "all"})
        world.parts.executor.stopping.set()
        world.parts.executor.run(taken[0])
        world.parts.executor.stopping.clear()
        with world.storage.connection():
            claimed = claiming.claim(world.storage, taken[1], worker_id="elsewhere", lease_seconds=6)
            assert claimed is not None
            executions.wait(world.storage, claimed.run, "retry", seconds=0.0, lease_seconds=6)
        since = last(world)
        assert world.go_on(taken[1])["status"] == "pending"
        assert reads(world, since) == 1


class TestWhoFollows:
    def test_what_is_executed_in_an_application_takes_no_others_along(self, world: World, account: Account) -> None:
        """They may be of types that only a worker has, and would fail there."""
        job = world.job(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))
        first, second = world.enqueue(job, "key"), world.enqueue(world.job(world.automation(account, "auto_entry", {})))
        keep_for(world, account, first, second)
        assert api.execute(job, "key")["status"] == "completed"
        assert world.execution(second).status == "queued"

    def test_entries_never_keep_a_guard_of_their_exchange_out(self, world: World, account: Account) -> None:
        other = world.exchange("other", "Other")
        world.account("bob", "Another Account", exchange_id=other)
        slots = world.parts.executor.slots
        slots.threads = 4
        with slots.take("lnmarkets", "default"), slots.take("lnmarkets", "default"):
            entry = world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))
            assert (entry["status"], entry["waitingFor"]) == ("waiting", "rate")
            assert world.run(world.automation(account, "margin_guard", {**FAR, "scope": "all"}))["status"] == "pending"

    def test_the_next_goes_through_the_queue_when_the_worker_stops(self, world: World, account: Account) -> None:
        taken = in_line(world, account, 2, {**FAR, "scope": "all"})
        world.parts.executor.stopping.set()
        world.parts.executor.run(taken[0])
        assert world.execution(taken[1]).status == "queued"

    @pytest.mark.parametrize(("lane", "stays"), [("default", False), ("protect", True)])
    def test_a_guards_thread_takes_no_entry_along(
        self, world: World, account: Account, lane: Lane, stays: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turns = iter([("protect", Next("second", lane)), ("protect", None)])
        woken: list[str] = []
        executor = world.parts.executor
        monkeypatch.setattr(executor, "_run_one", lambda _: next(turns))
        monkeypatch.setattr(executor, "wake", lambda one: woken.append(one.id))
        executor.run("first")
        assert woken == ([] if stays else ["second"])

    def test_a_long_line_takes_turns_with_other_accounts(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[str] = []
        woken: list[str] = []
        executor = world.parts.executor

        def run_one(execution_id: str) -> tuple[str, Next]:
            ran.append(execution_id)
            return "default", Next(str(len(ran)), "default")

        monkeypatch.setattr(executor, "_run_one", run_one)
        monkeypatch.setattr(executor, "wake", lambda one: woken.append(one.id))
        executor.run("0")
        assert len(ran) == 8
        assert woken == ["8"]
