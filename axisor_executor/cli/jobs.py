"""``axisor-executor enqueue``: what an application does through the library, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.numbers import Number
from axisor_executor.cli.output import write_json

if TYPE_CHECKING:
    from axisor_executor.jobs import Job

_SUCCESS = ("completed", "pending", "cancelled")


@click.command()
@click.option("--user", required=True, help="The user whose automation it is.")
@click.option("--automation", required=True, help="The automation's id.")
@click.option("--action", help="One of the type's actions; by default the one in the automation's config.")
@click.option("--trade", help="The id of the trade that is meant.")
@click.option("--idempotency-key", metavar="KEY", help="The same key with the same job is the same execution.")
@click.option("--wait", type=Number(min=0), metavar="SECONDS", help="Wait for the end and write the result.")
def enqueue(
    user: str, automation: str, action: str | None, trade: str | None, idempotency_key: str | None, wait: float | None
) -> None:
    """Take a job, and write the id of its execution.

    A worker carries it out. With --wait, the result is written instead (as JSON), and the exit status is 0 only if
    the run ended well: completed, pending (its condition is not reached) or cancelled.

    \b
    Examples:
      axisor-executor enqueue --user U --automation A --trade T
      axisor-executor enqueue --user U --automation A --action close_sl --trade T --wait 30
    """
    job = {"userId": user, "automationId": automation, "action": action, "tradeId": trade}
    with executor():
        take(job, idempotency_key, wait)


def take(job: Job | dict[str, Any], idempotency_key: str | None, wait: float | None) -> None:
    """Take a job and write its execution's id; or, to ``wait`` seconds for its end, the result.

    Raises:
        SystemExit: it didn't end well, or not within this time.
    """
    from axisor_executor import api

    execution_id = api.enqueue(job, idempotency_key=idempotency_key)
    if wait is None:
        click.echo(execution_id)
        return
    # The result goes to standard output alone; who stops waiting, or loses the database, still knows what was taken.
    click.echo(f"Waiting for execution {execution_id} ...", err=True)
    result = api.get_result(execution_id, wait=wait)
    write_json(result)
    if result["status"] not in _SUCCESS:
        raise SystemExit(1)
