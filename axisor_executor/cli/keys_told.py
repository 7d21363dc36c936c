"""What ``keys status`` and ``keys rotate`` tell: tables and words for people, JSON for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.output import console, plain, write_table
from axisor_executor.observe.logs import printable_json

if TYPE_CHECKING:
    from axisor_executor.credentials import KeyRing
    from axisor_executor.credentials.census import Census, Listing
    from axisor_executor.credentials.rotation import Rotation, Target
    from axisor_executor.settings import Settings

_SHOWN = 10


def standing(settings: Settings, ring: KeyRing, census: Census, target: Target) -> dict[str, Any]:
    """Return which keys and formats the credentials are written with, JSON-able."""
    given = len(settings.encryption_keys)
    rows = []
    for index, key_id in enumerate(ring.key_ids):
        formats = {
            name: census.having(lambda one, key_id=key_id, name=name: one == (name, key_id))  # type: ignore[misc]
            for name in ("monolith", "sealed")
        }
        rows.append(
            {
                "id": key_id,
                "setting": f"AXISOR_ENCRYPTION_KEYS[{index}]" if index < given else "ENCRYPTION_KEY",
                "writes": index == 0,
                "accounts": census.having(lambda one, key_id=key_id: one.key_id == key_id),  # type: ignore[misc]
                **formats,
            }
        )
    return {
        "writes": {"key": target.key_id, "format": target.format},
        "keys": [
            {**row, "removable": not (row["writes"] or row["accounts"] or row["id"] in census.kept_by)} for row in rows
        ],
        "accounts": census.accounts,
        "withoutCredentials": census.without,
        "plainText": census.plain_text,
        "toRotate": target.to_do(census),
        "unreadable": _listed(census.unreadable),
    }


def show_standing(found: dict[str, Any]) -> None:
    """Show what :func:`standing` has returned."""
    write_table(
        ("key", "stands in", "accounts", "monolith", "sealed", ""),
        [
            (
                row["id"],
                row["setting"],
                *(str(row[name]) for name in ("accounts", "monolith", "sealed")),
                "writes" if row["writes"] else "may be removed" if row["removable"] else "still needed",
            )
            for row in found["keys"]
        ],
        whole=("key", "stands in"),
    )
    out = console()
    out.print(f"\nWritten in   {found['writes']['format']}")
    out.print(f"Accounts     {found['accounts']}, {found['withoutCredentials']} of them without credentials")
    if found["plainText"]:
        out.print(f"Plain text   [red]{found['plainText']} accounts[/] have secrets in plain text")
    _show_listed("Unreadable", found["unreadable"])
    if found["toRotate"]:
        out.print(f"To rotate    {found['toRotate']} accounts: axisor-executor keys rotate")
    elif any(row["removable"] for row in found["keys"]):
        out.print("[green]✅ All that can be read is written with the newest key: the others may be removed[/]")


class Speaker:
    """Tells how a rotation goes: in words, or in lines of JSON."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def counted(self, census: Census, target: Target) -> None:
        """Tell what is going to be done."""
        to_do = target.to_do(census)
        self._event(
            "counted",
            accounts=census.accounts,
            toRotate=to_do,
            plainText=census.plain_text,
            unreadable=census.unreadable.count,
            key=target.key_id,
            format=target.format,
        )
        if self.as_json:
            return
        click.echo(f"{to_do} of {census.accounts} accounts to write with key {target.key_id}, format {target.format}")
        if target.encrypts_plain_text and census.plain_text:
            click.echo(f"{census.plain_text} of them have secrets in plain text")
        if target.format == "monolith" and census.having(lambda one: one.format == "sealed"):
            click.echo("Warning: the format monolith is not bound to the account, and shows no tampering", err=True)

    def progress(self, done: int, total: int) -> None:
        """Tell how far it is."""
        self._event("progress", done=done, total=total)

    def finished(self, done: Rotation) -> None:
        """Tell what was done."""
        self.left_alone("unreadable", done.unreadable)
        self.left_alone("busy", done.busy)
        self._event(
            "finished",
            rotated=done.rotated,
            skipped=done.skipped,
            unreadable=done.unreadable.count,
            busy=done.busy.count,
            complete=done.is_complete,
        )
        if not self.as_json:
            click.echo(f"{done.rotated} accounts were written and read back, {done.skipped} had nothing to be done")
            if done.is_complete:
                click.echo("See which keys may be removed now: axisor-executor keys status")

    def left_alone(self, kind: str, listing: Listing) -> None:
        """Name the accounts that were left as they are."""
        if not self.as_json:
            _show_listed(kind.capitalize(), _listed(listing))
        elif listing.count:
            self._event(kind, **_listed(listing))

    def _event(self, event: str, **facts: Any) -> None:
        if self.as_json:
            click.echo(printable_json(json.dumps({"event": event, **facts}, ensure_ascii=False)))


def _listed(listing: Listing) -> dict[str, Any]:
    return {
        "count": listing.count,
        "items": [
            {
                "accountId": one.account_id,
                "accountName": one.account_name,
                "userId": one.user_id,
                "message": one.message,
            }
            for one in listing.first
        ],
    }


def _show_listed(title: str, found: dict[str, Any]) -> None:
    if not found["count"]:
        return
    out = console()
    out.print(f"{title:<12} [red]{found['count']} accounts[/], left as they are:")
    for one in found["items"][:_SHOWN]:
        name = f"{one['accountName']} of user {one['userId']}"
        out.print(f"  {plain(name)}: {plain(one['message'])}", soft_wrap=True)
    if found["count"] > _SHOWN:
        out.print(f"  and {found['count'] - _SHOWN} more")
