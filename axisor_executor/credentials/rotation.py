"""Write all credentials anew with the newest key, while everything runs.

Row by row, each in a transaction of its own: the row is locked, compared with what was read, written, read back and
decrypted with the newest key alone; whatever is not as it should be is rolled back. So a change by somebody else is
never overwritten, a row is never without a key of the ring that reads it, and a rotation that was interrupted goes on
where it was: what is done already is skipped.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pydantic import SecretStr

from axisor_executor.credentials.census import AccountRow, Census, Listing, Standing, account_rows
from axisor_executor.credentials.ciphers import Format
from axisor_executor.credentials.entries import Opened, RowEntries
from axisor_executor.credentials.keyring import KeyRing
from axisor_executor.errors import AxisorError, CredentialsError
from axisor_executor.storage.connection import Storage

TRIES = 5
PAUSE_SECONDS = 0.1
"""Between two tries of a row that somebody else is changing; doubled each time."""

Ending = Literal["rotated", "skipped", "unreadable", "busy"]


@dataclass(frozen=True)
class Target:
    """How credentials are to stand: with which key and in which format, and whether plain text is encrypted."""

    key_id: str
    format: Format
    encrypts_plain_text: bool = True

    def is_met(self, standing: Standing) -> bool:
        """Tell whether a secret that stands so may stay."""
        if standing.format is None:
            return not self.encrypts_plain_text
        return standing == Standing(self.format, self.key_id)

    def to_do(self, census: Census) -> int:
        """Return how many accounts have a secret to be written anew."""
        return census.having(lambda one: not self.is_met(one))


@dataclass
class Rotation:
    """What a rotation did.

    Attributes:
        rotated: accounts written anew and read back.
        skipped: those that were so already, or hold nothing.
        unreadable: those left alone because a secret in them can't be read.
        busy: those left alone because somebody else kept changing them.
    """

    rotated: int = 0
    skipped: int = 0
    unreadable: Listing = field(default_factory=Listing)
    busy: Listing = field(default_factory=Listing)

    @property
    def is_complete(self) -> bool:
        """Whether no account was left alone."""
        return not (self.unreadable.count or self.busy.count)


def check_readers(
    census: Census, target: Target, *, ours: bool, monoliths_key_id: str | None, monolith_reads: bool
) -> None:
    """Refuse what would take the credentials away from the monolith, unless it reads them no longer.

    It reads nothing but its own format, and only with ``ENCRYPTION_KEY``.

    Args:
        census: how they stand now.
        target: how they are to stand.
        ours: whether the tables were made by us, not by the monolith.
        monoliths_key_id: the id of ``ENCRYPTION_KEY``, None where it is not set.
        monolith_reads: whether it may still read them.

    Raises:
        AxisorError: 400, ``monolith_reads``; nothing was changed.
    """
    if not monolith_reads:
        return
    reason = None
    if target.format == "sealed" and (not ours or census.having(lambda one: one.format == "monolith")):
        reason = "the monolith can't read the format sealed"
    elif not ours and target.key_id != monoliths_key_id:
        reason = "the monolith reads with ENCRYPTION_KEY only, which is not the first key"
    if reason:
        raise AxisorError(f"nothing was changed: {reason}", code="monolith_reads", status=400)


def rotate(
    storage: Storage, ring: KeyRing, target: Target, on_row: Callable[[AccountRow, Ending], None] = lambda *_: None
) -> Rotation:
    """Write the credentials of all accounts anew as ``target`` says; ``on_row`` is called after each account.

    Raises:
        AxisorError: 500, ``rotation_failed``: an account does not read back as it was, and was left as it is.
        SettingsError: the ring has no key.
    """
    done = Rotation()
    newest = ring.newest()
    for row in account_rows(storage):
        try:
            ending = _settle(storage, row, ring, newest, target)
        except CredentialsError as error:
            done.unreadable.add(row, error.message)
            ending = "unreadable"
        if ending == "busy":
            done.busy.add(row, "is being changed by somebody else")
        done.rotated += ending == "rotated"
        done.skipped += ending == "skipped"
        on_row(row, ending)
    return done


def _settle(storage: Storage, row: AccountRow, ring: KeyRing, newest: KeyRing, target: Target) -> Ending:
    """Bring one account to its target, looking again when somebody else changes it meanwhile."""
    text: SecretStr | None = row.text
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_SECONDS * 2 ** (number - 1))
            text = _read(storage, row.id)
        if text is None:
            return "skipped"  # deleted meanwhile
        before = RowEntries(text, account_id=row.id)
        opened = before.open(ring)
        due = [one for one in opened if not target.is_met(Standing(one.entry.format, one.key_id))]
        if not due:
            return "skipped"
        if _replace(storage, text, before, due, newest, target):
            return "rotated"
    return "busy"


def _replace(
    storage: Storage, text: SecretStr, before: RowEntries, due: list[Opened], newest: KeyRing, target: Target
) -> bool:
    """Write a row's secrets anew if it still holds ``text``; return whether it does."""
    account_id = before.account_id
    texts = {
        one.entry.name: newest.encrypt(one.plain, format=target.format, account_id=account_id, field=one.entry.field)
        for one in due
    }
    with storage.write():
        if not _is_still(storage, account_id, text):
            return False
        written, values = (
            ("?", [before.replaced(texts).get_secret_value()])
            if target.encrypts_plain_text
            else _in_place(storage, before, text, due, texts)
        )
        storage.run(
            f"UPDATE user_exchange_accounts SET credentials = {written}, updated_at = ? WHERE id = ?",  # noqa: S608
            *values,
            datetime.now(UTC),
            account_id,
        )
        _check_written(_read(storage, account_id), before, due, newest)
    return True


