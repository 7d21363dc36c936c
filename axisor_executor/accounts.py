"""What is done with exchange accounts by hand: add, list, verify, rotate, switch on and off. No secret gets out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unicodedata import category
from uuid import UUID, uuid4

from axisor_executor.credentials import (
    RowJson,
    SecureCredentials,
    StoredCredentials,
    format_of,
    write_credentials,
)
from axisor_executor.credentials.keyring import LABELS
from axisor_executor.credentials.row import field_of
from axisor_executor.credentials.writing import format_to_write
from axisor_executor.errors import (
    AxisorError,
    Changed,
    CredentialsError,
    NotFound,
    Refused,
    Rejected,
    StorageError,
)
from axisor_executor.keycheck import KeysTested, ask_of_keys, owner_of
from axisor_executor.observe.logs import maybe_timestamp, say, timestamp
from axisor_executor.run.acting import LN_MARKETS
from axisor_executor.runtime import Runtime
from axisor_executor.storage import account_rows, history
from axisor_executor.storage.account_rows import AccountRecord
from axisor_executor.storage.accounts import Account, as_stored, id_text, maybe_id_text, set_credentials
from axisor_executor.storage.schema import owns_monolith_tables
from axisor_executor.storage.values import document

MOST_NAMED = 5
_NOT_PRINTED = frozenset({"Cc", "Zl", "Zp"})
"""Categories of letters that move a terminal's cursor instead of being shown: controls, ends of lines."""


# -- looking


def find(parts: Runtime, reference: str | UUID) -> AccountRecord:
    """Return the account of this id, or the only one whose UUID begins so.

    Raises:
        NotFound: there is none (``account_not_found``).
        AxisorError: there are several (``ambiguous_id``); the message names some.
        InvalidJob: it is neither a text nor a UUID.
    """
    reference = id_text(reference)
    with parts.storage.connection():
        found = account_rows.by_id(parts.storage, reference, MOST_NAMED + 1) if reference else []
    if not found:
        raise NotFound(f"no account has the id {reference!r}, or a UUID that begins so", code="account_not_found")
    if len(found) > 1:
        names = ", ".join(one.account.id for one in found[:MOST_NAMED])
        raise AxisorError(f"several accounts begin with {reference!r}: {names}", code="ambiguous_id", status=400)
    return found[0]


def listed(parts: Runtime, user_id: str | UUID | None = None) -> list[dict[str, Any]]:
    """Return all accounts, or one user's, as :func:`shown`."""
    with parts.storage.connection():
        return [shown(record) for record in account_rows.listed(parts.storage, maybe_id_text(user_id))]


def shown(record: AccountRecord) -> dict[str, Any]:
    """Return an account as JSON, nothing secret in it: of its keys only how they are stored, and for which network."""
    account = record.account
    stored = StoredCredentials(account.credentials, account_id=account.id)
    return {
        "id": account.id,
        "userId": account.user_id,
        "name": account.name,
        "exchange": account.exchange_slug,
        "exchangeName": account.exchange_name,
        "exchangeIsActive": account.exchange_active,
        "isActive": account.is_active,
        "isVerified": record.is_verified,
        "lastTest": maybe_timestamp(record.last_test),
        "automations": record.automations,
        "activeAutomations": record.active_automations,
        "credentials": {
            "formats": _formats(account.credentials),
            "isTestnet": stored.testnet,
            "warnings": list(stored.warnings),
        },
        "createdAt": timestamp(record.created_at),
        "updatedAt": timestamp(record.updated_at),
    }


def _formats(credentials: Any) -> list[str]:
    """Return the formats in which an account's secrets stand."""
    try:
        row = document(credentials)
    except ValueError:
        return ["unreadable"]
    if not isinstance(row, dict):
        return ["none" if row is None else "unreadable"]
    values = [str(value) for name, value in row.items() if field_of(name) and value not in (None, "")]
    return sorted({format_of(value) or "plain text" for value in values})


# -- keys from outside


def keys_from(given: RowJson, parts: Runtime, *, testnet: bool = False) -> SecureCredentials:
    """Return the credentials in a JSON object, in any spelling that a row may have; ``testnet`` sets the flag too.

    Raises:
        CredentialsError: one is missing, blank or given twice, or it is no such object; no value is in the message.
    """
    stored = StoredCredentials(given, account_id="(given)")
    if twice := [label for field, label in LABELS.items() if f"duplicate_{field}" in stored.warnings]:
        raise CredentialsError(f"given twice, with different values: {', '.join(twice)}", code="credentials_unreadable")
    opened = stored.open(parts.vault.ring)
    if not testnet or opened.testnet:
        return opened
    return SecureCredentials(opened.reveal_key(), opened.reveal_secret(), opened.reveal_passphrase(), True)


def _written(parts: Runtime, account_id: str, keys: SecureCredentials) -> dict[str, str]:
    return write_credentials(
        keys.reveal_key(),
        keys.reveal_secret(),
        keys.reveal_passphrase(),
        keys.testnet,
        account_id=account_id,
        format=format_to_write(parts.settings, parts.storage),
        ring=parts.vault.ring,
    )


