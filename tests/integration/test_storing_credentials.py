"""Credentials written by the library: in the format that the setting says, and used from the next job on."""

from __future__ import annotations

import pytest

from axisor_executor import set_user_credentials
from axisor_executor.errors import CredentialsError, NotFound
from axisor_executor.storage.models import AccountRow
from tests.harness.world import Account, World


def stored(world: World, account: Account) -> dict[str, str]:
    with world.storage.connection():
        found = AccountRow.get_by_id(account.id).credentials
    assert isinstance(found, dict)
    return found


def store(
    account: Account, *, user_id: str | None = None, key: str | None = None, passphrase: str | None = None
) -> None:
    keys = account.paper
    set_user_credentials(
        user_id or account.user_id,
        account.id,
        key=keys.key if key is None else key,
        secret=keys.secret,
        passphrase=keys.passphrase if passphrase is None else passphrase,
    )


def test_a_database_of_our_own_gets_sealed_ones_that_work_at_once(world: World) -> None:
    account = world.account(credentials={"API Key": "", "API Secret": "", "Passphrase": ""})
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
    assert world.run(entry)["error"]["code"] == "credentials_missing"
    store(account)
    assert all(stored(world, account)[name].startswith("axs1:") for name in ("API Key", "API Secret", "Passphrase"))
    assert world.run(entry)["status"] == "completed"


def test_the_monoliths_tables_get_what_the_monolith_can_read(world: World) -> None:
    world.storage.run("UPDATE axisor_schema SET owns_monolith_tables = 0")
    account = world.account()
    store(account)
    assert all(":" in stored(world, account)[name] for name in ("API Key", "API Secret", "Passphrase"))
    assert not any(value.startswith("axs1:") for value in stored(world, account).values())
    assert world.open_trade(account)


def test_blank_ones_and_foreign_accounts_change_nothing(world: World) -> None:
    account = world.account()
    before = stored(world, account)
    with pytest.raises(CredentialsError):
        store(account, key=" ")
    with pytest.raises(NotFound):
        store(account, user_id="somebody-else")
    assert stored(world, account) == before


def test_what_was_held_back_for_a_mistyped_passphrase_goes_on_when_it_is_corrected(world: World) -> None:
    """The API key was right all the time: to the breaker these are other credentials."""
    account = world.account()
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    trade_id = world.open_trade(account)
    store(account, passphrase="mistyped")
    results = [world.run(guard, trade_id=trade_id) for _ in range(world.settings.breaker_refusals + 1)]
    assert results[-1]["error"]["code"] == "account_circuit_open", results
    store(account)
    with world.changes() as changes:
        assert world.go_on(results[-1]["executionId"])["status"] == "completed"
    assert changes.kinds == ["close"]
    assert world.parts.breakers.states() == []
