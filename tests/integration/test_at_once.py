"""What a run does to the ledger in one go: nothing passes that the long way would have refused."""

from __future__ import annotations

import json
import logging
from typing import Any

import peewee
import pytest

from axisor_executor.automation import act
from axisor_executor.errors import Changed, Held, LeaseLost
from axisor_executor.storage import accounts, leases, sending, switches
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.schema import migrate
from tests.harness.postgres import PostgresServer
from tests.integration.ledger import ENTRY, SENDING, Ledger

UNKNOWN = (
    "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, params, "
    "automation_id, account_id, status, created_at) VALUES ('other', 1, 1, 0, 0, 'OpenPosition', '{}', "
    "'automation-a', 'account-1', 'unknown', {now})"
)


OWED = (
    "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, trade_id, params, "
    "automation_id, account_id, status, created_at) VALUES (?, 1, 1, 0, 0, 'ClosePosition', 'trade-1', '{}', "
    "'automation-b', 'account-1', ?, {now}), (?, 2, 1, 0, 1, 'OpenPosition', NULL, '{\"replaces\": \"trade-1\"}', "
    "'automation-b', 'account-1', 'planned', {now})"
)


class Sender:
    """A run of automation-a on account-1 that has decided on an entry."""

    def __init__(self, ledger: Ledger, *, dry_run: bool = False) -> None:
        self.ledger = ledger
        self.run: Execution = ledger.running(automation_id="automation-a")
        account = accounts.account(ledger.storage, "account-1")
        automation = accounts.automation(ledger.storage, "automation-a")
        assert account is not None
        assert automation is not None
        self.account = account
        self.plan = Plan(
            ledger.storage, self.run, act(ENTRY), {}, [], config_text=automation.config_text, dry_run=dry_run
        )

    def begin(self) -> None:
        sending.begin(
            self.ledger.storage, self.run, self.plan.actions[0], SENDING, account=self.account, plan=self.plan
        )


def change(ledger: Ledger, what: str) -> None:
    storage = ledger.storage
    match what:
        case "credentials":
            accounts.set_credentials(storage, "account-1", {"key": "another"})
        case "rebound":
            ledger.queued("account-2")
            storage.run(
                'UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', "account-2", "automation-a"
            )
        case "automation off":
            storage.run('UPDATE "Automation" SET is_active = ? WHERE id = ?', False, "automation-a")
        case "account off":
            storage.run("UPDATE user_exchange_accounts SET is_active = NOT is_active WHERE id = ?", "account-1")
        case "exchange off":
            storage.run("UPDATE exchanges SET is_active = ?", False)
        case "dry run":
            storage.run('UPDATE "Automation" SET config = ? WHERE id = ?', {"dry_run": True}, "automation-a")
        case "deleted":
            storage.run('DELETE FROM "Automation" WHERE id = ?', "automation-a")
        case "all" | "exchange" | "account" | "automation":
            scope_id = {"exchange": "lnmarkets", "account": "account-1", "automation": "automation-a"}.get(what, "")
            switches.put(storage, what, scope_id, "reduce_only", None)
        case "lease over":
            ledger.let_lease_end()
        case "lease taken":
            ledger.let_lease_end()
            ledger.running()
        case "unresolved":
            storage.run(UNKNOWN)
        case "remainder owed":
            other = ledger.queued()
            storage.run(OWED, other, "confirmed", other)


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("credentials", Changed),
        ("rebound", Changed),
        ("automation off", Changed),
        ("account off", Changed),
        ("exchange off", Changed),
        ("dry run", Changed),
        ("deleted", Changed),
        ("all", Held),
        ("exchange", Held),
        ("account", Held),
        ("automation", Held),
        ("lease over", LeaseLost),
        ("lease taken", LeaseLost),
        ("unresolved", Held),
        ("remainder owed", Held),
    ],
)
def test_nothing_begins_behind_a_change(ledger: Ledger, what: str, error: type[Exception], is_kept: bool) -> None:
    sender = Sender(ledger)
    if is_kept:
        sender.plan.keep()
    change(ledger, what)
    with pytest.raises(error):
        sender.begin()
    assert [one.status for one in ledger.actions(sender.run)] == (["planned"] if is_kept else [])


def test_a_switch_of_others_holds_nothing_and_needs_no_second_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(ledger)
    switches.put(ledger.storage, "account", "account-2", "paused", None)
    monkeypatch.setattr(sending, "_begin_with_care", None)
    sender.begin()
    assert [one.status for one in ledger.actions(sender.run)] == ["sending"]


def test_a_remainder_that_is_not_owed_any_more_needs_no_second_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ledger.running()
    ledger.storage.run(OWED, other.id, "rejected", other.id)
    ledger.finish(other, "failed")
    sender = Sender(ledger)
    monkeypatch.setattr(sending, "_begin_with_care", None)
    sender.begin()
    assert [one.status for one in ledger.actions(sender.run)] == ["sending"]


def test_what_is_planned_dry_never_begins(ledger: Ledger) -> None:
    sender = Sender(ledger, dry_run=True)
    with pytest.raises(LeaseLost):
        sender.begin()
    assert ledger.actions(sender.run) == []


def test_an_end_is_an_end_though_its_account_can_not_be_handed_over(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ledger.running()
    assert ledger.claim(ledger.queued()) is None, "it stands in line"

    def broken(*_: object, **__: object) -> None:
        raise peewee.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(leases, "reserve", broken)
    assert ledger.finish(run) is None
    assert ledger.get(run.id).status == "completed"
    ledger.let_lease_end()
    assert ledger.running() is not None, "and the account is free when the lease is over"


def test_a_config_and_keys_that_were_stored_as_a_text_in_json_are_read(ledger: Ledger) -> None:
    ledger.queued(automation_id="automation-a")
    twice = json.dumps(json.dumps({"a": 1}))
    ledger.storage.run('UPDATE "Automation" SET config = ? WHERE id = ?', twice, "automation-a")
    found = accounts.automation(ledger.storage, "automation-a")
    assert found is not None
    assert found.config == {"a": 1}


class TestSecrets:
    """Not every row's keys are encrypted: some stand there as the worker before left them."""

    CANARY = "CANARY-OF-A-KEY"

    def test_no_log_of_the_driver_shows_them(self, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
        accounts_row: dict[str, Any] = {"API Secret": self.CANARY}
        ledger.queued(automation_id="automation-a")
        accounts.set_credentials(ledger.storage, "account-1", accounts_row)
        ledger.let_lease_end()
        with caplog.at_level(logging.DEBUG):
            sender = Sender(ledger)
            sender.begin()
        assert "axisor_actions" in caplog.text, "peewee has told its statements"
        assert self.CANARY not in caplog.text

    def test_nor_does_the_servers(self, own_postgres: PostgresServer) -> None:
        storage = Storage(own_postgres.databases.url(own_postgres.databases.create()))
        migrate(storage, create_monolith_tables=True)
        ledger = Ledger(storage)
        with storage.connection():
            ledger.queued(automation_id="automation-a")
            accounts.set_credentials(storage, "account-1", {"API Secret": self.CANARY})
            sender = Sender(ledger)
            change(ledger, "all")
            seen = len(_log(own_postgres))
            with pytest.raises(Held):
                sender.begin()
        storage.close()
        told = _log(own_postgres)[seen:]
        assert "not the usual case" in told, "the server has told the statement that failed"
        assert self.CANARY not in told


def _log(server: PostgresServer) -> str:
    return (server.directory / "server.log").read_text()
