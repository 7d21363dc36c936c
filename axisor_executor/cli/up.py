"""``axisor-executor up``, ``down`` and ``logs``: everything on one machine, with its state in a folder."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.numbers import Number

if TYPE_CHECKING:
    from collections.abc import Callable

    from axisor_executor.stack.folder import Mode, StackFolder
    from axisor_executor.stack.run import Stack

DEFAULT_FOLDER = "axisor-data"
DOWN_SECONDS = 60.0
INTERRUPTED = 130


class Folder(click.Path):
    """A folder that may be there or not. An empty path is none: it would be the current one, by a variable not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value).strip():
            self.fail("an empty path is no folder.", param, ctx)
        return super().convert(value, param, ctx)


dir_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--dir",
    "folder",
    type=Folder(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="The folder with its state.",
)


@click.command(short_help="Run everything on this machine, with its state in a folder.")
@click.option("--paper", is_flag=True, help="On a simulated exchange with a market that moves.")
@click.option("--live", is_flag=True, help="On LN Markets, or what LN_MARKETS_API_URL names.")
@dir_option
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Of the HTTP API; 0 takes a free one.  [default: as last time, 8420]"
)
@click.option("--detach", is_flag=True, help="Go on in the background once everything runs.")
@click.option("--yes", is_flag=True, help="With --live: do not ask.")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes of each lane."
)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=8, show_default=True, help="Threads of each worker process."
)
@click.option(
    "--every",
    type=Number(0, 86_400),
    default=30,
    show_default=True,
    help="With --paper: seconds between two jobs for each automation of its first users; 0 brings none.",
)
def up(
    paper: bool,
    live: bool,
    folder: Path,
    port: int | None,
    detach: bool,
    yes: bool,
    processes: int,
    threads: int,
    every: float,
) -> None:
    """Run Redis, database, workers and HTTP API on this machine until Ctrl-C, and restart what dies.

    REDIS_URL, DATABASE_URL and ENCRYPTION_KEY are used where they are set; else a private Redis is started, and an
    SQLite file and a key are made in the folder. All of it listens on this machine only. Run again on the same folder,
    it goes on where it was.

    --paper brings a simulated exchange, two users with an account each, and jobs for their automations. --live trades
    with the keys of the accounts that you add, and asks before it does.

    \b
    Examples:
      axisor-executor up --paper
      axisor-executor up --paper --dir /tmp/try --port 0 --detach
      axisor-executor up --live --dir /srv/axisor
    """
    from axisor_executor.stack.detach import detach as go_on_behind
    from axisor_executor.stack.folder import StackFolder
    from axisor_executor.stack.plan import Wanted, mode_of

    if paper and live:
        raise click.UsageError("Choose --paper or --live.")
    place = StackFolder(folder)
    mode: Mode | None = "paper" if paper else "live" if live else None
    wanted = Wanted(mode_of(place, mode), port, processes, threads, every)
    if wanted.mode == "live":
        _confirm(yes=yes)
    let_go = go_on_behind(lambda: place.logs / "up.log") if detach else None
    _run(place, wanted, let_go)


def _confirm(*, yes: bool) -> None:
    from axisor_executor.errors import AxisorError
    from axisor_executor.stack.plan import exchange_url

    url = exchange_url()
    click.echo(f"This trades on {url}, with the keys of every account in the database.")
    if os.environ.get("AXISOR_MODE") == "dry_run":
        click.echo("AXISOR_MODE is dry_run: what would be sent is recorded only.")
        return
    if yes:
        return
    if not sys.stdin.isatty():
        raise AxisorError("--live asks before it trades; where nobody can answer, say --yes", code="not_confirmed")
    click.confirm("Real orders, real money. Go on?", abort=True)


