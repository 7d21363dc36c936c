"""``axisor-executor keys``: make a key, see what the credentials are written with, and write them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from axisor_executor.cli.environment import database, executor, read_settings
from axisor_executor.cli.keys_told import Speaker, show_standing, standing
from axisor_executor.cli.output import advancing, json_option, write_json

if TYPE_CHECKING:
    from axisor_executor.credentials import KeyRing
    from axisor_executor.credentials.rotation import Rotation, Target
    from axisor_executor.settings import Settings
    from axisor_executor.storage.connection import Storage

_TOLD_EVERY = 1000


@click.group()
def keys() -> None:
    """Keys that encrypt the credentials: make one, look, rotate."""


@keys.command(short_help="Make a strong key.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this new file, which only its owner may read, instead of showing it.",
)
def generate(out: Path | None) -> None:
    """Make a strong key (256 random bits) for AXISOR_ENCRYPTION_KEYS or ENCRYPTION_KEY.

    \b
    Examples:
      axisor-executor keys generate
      axisor-executor keys generate --out new.key
    """
    import os
    import secrets

    key = secrets.token_urlsafe(32)
    if out is None:
        click.echo(key)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{out} can't be made: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key)
    click.echo(f"A new key stands in {out}", err=True)


@keys.command(short_help="Show which keys and formats credentials are written with.")
@json_option
def status(as_json: bool) -> None:
    """Show which keys and formats the accounts' credentials are written with, and which keys nothing needs any more.

    Keys are shown by an id that gives nothing away. All credentials are decrypted, and nothing is changed. The exit
    status is 1 if some can't be read.

    \b
    Examples:
      axisor-executor keys status
      axisor-executor keys status --json | jq .keys
    """
    from axisor_executor.credentials.census import count_accounts, take_census

    settings = read_settings(least="ERROR")
    settings.require_ring_keys()
    with database(settings) as storage:
        ring, target = _ring(settings), _target(settings, storage)
        with advancing("Reading", count_accounts(storage), quiet=as_json) as step:
            census = take_census(storage, ring, step)
    found = standing(settings, ring, census, target)
    if as_json:
        write_json(found)
    else:
        show_standing(found)
    if census.unreadable.count:
        raise SystemExit(1)


@keys.command(short_help="Write all credentials anew with the newest key.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("monolith", "sealed")),
    help="Which format; by default the one in which credentials are written anyway.",
)
@click.option("--monolith-no-longer-reads", is_flag=True, help="Write what the monolith can't read.")
@click.option("--keep-plain-text", is_flag=True, help="Leave secrets alone that stand in plain text.")
@click.option("--dry-run", is_flag=True, help="Count only.")
@json_option
def rotate(
    format_: Literal["monolith", "sealed"] | None,
    monolith_no_longer_reads: bool,
    keep_plain_text: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write all credentials anew with the first key of AXISOR_ENCRYPTION_KEYS, while everything runs.

    The old keys must still be there. First all credentials are read; then account by account is written, read back
    and compared. What can't be read is left alone. It may be interrupted and run again: what is done is skipped. With
    --json, each line is an object. The exit status is 1 if an account was left alone.

    \b
    Examples:
      axisor-executor keys rotate --dry-run
      axisor-executor keys rotate
      axisor-executor keys rotate --format sealed --monolith-no-longer-reads
    """
    from axisor_executor.credentials.census import count_accounts, take_census
    from axisor_executor.credentials.rotation import check_readers
    from axisor_executor.credentials.writing import format_to_write
    from axisor_executor.storage.schema import owns_monolith_tables

    say = Speaker(as_json)
    with executor() as parts:
        parts.settings.require_ring_keys()
        ring = parts.vault.ring
        with parts.storage.connection():
            target = _target(parts.settings, parts.storage, format_, encrypts_plain_text=not keep_plain_text)
            total = count_accounts(parts.storage)
            with advancing("Reading", total, quiet=as_json) as step:
                census = take_census(parts.storage, ring, step)
            check_readers(
                census,
                target,
                ours=owns_monolith_tables(parts.storage),
                monoliths_key_id=_monoliths_key_id(parts.settings),
                monolith_reads=not monolith_no_longer_reads,
            )
            if not dry_run:
                _check_workers(parts.storage, target.key_id)
            say.counted(census, target)
            if dry_run:
                say.left_alone("unreadable", census.unreadable)
                raise SystemExit(1 if census.unreadable.count else 0)
            done = _rotate(parts.storage, ring, target, total, say)
        usual = format_to_write(parts.settings, parts.storage)
    say.finished(done)
    if usual != target.format and not as_json:
        click.echo(f"New ones are still written as {usual}: set AXISOR_CREDENTIALS_FORMAT={target.format}", err=True)
    if not done.is_complete:
        raise SystemExit(1)


def _rotate(storage: Storage, ring: KeyRing, target: Target, total: int, say: Speaker) -> Rotation:
    from axisor_executor.credentials.rotation import rotate as rotate_all

    with advancing("Rotating", total, quiet=say.as_json) as step:
        count = 0

        def on_row(*_: object) -> None:
            nonlocal count
            count += 1
            step()
            if count % _TOLD_EVERY == 0:
                say.progress(count, total)

        return rotate_all(storage, ring, target, on_row)


def _check_workers(storage: Storage, key_id: str) -> None:
    """Refuse to write what a worker that runs could not read.

    Raises:
        AxisorError: 409, ``worker_lacks_key``.
    """
    from axisor_executor.errors import AxisorError
    from axisor_executor.workers import without_key

    if lacking := without_key(storage, key_id):
        raise AxisorError(
            f"nothing was changed: workers run that do not have key {key_id} ({', '.join(lacking)}); restart them with "
            "the AXISOR_ENCRYPTION_KEYS of this command",
            code="worker_lacks_key",
            status=409,
        )


def _ring(settings: Settings) -> KeyRing:
    from axisor_executor.credentials import KeyRing

    return KeyRing.from_settings(settings)


def _monoliths_key_id(settings: Settings) -> str | None:
    from axisor_executor.credentials import KeyRing

    return KeyRing([settings.encryption_key]).key_ids[0] if settings.encryption_key else None


def _target(
    settings: Settings,
    storage: Storage,
    format_: Literal["monolith", "sealed"] | None = None,
    *,
    encrypts_plain_text: bool = True,
) -> Target:
    from axisor_executor.credentials.rotation import Target
    from axisor_executor.credentials.writing import format_to_write

    return Target(
        _ring(settings).key_ids[0],
        format_ or format_to_write(settings, storage),
        encrypts_plain_text=encrypts_plain_text,
    )
