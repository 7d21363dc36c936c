"""What is kept of an account between runs follows its row: whatever is in the row now is what signs."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from axisor_executor.credentials import write_credentials
from axisor_executor.errors import Unavailable
from axisor_executor.exchange import LNMarketsClient
from axisor_executor.storage import accounts
from axisor_executor.storage.accounts import set_credentials
from tests.harness.world import Account, World

ENTRY = {"side": "b", "quantity": 100}


@pytest.fixture
def two(world: World) -> tuple[Account, Account]:
    return world.account(name="First"), world.account(name="Second")


def give_keys(world: World, to: Account, of: Account) -> None:
    """Write into the row of one account the keys of another."""
    keys = of.paper
    written = write_credentials(
        keys.key, keys.secret, keys.passphrase, False, account_id=to.id, format="monolith", ring=world.ring
    )
    with world.storage.connection():
        set_credentials(world.storage, to.id, written)


def row_of(world: World, account: Account) -> accounts.Account:
    with world.storage.connection():
        row = accounts.account(world.storage, account.id)
    assert row is not None
    return row


def test_each_run_is_signed_with_the_keys_that_are_in_the_row_then(world: World, two: tuple[Account, Account]) -> None:
    first, second = two
    entry = world.automation(first, "auto_entry", ENTRY)
    for owner in (first, first, second, second, first):
        give_keys(world, first, owner)
        with world.changes() as changes:
            result = world.run(entry)
        assert result["status"] == "completed", result
        assert changes.asked == {owner.name}
        (action,) = world.actions(result["executionId"])
        assert action.exchange_user_id == owner.paper.id


def test_whose_a_new_key_is_is_asked_while_the_handler_reads(
    world: World, two: tuple[Account, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that fires on an account that is new to its process has one wait for the exchange less."""
    account, _ = two
    trade_id = world.open_trade(account)
    world.restart()
    reads, asks = threading.Event(), threading.Event()
    clients: dict[str, LNMarketsClient] = {}
    running, owner = LNMarketsClient.running_trades, LNMarketsClient.account

    def running_trades(client: LNMarketsClient) -> Any:
        clients["reads"] = client
        reads.set()
        assert asks.wait(10), "the owner is asked for only when the handler has read"
        return running(client)

    def account_of(client: LNMarketsClient) -> Any:
        clients["asks"] = client
        asks.set()
        assert reads.wait(10), "the handler reads only when the owner is known"
        return owner(client)

    monkeypatch.setattr(LNMarketsClient, "running_trades", running_trades)
    monkeypatch.setattr(LNMarketsClient, "account", account_of)
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    result = world.run(guard, trade_id=trade_id)
    assert result["status"] == "completed", result
    (action,) = world.actions(result["executionId"])
    assert action.exchange_user_id == account.paper.id
    assert clients["reads"] is not clients["asks"], "a client belongs to one thread at a time"


@pytest.mark.parametrize("is_refused", [False, True], ids=["away", "refused"])
def test_nothing_is_sent_for_a_key_whose_owner_is_not_told(
    world: World, two: tuple[Account, Account], *, is_refused: bool
) -> None:
    account, _ = two
    trade_id = world.open_trade(account)
    world.restart()
    world.paper.add_fault("status_before", route="GET /v3/account", status=403 if is_refused else 503)
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    with world.changes() as changes:
        result = world.run(guard, trade_id=trade_id)
    assert result["status"] == ("failed" if is_refused else "waiting"), result
    assert changes.effects == []
    assert world.actions(result["executionId"]) == []


def test_many_at_once_get_each_what_their_own_row_holds(world: World, two: tuple[Account, Account]) -> None:
    first, second = two
    before = row_of(world, first)
    give_keys(world, first, second)
    rows = {first.paper.id: before, second.paper.id: row_of(world, first)}
    opener = world.parts.opener
    fingerprints = {owner: opener.open(row, "a", "default").fingerprint for owner, row in rows.items()}
    assert len(set(fingerprints.values())) == 2

    def open_in_turn(start: int) -> None:
        with world.storage.connection():
            for number in range(start, start + 100):
                owner = list(rows)[number % 2]
                acting = opener.open(rows[owner], "a", "default")
                assert (acting.fingerprint, acting.owner()) == (fingerprints[owner], owner)
                assert acting.client.account().value.id == owner if number % 25 == 0 else True

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_in_turn, range(6)))


def test_a_run_asks_once_whose_its_key_is_however_many_others_come_between(
    world: World, two: tuple[Account, Account]
) -> None:
    """Its request is signed with an instant that was chosen: nothing may be asked between that and its commit."""
    world.restart(credentials_cache_size=1)
    first, second = (row_of(world, account) for account in two)
    opener = world.parts.opener
    acting = opener.open(first, "a", "default")
    assert acting.owner() == two[0].paper.id
    assert opener.open(second, "a", "default").owner() == two[1].paper.id
    world.paper.add_fault("status_before", route="GET /v3/account", status=503)
    assert acting.owner() == two[0].paper.id


def test_whose_a_key_is_is_asked_again_where_it_was_not_told(world: World, two: tuple[Account, Account]) -> None:
    row = row_of(world, two[0])
    acting = world.parts.opener.open(row, "a", "default")
    world.paper.add_fault("status_before", route="GET /v3/account", status=503, count=1)
    with pytest.raises(Unavailable):
        _ = acting.owner()
    assert acting.owner() == two[0].paper.id


def test_keys_are_kept_no_longer_than_the_cache_of_credentials_keeps_them(world: World) -> None:
    row = row_of(world, world.account())
    opener = world.parts.opener
    opener.open(row, "a", "default")
    kept = weakref.ref(opener.credentials(row))
    assert kept() is not None
    opener.vault.cache.clear()
    gc.collect()
    assert kept() is None
    opener.open(row, "a", "default")
