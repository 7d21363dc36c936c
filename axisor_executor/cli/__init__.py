"""``axisor-executor``: one file a command group.

What is heavy is imported in the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import click

from axisor_executor import __version__
from axisor_executor.cli.accounts import accounts
from axisor_executor.cli.alerts import alerts
from axisor_executor.cli.automations import automations
from axisor_executor.cli.backtest import backtest, candles
from axisor_executor.cli.breakers import breakers
from axisor_executor.cli.database import db
from axisor_executor.cli.demo import demo
from axisor_executor.cli.executions import executions
from axisor_executor.cli.failure import CommandLine
from axisor_executor.cli.jobs import enqueue
from axisor_executor.cli.keys import keys
from axisor_executor.cli.migrate import migrate
from axisor_executor.cli.new_plugin import new_plugin
from axisor_executor.cli.operations import recover, status
from axisor_executor.cli.plugins import plugins
from axisor_executor.cli.serve import serve
from axisor_executor.cli.stats import stats
from axisor_executor.cli.steering import pause, resolve, resume, retry
from axisor_executor.cli.tokens import tokens
from axisor_executor.cli.up import down, logs, up

__all__ = ["main"]


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="axisor-executor", message="%(prog)s %(version)s")
def main() -> None:
    """Execute trading automations on LN Markets, each with the keys of its own account.

    The settings come from the environment: DATABASE_URL, REDIS_URL, LN_MARKETS_API_URL, ENCRYPTION_KEY, and more
    under AXISOR_. The worker itself is started with: dramatiq axisor_executor.actors

    \b
    See it work, on this machine alone:   axisor-executor demo
    Set up or inspect a database:         axisor-executor db init; axisor-executor db check
    Find out what a run did, and why:     axisor-executor executions show ID
    """


for command in (demo, db, plugins, enqueue, executions, status, stats, breakers, pause, resume, recover, migrate, keys):
    main.add_command(command)
for kept_by_hand in (accounts, automations):
    main.add_command(kept_by_hand)
for of_the_api in (serve, tokens):
    main.add_command(of_the_api)
main.add_command(alerts)
main.add_command(new_plugin)
for of_the_past in (backtest, candles):
    main.add_command(of_the_past)
for of_the_stack in (up, down, logs):
    main.add_command(of_the_stack)
for intervention in (retry, resolve):
    executions.add_command(intervention)