def _in_place(
    storage: Storage, before: RowEntries, text: SecretStr, due: list[Opened], texts: dict[str, str]
) -> tuple[str, list[str]]:
    """Return the SQL, and its parameters, that puts texts in the places of encrypted ones.

    So what stays in the row in plain text does not become a part of a statement.

    Raises:
        CredentialsError: an encrypted text stands in the row in another place, too.
    """
    written, values = "CAST(credentials AS TEXT)", []
    for one in due:
        written = f"replace({written}, ?, ?)"
        values += [one.entry.text.get_secret_value(), texts[one.entry.name]]
        if text.get_secret_value().count(values[-2]) > 1:
            raise CredentialsError(
                "An encrypted text stands in it twice; only a rotation that encrypts plain text, too, writes it anew",
                code="credentials_unreadable",
                account_id=before.account_id,
            )
    if not storage.is_sqlite:
        written = f"CAST({written} AS {storage.type_of('user_exchange_accounts', 'credentials')})"
    return written, values


def _is_still(storage: Storage, account_id: str, text: SecretStr) -> bool:
    """Lock the row and compare; a row that somebody else has locked is not waited for."""
    # Compared here and not in SQL: a secret in plain text must not become a part of a statement.
    lock = "" if storage.is_sqlite else " FOR UPDATE SKIP LOCKED"
    return _read(storage, account_id, lock) == text


def _read(storage: Storage, account_id: str, lock: str = "") -> SecretStr | None:
    row = storage.one(f"SELECT CAST(credentials AS TEXT) FROM user_exchange_accounts WHERE id = ?{lock}", account_id)  # noqa: S608
    return None if row is None else SecretStr("null" if row[0] is None else row[0])


def _check_written(text: SecretStr | None, before: RowEntries, due: list[Opened], newest: KeyRing) -> None:
    """Read back what was written, with the newest key alone.

    Raises:
        AxisorError: 500, ``rotation_failed``.
    """
    account_id = before.account_id
    after = RowEntries(text or SecretStr("null"), account_id=account_id)
    written = {entry.name: entry for entry in after.entries}
    same = after.differs_only_in(before, {one.entry.name for one in due})
    for one in due:
        entry = written.get(one.entry.name)
        try:
            plain = newest.decrypt(entry.text, account_id=account_id, field=entry.field) if entry else None
        except CredentialsError:
            plain = None
        same = same and plain is not None and _same(plain, one.plain)
    if not same:
        raise AxisorError(
            f"the credentials of account {account_id} do not read back as they were; it was left as it is",
            code="rotation_failed",
            status=500,
            account_id=account_id,
        )


def _same(one: SecretStr, other: SecretStr) -> bool:
    return hmac.compare_digest(one.get_secret_value().encode(), other.get_secret_value().encode())
