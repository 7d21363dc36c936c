"""``axisor-executor pause`` and ``resume``, ``executions retry`` and ``resolve``: what a person may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.output import json_option, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from axisor_executor.runtime import Runtime
    from axisor_executor.storage.switches import Mode, Scope


def _scope_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--automation", metavar="ID", help="Only this automation."),
        click.option("--account", metavar="ID", help="Only this exchange account."),
        click.option("--exchange", metavar="SLUG", help="Only this exchange, such as lnmarkets."),
        click.option("--all", "everything", is_flag=True, help="Everything."),
    ):
        command = option(command)
    return command


def _scope(everything: bool, exchange: str | None, account: str | None, automation: str | None) -> tuple[Scope, str]:
    chosen: list[tuple[Scope, str]] = [("all", "")] if everything else []
    given: list[tuple[Scope, str | None]] = [("exchange", exchange), ("account", account), ("automation", automation)]
    chosen += [(scope, scope_id) for scope, scope_id in given if scope_id]
    if len(chosen) != 1:
        raise click.UsageError("Choose one of --all, --exchange, --account and --automation.")
    return chosen[0]


def _whole_id(parts: Runtime, scope: Scope, given: str) -> str:
    """Return the id that ``given`` means.

    Raises:
        NotFound, AxisorError: there is none, or there are several that begin so.
    """
    from axisor_executor import accounts, automations, switching

    if scope == "account":
        return accounts.find(parts, given).account.id
    if scope == "automation":
        return automations.find(parts, given).automation.id
    with parts.storage.connection():
        return switching.known_id(parts.storage, scope, given)


@click.command()
@_scope_options
@click.option("--reduce-only", is_flag=True, help="Let pass what reduces risk; hold back entries and cash-ins.")
@click.option("--reason", help="Why; shown by `status`.")
@json_option
def pause(
    everything: bool,
    exchange: str | None,
    account: str | None,
    automation: str | None,
    reduce_only: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Stop sending. Returns once no request can leave in the scope any more, and lists what was already out.

    Paused work waits in the database, until `resume` or until it is too old.

    \b
    Examples:
      axisor-executor pause --all --reason "exchange maintenance"
      axisor-executor pause --account 2f0c8a7e --reduce-only
    """
    from axisor_executor import switching

    mode: Mode = "reduce_only" if reduce_only else "paused"
    scope, given = _scope(everything, exchange, account, automation)
    with executor() as parts:
        scope_id = _whole_id(parts, scope, given)
        paused = switching.pause(
            parts.storage,
            scope,
            scope_id,
            mode=mode,
            reason=reason,
            window_seconds=parts.settings.signature_window_seconds,
        )
    if as_json:
        out = [switching.shown(one) for one in paused.already_out]
        write_json({"scope": scope, "id": scope_id or None, "mode": mode, "alreadyOut": out})
        return
    now = "reduce-only; nothing that adds risk" if reduce_only else "paused; nothing"
    click.echo(f"{_named(scope, scope_id)} is {now} leaves any more.")
    if paused.before not in (None, mode):
        click.echo(
            "It was paused before, which held back what reduces risk as well."
            if reduce_only
            else "It was reduce-only before."
        )
    for one in paused.already_out:
        told = switching.shown(one)
        click.echo(f"Already out: {told['action']} of execution {told['executionId']}: {told['status']}")


@click.command()
@_scope_options
def resume(everything: bool, exchange: str | None, account: str | None, automation: str | None) -> None:
    """Take a switch away; what waited for it goes on at once.

    It may be that of an account or automation that is not there any more.

    \b
    Example:
      axisor-executor resume --all
    """
    from axisor_executor import switching

    scope, scope_id = _scope(everything, exchange, account, automation)
    with executor() as parts:
        removed = switching.resume(parts.storage, scope, scope_id)
        if not removed:
            scope_id = _whole_id(parts, scope, scope_id)
            removed = switching.resume(parts.storage, scope, scope_id)
    click.echo(f"{_named(scope, scope_id)} {'goes on' if removed else 'had no switch'}.")


@click.command(short_help="Try an execution again that did not end well.")
@click.argument("execution_id", metavar="ID")
def retry(execution_id: str) -> None:
    """Try an execution again that failed, expired, was cancelled or is uncertain.

    What is not known is reconciled first, a remainder that was not reopened is reopened, and what took effect is never
    done again. Where there is nothing of the first two, the rest is decided anew; else the next retry does that.

    \b
    Example:
      axisor-executor executions retry 019a3c5e-7b1f
    """
    from axisor_executor import interventions
    from axisor_executor.explain import find

    with executor(patient=True) as parts:
        with parts.storage.connection():
            found = find(parts.storage, execution_id)
        policy = parts.settings.policy_for(found.automation_type or "")
        again = interventions.retry(parts.opener, found.id, max_age_seconds=policy.max_age_seconds)
        parts.intake.wake(again)
    click.echo(f"Execution {found.id} was {found.status} and is tried again.")


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("--executed", is_flag=True, help="It took effect on the exchange.")
@click.option("--not-executed", is_flag=True, help="It did not, and can't any more.")
@click.option("--trade", metavar="ID", help="The trade that an executed entry or remainder opened.")
@json_option
def resolve(execution_id: str, executed: bool, not_executed: bool, trade: str | None, as_json: bool) -> None:
    """Say what became of an uncertain execution. What it held back is free again.

    Look at the account on the exchange first: your word is taken, unless the exchange shows otherwise, or may still
    carry out what was sent.

    \b
    Examples:
      axisor-executor executions resolve 019a3c5e-7b1f --executed --trade b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3
      axisor-executor executions resolve 019a3c5e-7b1f --not-executed
    """
    from axisor_executor import interventions
    from axisor_executor.explain import find

    if executed == not_executed:
        raise click.UsageError("Choose --executed or --not-executed.")
    if not_executed and trade:
        raise click.UsageError("What was not executed opened no --trade.")
    with executor(patient=True) as parts:
        with parts.storage.connection():
            found = find(parts.storage, execution_id)
        result = interventions.resolve(
            parts.opener, found.id, "executed" if executed else "not_executed", trade_id=trade
        )
    if as_json:
        write_json(result)
    else:
        click.echo(f"Execution {found.id} is {result['status']} now.")


def _named(scope: str, scope_id: str) -> str:
    return "Everything" if scope == "all" else f"{scope.capitalize()} {scope_id}"
