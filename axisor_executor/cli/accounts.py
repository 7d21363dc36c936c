"""``axisor-executor accounts``: exchange accounts by hand. Keys are asked for or read from a file, never in argv."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.output import console, json_option, line, plain, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials
    from axisor_executor.runtime import Runtime

MOST_KEY_BYTES = 65_536
ASKED = ("API Key", "API Secret", "Passphrase")
EFFECTS = {
    "reduce-only": "what reduces risk goes on, with an alert; entries are refused",
    "refuse": "every run is refused",
    "allow": "all of them go on, with an alert",
}


@click.group()
def accounts() -> None:
    """Exchange accounts: add, list, verify, give new keys, switch."""


def _keys_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--testnet", is_flag=True, help="The keys are of the test network (signet).")(command)
    return click.option(
        "--keys-file",
        type=click.File("rb"),
        metavar="FILE",
        help="JSON with the keys, - for standard input; without it, they are asked for.",
    )(command)


@accounts.command(short_help="Add a user's account.")
@click.option("--user", required=True, metavar="ID", help="Whose account it is.")
@click.option("--name", required=True, help="How it is called.")
@click.option("--exchange", default="lnmarkets", show_default=True, metavar="SLUG", help="On which exchange.")
@click.option("--id", "account_id", metavar="ID", help="An id of your own; by default a new UUID.")
@click.option(
    "--active/--inactive", "is_active", default=None, help="By default active, if the user has no active account."
)
@_keys_options
@json_option
def add(
    user: str,
    name: str,
    exchange: str,
    account_id: str | None,
    is_active: bool | None,
    keys_file: IO[bytes] | None,
    testnet: bool,
    as_json: bool,
) -> None:
    """Add a user's account with its keys, which are stored encrypted.

    The file holds a JSON object with the three keys, spelt as "API Key", "api_key" or "apiKey" and so on. Adding the
    same account with the same keys again changes nothing.

    \b
    Examples:
      axisor-executor accounts add --user user123 --name "Main Account"
      axisor-executor accounts add --user user123 --name "Main Account" --keys-file keys.json
      pass show lnmarkets | axisor-executor accounts add --user user123 --name Second --keys-file -
    """
    from axisor_executor import accounts as library

    with executor() as parts:
        keys = _keys(parts, keys_file, testnet=testnet)
        added, is_new = library.add(
            parts, user_id=user, name=name, exchange=exchange, keys=keys, account_id=account_id, is_active=is_active
        )
    if as_json:
        write_json({**added, "added": is_new})
        return
    state = "active" if added["isActive"] else "inactive"
    click.echo(f"Account {added['id']} ({added['name']}, {state}) {'was added' if is_new else 'was there already'}.")
    if is_new:
        click.echo(f"Have its keys checked: axisor-executor accounts verify {added['id']}")


@accounts.command("list")
@click.option("--user", metavar="ID", help="Only this user's.")
@json_option
def list_(user: str | None, as_json: bool) -> None:
    """List the accounts. Nothing of their keys is shown.

    \b
    Examples:
      axisor-executor accounts list
      axisor-executor accounts list --user user123 --json
    """
    from axisor_executor import accounts as library

    with executor() as parts:
        found = library.listed(parts, user)
    if as_json:
        write_json(found)
    elif not found:
        click.echo("No account found")
    else:
        columns = ("id", "user", "name", "exchange", "active", "verified", "automations")
        write_table(columns, [_row(one) for one in found], whole=("id",))


@accounts.command()
@click.argument("account_id", metavar="ID")
@json_option
def show(account_id: str, as_json: bool) -> None:
    """Show an account: everything but its keys. ID may be the beginning of a UUID.

    \b
    Example:
      axisor-executor accounts show acc456
    """
    from axisor_executor import accounts as library

    with executor() as parts:
        found = library.shown(library.find(parts, account_id))
    if as_json:
        write_json(found)
        return
    stored = found["credentials"]
    _print(
        {
            "account": f"{found['id']} ({found['name']})",
            "user": found["userId"],
            "exchange": f"{found['exchangeName']} ({found['exchange']}, {_on(found['exchangeIsActive'])})",
            "is": f"{_on(found['isActive'])}, {'verified' if found['isVerified'] else 'not verified'}",
            "last test": found["lastTest"],
            "automations": f"{found['automations']}, {found['activeAutomations']} of them switched on",
            "keys": f"stored as {', '.join(stored['formats'])}, of {'signet' if stored['isTestnet'] else 'mainnet'}",
            "warnings": ", ".join(stored["warnings"]) or None,
            "added": found["createdAt"],
            "changed": found["updatedAt"],
        }
    )


@accounts.command(short_help="Ask the exchange whose an account's key is.")
@click.argument("account_id", metavar="ID")
@json_option
def verify(account_id: str, as_json: bool) -> None:
    """Ask the exchange who the owner of an account's key is and what it may read, and note the outcome.

    The exit status is 1 where the keys are refused. Nothing is changed on the exchange; so whether the key may trade
    is not told.

    \b
    Example:
      axisor-executor accounts verify acc456
    """
    from axisor_executor import accounts as library

    with executor(patient=True) as parts:
        found = library.verify(parts, account_id)
    if as_json:
        write_json(found)
    else:
        _tell_test(found)
    if not found["isVerified"]:
        raise SystemExit(1)


@accounts.command(short_help="Give an account new keys.")
@click.argument("account_id", metavar="ID")
@_keys_options
@click.option("--no-verify", is_flag=True, help="Don't ask the exchange before they replace the old ones.")
@click.option("--other-user", is_flag=True, help="Take keys of another user of the exchange, too.")
@json_option
def rotate(
    account_id: str,
    keys_file: IO[bytes] | None,
    testnet: bool,
    no_verify: bool,
    other_user: bool,
    as_json: bool,
) -> None:
    """Replace an account's keys: the exchange has to accept the new ones, for the same user of its.

    The old ones stay in force until the new ones are written and read back. Every process uses them from its next run.

    \b
    Examples:
      axisor-executor accounts rotate acc456
      axisor-executor accounts rotate acc456 --keys-file keys.json
    """
    from axisor_executor import accounts as library

    with executor(patient=True) as parts:
        library.find(parts, account_id)
        keys = _keys(parts, keys_file, testnet=testnet)
        found = library.rotate(parts, account_id, keys, check=not no_verify, other_user=other_user)
    if as_json:
        write_json(found)
        return
    click.echo(f"The keys of account {found['accountId']} ({line(found['accountName'])}) were replaced.")
    if not no_verify:
        _tell_test(found)
    if found["unsettledActions"]:
        click.echo(
            f"What became of {found['unsettledActions']} actions that were sent with the old keys is not known yet; "
            "keys of another exchange user can't tell.",
            err=True,
        )


@accounts.command(short_help="Switch an account off.")
@click.argument("account_id", metavar="ID")
@json_option
def disable(account_id: str, as_json: bool) -> None:
    """Switch an account off. What its automations may do then, AXISOR_INACTIVE_ACCOUNTS decides.

    \b
    Example:
      axisor-executor accounts disable acc456
    """
    _switch(account_id, False, False, as_json)


@accounts.command(short_help="Switch an account on.")
@click.argument("account_id", metavar="ID")
@click.option("--switch", is_flag=True, help="Switch the user's other accounts off.")
@json_option
def enable(account_id: str, switch: bool, as_json: bool) -> None:
    """Switch an account on. A user has one active account at a time: with --switch, the other one is switched off.

    \b
    Example:
      axisor-executor accounts enable acc456 --switch
    """
    _switch(account_id, True, switch, as_json)


def _switch(account_id: str, is_active: bool, switch: bool, as_json: bool) -> None:
    from axisor_executor import accounts as library

    with executor() as parts:
        done = library.set_active(parts, account_id, is_active, switch=switch)
    effect = EFFECTS[done["inactiveAccounts"]]
    if as_json:
        write_json({**done, "effect": None if is_active else effect})
        return
    word = "on" if is_active else "off"
    was = "was switched" if done["changed"] else "is switched"
    already = "" if done["changed"] else " already"
    click.echo(f"Account {done['accountId']} ({line(done['accountName'])}) {was} {word}{already}.")
    for other in done["switchedOff"]:
        click.echo(f"Account {other} was switched off.")
    if not is_active:
        click.echo(
            f"Of its {done['activeAutomations']} automations that are switched on: {effect} "
            f"(AXISOR_INACTIVE_ACCOUNTS={done['inactiveAccounts']}).",
            err=True,
        )


def _keys(parts: Runtime, file: IO[bytes] | None, *, testnet: bool) -> SecureCredentials:
    """Return the keys from a file, or from whoever sits at the terminal."""
    from axisor_executor import accounts as library
    from axisor_executor.errors import CredentialsError

    if file is not None:
        given = file.read(MOST_KEY_BYTES + 1)
        if len(given) > MOST_KEY_BYTES:
            raise CredentialsError("the file is too large to be one of keys", code="credentials_unreadable")
        # Bytes that are no text are no JSON either, and an error of the decoder would hold them.
        return library.keys_from(given.decode("utf-8-sig", "replace"), parts, testnet=testnet)
    try:
        asked = {name: click.prompt(name, hide_input=True, err=True) for name in ASKED}
    except click.Abort:
        message = "no keys were entered; without a terminal, give --keys-file FILE, or - for standard input"
        raise CredentialsError(message, code="credentials_missing") from None
    return library.keys_from(asked, parts, testnet=testnet)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        plain(one["id"]),
        plain(one["userId"]),
        plain(one["name"]),
        plain(one["exchange"]),
        "yes" if one["isActive"] else "no",
        "yes" if one["isVerified"] else "no",
        str(one["automations"]),
    )


def _tell_test(found: dict[str, Any]) -> None:
    if "exchangeUser" in found:
        skew = found["clockSkewSeconds"]
        may_read = ", ".join(f"{name} {'yes' if may else 'NO'}" for name, may in found["mayRead"].items())
        _print(
            {
                "owner": f"{found['exchangeUser']['username'] or 'unnamed'} ({found['exchangeUser']['id']})",
                "network": found["network"],
                "balance": f"{found['balance']} sats",
                "clock": None if skew is None else f"off by {skew:+g} s",
                "may read": may_read,
                "may trade": "not told: that can't be asked without trading",
            }
        )
    for problem in found["problems"]:
        click.echo(f"Problem: {problem['message']} [{problem['code']}]", err=True)
    click.echo("The keys are accepted." if found["isVerified"] else "The keys can't be used.")


def _print(lines: dict[str, Any]) -> None:
    out = console()
    for name, value in lines.items():
        if value is not None:
            out.print(f"  {name:<12} {plain(value)}", soft_wrap=True)


def _on(is_active: bool) -> str:
    return "switched on" if is_active else "switched off"