def _reads_back(parts: Runtime, account_id: str, keys: SecureCredentials) -> None:
    """Raise, inside the caller's transaction, where the row does not hold these keys."""
    row = account_rows.lock_credentials(parts.storage, account_id)
    if StoredCredentials(row, account_id=account_id).open(parts.vault.ring) != keys:
        raise StorageError(
            f"The credentials of account {account_id} can't be read back; nothing was changed",
            code="credentials_not_stored",
            account_id=account_id,
        )


# -- adding


def add(
    parts: Runtime,
    *,
    user_id: str | UUID,
    name: str,
    exchange: str,
    keys: SecureCredentials,
    account_id: str | UUID | None = None,
    is_active: bool | None = None,
) -> tuple[dict[str, Any], bool]:
    """Add a user's account, and return it with ``True``; or the one with this name and these keys, ``False``.

    Args:
        parts: the runtime.
        user_id: whose it is.
        name: how it is called, unique for the user on this exchange.
        exchange: the exchange's slug. On a database of our own it is added where it is not there.
        keys: its credentials.
        account_id: an id of one's own; a UUID is made where it is left out.
        is_active: whether it is switched on; left out, only where the user has no active one.

    Raises:
        NotFound: the exchange is not there (``exchange_missing``).
        AxisorError: the name is taken (409, ``account_exists``), another account is active
            (``several_active_accounts``), no plugin knows the exchange (``unknown_exchange``), or the tables refuse
            the row (``row_refused``).
        CredentialsError, SettingsError: the keys can't be stored.
    """
    name = _required(name, "name")
    user_id, account_id = _required(id_text(user_id), "user"), maybe_id_text(account_id)
    with parts.storage.write():
        before = account_rows.named(parts.storage, user_id, exchange, name)
        given_id = account_id and as_stored(parts.storage, "account", account_id)
        if before is not None:
            return shown(_same(parts, before, keys, given_id)), False
        own_id = given_id or str(uuid4())
        active = _may_be_active(parts, user_id, is_active)
        account_rows.add(
            parts.storage,
            account_id=own_id,
            user_id=user_id,
            exchange_id=_exchange(parts, exchange),
            name=name,
            credentials=_written(parts, own_id, keys),
            is_active=active,
        )
        _reads_back(parts, own_id, keys)
        added = find(parts, own_id)
    say.success(f"Account {name} of user {user_id} was added")
    return shown(added), True


def _required(text: str, what: str) -> str:
    if not text.strip():
        raise AxisorError(f"the {what} must not be blank", code="invalid_account", status=400)
    if any(category(letter) in _NOT_PRINTED for letter in text):
        raise AxisorError(f"the {what} must be one line of printable text", code="invalid_account", status=400)
    return text.strip()


def _same(parts: Runtime, before: AccountRecord, keys: SecureCredentials, account_id: str | None) -> AccountRecord:
    account = before.account
    try:
        same = StoredCredentials(account.credentials, account_id=account.id).open(parts.vault.ring) == keys
    except CredentialsError:
        same = False
    if same and account_id in (None, account.id):
        return before
    raise AxisorError(
        f"User {account.user_id} has an account {account.name} on {account.exchange_slug} already ({account.id}); "
        "to replace its keys, rotate them",
        code="account_exists",
        status=409,
        account_id=account.id,
    )


def _may_be_active(parts: Runtime, user_id: str, wanted: bool | None) -> bool:
    others = _active(parts, user_id)
    if wanted and others:
        raise _several(others)
    return not others if wanted is None else wanted


def _active(parts: Runtime, user_id: str) -> list[AccountRecord]:
    """Return a user's active accounts, all of the user's locked in the caller's transaction."""
    account_rows.lock_accounts(parts.storage, user_id)
    return [one for one in account_rows.listed(parts.storage, user_id) if one.account.is_active]


def _several(others: list[AccountRecord]) -> AxisorError:
    names = ", ".join(f"{one.account.name} ({one.account.id})" for one in others)
    return AxisorError(
        f"User {others[0].account.user_id} has an active account: {names}; one at a time is meant to be",
        code="several_active_accounts",
        status=400,
    )


def _exchange(parts: Runtime, slug: str) -> str:
    known = account_rows.exchange_id(parts.storage, slug)
    if known is not None:
        return known
    if slug not in LN_MARKETS and slug not in parts.registry.exchanges:
        installed = ", ".join(sorted({"lnmarkets", *parts.registry.exchanges}))
        raise AxisorError(
            f"Exchange {slug} is not supported; installed: {installed}", code="unknown_exchange", status=400
        )
    if not owns_monolith_tables(parts.storage):
        slugs = ", ".join(account_rows.exchange_slugs(parts.storage)) or "none"
        raise NotFound(f"the monolith has no exchange {slug}; it has: {slugs}", code="exchange_missing")
    new_id = str(uuid4())
    account_rows.add_exchange(parts.storage, new_id, slug, "LN Markets" if slug in LN_MARKETS else slug)
    return new_id


# -- verifying


