"""What an application that embeds the library calls: take jobs, wait for results, look things up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from axisor_executor import runtime
from axisor_executor.bindings import bind_to_active
from axisor_executor.credentials import SecureCredentials, write_credentials
from axisor_executor.credentials.writing import format_to_write
from axisor_executor.errors import NotFound, StorageError
from axisor_executor.jobs import Job
from axisor_executor.observe.logs import say
from axisor_executor.runtime import Runtime
from axisor_executor.storage import accounts, executions
from axisor_executor.storage.accounts import Account, id_text, maybe_id_text
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution

_FIRST_POLL, _SLOWEST_POLL = 0.01, 0.25


def enqueue(job: Job | Mapping[str, Any], idempotency_key: str | None = None) -> str:
    """Take a job and return the id of its execution. From here on it will be carried out, exactly once.

    It is written to the database first; a Redis that is away only delays it. The same key with the same job returns
    the first execution's id: so a caller who got no id, for whatever reason, enqueues again with the same key.

    Args:
        job: ``{"userId", "automationId", "action", "tradeId", "maxAge"}``; the last three may be absent.
        idempotency_key: 1 to 200 characters, unique for each user.

    Raises:
        InvalidJob: the job is malformed; nothing was taken.
        IdempotencyConflict: the key was used for another job.
        StorageError: the database can't be reached, or failed meanwhile (503, ``database_unavailable``). The job may
            have been taken and only the answer lost, so without a key, enqueueing it again may carry it out twice.
    """
    parts = runtime.current()
    execution = _taken(parts, job, idempotency_key)
    if execution.status == "queued":
        parts.intake.announce(execution)
    return execution.id


def execute(job: Job | Mapping[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
    """Take a job, carry it out in this thread as far as it goes now, and return its result.

    What has to wait (for a retry, for the account, for a lost answer) goes on in a worker; the result then tells the
    state so far, as :func:`get_result` does.

    Raises:
        InvalidJob: as :func:`enqueue`.
        IdempotencyConflict: as :func:`enqueue`.
        StorageError: as :func:`enqueue`.
    """
    parts = runtime.current()
    execution = _taken(parts, job, idempotency_key)
    try:
        parts.executor.run(execution.id, most=1)  # others' may be of types that only a worker has
        return get_result(execution.id)
    except (StorageError, *BROKEN) as error:
        # The job was taken: to raise now would make the caller repeat what a worker is going to carry out.
        say.warning(f"The database is away, execution {execution.id} goes on later: {type(error).__name__}")
        return shown(execution)


def _taken(parts: Runtime, job: Job | Mapping[str, Any], idempotency_key: str | None) -> Execution:
    with parts.storage.explained():
        execution, _ = parts.intake.take(job, idempotency_key=idempotency_key)
    return execution


def get_result(execution_id: str | UUID, wait: float = 0.0) -> dict[str, Any]:
    """Return an execution's result; one that is not over is told by its ``status`` (queued, running, waiting).

    Args:
        execution_id: from :func:`enqueue`.
        wait: seconds to wait for its end.

    Raises:
        InvalidJob: an id is neither a text nor a UUID.
        NotFound: there is no such execution.
        StorageError: the database can't be reached, or failed meanwhile (503, ``database_unavailable``).
    """
    execution_id, storage = id_text(execution_id), runtime.current().storage
    deadline, pause = time.monotonic() + wait, _FIRST_POLL
    while True:
        with storage.explained(), storage.connection():
            found = executions.get(storage, execution_id)
        if found is None:
            raise NotFound(f"Execution {execution_id} not found", code="execution_not_found")
        left = deadline - time.monotonic()
        if found.is_over or left <= 0:
            return shown(found)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _SLOWEST_POLL)


def shown(found: Execution) -> dict[str, Any]:
    """Return an execution's result, or where it stands."""
    if found.result is not None:
        return found.result
    state: dict[str, Any] = {
        "status": found.status,
        "executionId": found.id,
        "automationId": found.automation_id,
        "userId": found.user_id,
        "accountId": found.account_id,
        "accountName": found.account_name,
        "tradeId": found.trade_id,
    }
    if found.wait_for:
        state["waitingFor"] = found.wait_for
    if found.error:
        state["error"] = found.error
    return state