def _run(place: StackFolder, wanted: Any, let_go: Callable[[], None] | None) -> None:
    from axisor_executor.observe.logs import configure
    from axisor_executor.stack.logs import note
    from axisor_executor.stack.plan import make_plan
    from axisor_executor.stack.run import Stack

    stop = threading.Event()

    def told(number: int, frame: object) -> None:  # noqa: ARG001  a handler's signature
        stop.set()

    def say(text: str) -> None:
        with suppress(OSError):  # the disk is full
            note(place.logs, text)
        with suppress(OSError):  # nobody looks any more
            click.echo(text)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` leaves SIGHUP
            signal.signal(number, told)
    os.umask(0o077)
    place.make()
    # Never given back: the folder is free when this process has ended.
    lock = place.lock(wait=DOWN_SECONDS, told=lambda: click.echo("The last run was killed: waiting for its end"))
    plan = make_plan(place, wanted.mode, wanted)
    configure(plan.settings.log_format, "WARNING")
    stack = Stack(plan, lock, say, stop)
    try:
        stack.start()
        if stop.is_set():
            raise SystemExit(INTERRUPTED)
        _tell(stack)
        if let_go is not None:
            let_go()
        stack.run()
    finally:
        say("Stopping")
        stack.stop()
    say(f"Stopped. Its state is in {place.path}")


def _tell(stack: Stack) -> None:
    """Say what runs, where, how to log in, and how to stop it."""
    standing = stack.standing()
    folder = stack.folder
    where = "" if folder.path == Path(DEFAULT_FOLDER).absolute() else f" --dir {shlex.quote(str(folder.path))}"
    lines = ["", f"Everything runs: {len(standing['parts'])} parts, on {standing['mode']}, state in {folder.path}", ""]
    lines.append(f"Exchange   {standing['exchange']}")
    if problem := stack.redis_problem():
        lines.append(f"Redis      {problem}; jobs are taken, and carried out when it is back")
    if not stack.has_accounts():
        lines.append("Accounts   none yet; see: axisor-executor accounts add --help")
    if standing["http"]:
        lines.append(f"HTTP       {standing['http']}")
        token = stack.first_token()
        lines.append(
            f"Token      {token}   (shown this once; all scopes)"
            if token
            else "Token      as before; another: axisor-executor tokens create --name NAME"
        )
    else:
        lines.append(
            f"HTTP       none: {stack.plan.http_missing} is not installed; pip install 'axisor-executor[http]'"
        )
    lines += [
        "",
        "In another terminal:",
        f"  axisor-executor status{where}",
        f"  axisor-executor logs -f{where}",
        f"  . {shlex.quote(str(folder.environment_file))}   # then all other commands work on it, such as:",
        "  axisor-executor executions list",
        f"  axisor-executor down{where}",
        "",
    ]
    click.echo("\n".join(lines))


@click.command(short_help="Stop what `up` runs.")
@dir_option
@click.option("--now", is_flag=True, help="Do not wait for runs that go on; recovery takes them up next time.")
def down(folder: Path, now: bool) -> None:
    """Stop what `up` runs on a folder, and wait until all of it has ended.

    \b
    Examples:
      axisor-executor down
      axisor-executor down --dir /tmp/try
    """
    from axisor_executor.errors import AxisorError
    from axisor_executor.stack.folder import StackFolder, usable

    place = StackFolder(folder)
    pid = place.holder()
    if pid is None:
        raise AxisorError(f"nothing runs on {place.path}", code="not_running")
    with usable(place.path), suppress(ProcessLookupError):  # it was killed, and its guard is at work
        os.kill(pid, signal.SIGKILL if now else signal.SIGTERM)
    if not place.wait_until_free(DOWN_SECONDS):
        raise AxisorError(
            f"process {pid} has not ended within {DOWN_SECONDS:g} s; see: axisor-executor logs", code="still_running"
        )
    click.echo("Stopped")


@click.command(short_help="Show the logs of what `up` runs.")
@dir_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option("--component", "wanted", multiple=True, help="Only of this part, such as worker; may be repeated.")
@click.option("--lines", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each log to show.")
def logs(folder: Path, follow: bool, wanted: tuple[str, ...], lines: int) -> None:
    """Show the last lines of each part's log, each line after the part's name.

    \b
    Examples:
      axisor-executor logs
      axisor-executor logs -f --component worker
    """
    from axisor_executor.errors import AxisorError
    from axisor_executor.stack import logs as stack_logs
    from axisor_executor.stack.folder import StackFolder

    place = StackFolder(folder)
    there = stack_logs.components(place.logs)
    for name in wanted:
        if not any(one.startswith(name) for one in there):
            raise AxisorError(
                f"no part is called {name}; there are logs of: {', '.join(there) or 'none'}", code="unknown_component"
            )
    if not there:
        raise AxisorError(f"there are no logs in {place.path}", code="not_running")
    stop = threading.Event()
    if follow:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    width = max(map(len, there))
    for component, line in stack_logs.last_lines(place.logs, wanted, lines):
        click.echo(f"{component:<{width}} | {line}")
    if follow:
        for component, line in stack_logs.new_lines(place.logs, wanted, stop):
            click.echo(f"{component:<{width}} | {line}")