def verify(parts: Runtime, reference: str | UUID) -> dict[str, Any]:
    """Ask the exchange who the owner of an account's key is, and what it may read; note the outcome in its row.

    The right to trade can't be asked for without trading, so nothing is said of it.

    Raises:
        NotFound, AxisorError: as :func:`find`.
        Unavailable: the exchange did not answer; the row is as it was.
    """
    account = find(parts, reference).account
    with parts.storage.connection():
        tested = ask_of_keys(parts, account)
        at = account_rows.set_verified(parts.storage, account.id, tested.is_usable)
    return {
        "accountId": account.id,
        "accountName": account.name,
        "userId": account.user_id,
        "exchange": account.exchange_slug,
        "isVerified": tested.is_usable,
        "testedAt": timestamp(at),
        **tested.told,
        "problems": tested.problems,
    }


# -- rotating


def rotate(
    parts: Runtime, reference: str | UUID, keys: SecureCredentials, *, check: bool = True, other_user: bool = False
) -> dict[str, Any]:
    """Replace an account's keys. The old ones stay in force until the new ones are written and read back.

    Args:
        parts: the runtime.
        reference: the account's id, or its beginning.
        keys: the new credentials.
        check: have the exchange accept them, for the same user of its, before anything is written.
        other_user: take keys of another exchange user, too, or where it can't be told whose the old ones were.

    Raises:
        NotFound, AxisorError: as :func:`find`.
        Refused: they are of another exchange user (``other_exchange_user``), or the old one's can't be told
            (``exchange_user_unknown``).
        Rejected, CredentialsError, Unavailable: the new keys were not accepted, or the exchange did not answer.
        Changed: somebody else replaced the keys meanwhile.
    """
    record = find(parts, reference)
    account = record.account
    with parts.storage.connection():
        tested = _test_new(parts, account, keys, other_user=other_user) if check else None
        with parts.storage.write():
            if account_rows.lock_credentials(parts.storage, account.id) != account.credentials:
                raise Changed(
                    f"The credentials of account {account.name} were replaced by somebody else meanwhile",
                    account_id=account.id,
                )
            set_credentials(parts.storage, account.id, _written(parts, account.id, keys))
            _reads_back(parts, account.id, keys)
            account_rows.set_verified(parts.storage, account.id, tested is not None and tested.is_usable)
        unsettled = history.unsettled(
            parts.storage, scope="account", scope_id=account.id, statuses=("sending", "unknown")
        )
    say.success(f"The keys of account {account.name} were replaced")
    told = tested.told if tested else {}
    return {
        "accountId": account.id,
        "accountName": account.name,
        "userId": account.user_id,
        "isVerified": tested is not None and tested.is_usable,
        **told,
        "problems": tested.problems if tested else [],
        "unsettledActions": len(unsettled),
    }


def _test_new(parts: Runtime, account: Account, keys: SecureCredentials, *, other_user: bool) -> KeysTested:
    candidate = replace(account, credentials=_written(parts, account.id, keys))
    tested = ask_of_keys(parts, candidate)
    if not tested.is_usable:
        problem = tested.problems[0]
        message = f"the new keys may not read all that is needed: {problem['message']}; nothing was changed"
        raise Rejected(message, code=problem["code"], status=problem["status"], account_id=account.id)
    before = None if other_user else owner_of(parts, account)
    if not other_user and before is None:
        raise Refused(
            f"whose the old keys of account {account.name} were can't be told any more (they are not accepted, and "
            "nothing was ever sent with them); confirm that the new ones may be anybody's",
            code="exchange_user_unknown",
            account_id=account.id,
        )
    if before is not None and tested.exchange_user_id != before:
        raise Refused(
            f"the new keys belong to another exchange user than those of account {account.name}; nothing was changed",
            code="other_exchange_user",
            account_id=account.id,
        )
    return tested


# -- switching on and off


def set_active(parts: Runtime, reference: str | UUID, is_active: bool, *, switch: bool = False) -> dict[str, Any]:
    """Switch an account on or off, and tell what that means for its automations.

    Args:
        parts: the runtime.
        reference: the account's id, or its beginning.
        is_active: on or off.
        switch: when switching on, switch the user's other accounts off.

    Raises:
        NotFound, AxisorError: as :func:`find`; another account of the user is active (``several_active_accounts``).
    """
    record = find(parts, reference)
    account = record.account
    with parts.storage.write():
        active = _active(parts, account.user_id)
        others = [one for one in active if one.account.id != account.id]
        was_active = len(others) < len(active)
        if is_active and others and not switch:
            raise _several(others)
        for one in others if is_active else ():
            account_rows.set_active(parts.storage, one.account.id, False)
        if was_active != is_active:
            account_rows.set_active(parts.storage, account.id, is_active)
    return {
        "accountId": account.id,
        "accountName": account.name,
        "userId": account.user_id,
        "isActive": is_active,
        "changed": was_active != is_active,
        "switchedOff": [one.account.id for one in others] if is_active else [],
        "activeAutomations": record.active_automations,
        "inactiveAccounts": parts.settings.inactive_accounts,
    }
