"""``axisor-executor demo``."""

from __future__ import annotations

import click


@click.command(short_help="Carry out every action on this machine, and check it.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document at the end, and nothing before.")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and say how to use it.")
def demo(as_json: bool, keep: bool) -> None:
    """Carry out every action of every automation type, on this machine alone, and check what came of it.

    Starts a private Redis, a simulated exchange, and a real worker on an SQLite file; two users with two accounts
    each. Exits with 0 only if every check holds. Nothing is left behind.

    \b
    Examples:
      axisor-executor demo
      axisor-executor demo --keep
      axisor-executor demo --json | jq .ok
    """
    from axisor_executor.demo import play

    raise SystemExit(play(as_json=as_json, keep=keep))