def get_user_credentials(user_id: str | UUID, account_id: str | UUID | None = None) -> SecureCredentials:
    """Return the credentials of a user's account as they are in the database now.

    Args:
        user_id: whose.
        account_id: which account; the user's active one if left out.

    Raises:
        InvalidJob: an id is neither a text nor a UUID.
        NotFound: no such account of this user, or no active one.
        AxisorError: several accounts are active (400, ``several_active_accounts``).
        CredentialsError: missing, blank or unreadable.
        StorageError: as :func:`get_result`.
    """
    parts = runtime.current()
    user_id, account_id = id_text(user_id), maybe_id_text(account_id)
    with parts.storage.explained(), parts.storage.connection():
        say.debug(f"Getting credentials for user {user_id} and account {account_id or '(active)'}")
        if account_id is None:
            account = accounts.active_account(parts.storage, user_id)
        else:
            account = _account_of(parts.storage, user_id, account_id)
        say.success(f"Found account: {account.name} ({account.exchange_name})")
        return parts.opener.credentials(account)


def set_user_credentials(
    user_id: str | UUID, account_id: str | UUID, *, key: str, secret: str, passphrase: str, is_testnet: bool = False
) -> None:
    """Encrypt and store the credentials of a user's account; every process uses them from its next job on.

    ``AXISOR_CREDENTIALS_FORMAT`` says in which format: ``monolith``, or ``sealed``; by default the monolith's where its
    tables were found (it can read nothing else), sealed in a database of our own.

    Raises:
        InvalidJob: an id is neither a text nor a UUID.
        NotFound: no such account of this user.
        CredentialsError: one of the three is blank (``credentials_missing``), no text, too long or can't be sent, or
            the flag is neither true nor false (``credentials_invalid``); nothing was written.
        SettingsError: no encryption key is set.
        StorageError: as :func:`get_result`; store them again.
    """
    given = SecureCredentials(key, secret, passphrase, is_testnet)
    del key, secret, passphrase  # an error below must not carry them in this frame
    parts = runtime.current()
    with parts.storage.explained(), parts.storage.write():
        found = _account_of(parts.storage, id_text(user_id), id_text(account_id))
        written = write_credentials(
            given.reveal_key(),
            given.reveal_secret(),
            given.reveal_passphrase(),
            given.testnet,
            account_id=found.id,
            format=format_to_write(parts.settings, parts.storage),
            ring=parts.vault.ring,
        )
        accounts.set_credentials(parts.storage, found.id, written)
    say.success(f"Credentials of account {found.name} were stored")


def _account_of(storage: Storage, user_id: str, account_id: str) -> Account:
    found = accounts.account(storage, account_id)
    if found is None or found.user_id != accounts.as_stored(storage, "user", user_id):
        raise NotFound(f"Account {account_id} not found", code="account_not_found", account_id=account_id)
    return found


def get_automation_config(automation_id: str | UUID) -> dict[str, Any]:
    """Return an automation with its config and account: ``{id, userId, type, isActive, config, account}``.

    ``account`` is ``{id, name, exchange, isActive}``, or ``None`` where it is bound to none. No secret is in it.

    Raises:
        InvalidJob: an id is neither a text nor a UUID.
        NotFound: there is no such automation.
        StorageError: as :func:`get_result`.
    """
    automation_id, storage = id_text(automation_id), runtime.current().storage
    with storage.explained(), storage.connection():
        found = accounts.automation(storage, automation_id)
    if found is None:
        raise NotFound(f"Automation {automation_id} not found", code="automation_not_found")
    account = found.account
    return {
        "id": found.id,
        "userId": found.user_id,
        "type": found.type,
        "isActive": found.is_active,
        "config": found.config,
        "account": None
        if account is None
        else {
            "id": account.id,
            "name": account.name,
            "exchange": account.exchange_slug,
            "isActive": account.is_active,
        },
    }


def migrate_existing_automations(user_id: str | UUID) -> dict[str, Any]:
    """Bind a user's automations from before multi-account to the active account, all in one transaction.

    Bound ones are never touched; running it again changes nothing more.

    Returns:
        ``{"success", "migratedCount", "errors"}``; without one active account success is false, and nothing changed.

    Raises:
        InvalidJob: an id is neither a text nor a UUID.
        StorageError: as :func:`get_result`; call it again.
    """
    user_id, storage = id_text(user_id), runtime.current().storage
    with storage.explained():
        done = bind_to_active(storage, user_id)
    if done.problem is not None:
        return {"success": False, "migratedCount": 0, "errors": [done.problem]}
    if count := len(done.automation_ids):
        say.success(f"Bound {count} automations of user {user_id} to account {done.account_name}")
    return {"success": True, "migratedCount": count, "errors": []}
