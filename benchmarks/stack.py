"""What a benchmark runs on: real servers of its own, databases with accounts and automations, real worker processes.

::

    with Stack() as stack, stack.site("postgres", accounts=500) as site:
        site.enqueue("entry", 5000)
        with site.workers(processes=2, threads=8) as workers:
            stack.wait_for_changes(5000)
            print(workers.cpu(), workers.memory())
        site.check("entry", 5000)

A `Stack` is PostgreSQL, Redis and the `FixedExchange`; a `Site` is an empty database on it with what a user has, and a
runtime in this process. Everything is on loopback and gone at the end, also after Ctrl-C or a crash.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

import redis
from dramatiq import Message

import axisor_executor
from axisor_executor import runtime
from axisor_executor.credentials import KeyRing, write_credentials
from axisor_executor.embedded import ChildProcess, Guard, PrivateRedis
from axisor_executor.embedded.interrupts import Interrupts
from axisor_executor.ids import uuid7
from axisor_executor.jobs import parse_job
from axisor_executor.lanes import ACTORS
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow, AutomationRow, ExchangeRow
from axisor_executor.storage.schema import migrate
from benchmarks.fixed_exchange import GUARD_THRESHOLD, FixedExchange, trade_id_of
from benchmarks.processes import Memory, cpu_seconds, memory_of, tree
from tests.harness.postgres import PostgresServer

Kind = Literal["postgres", "sqlite"]
Work = Literal["entry", "guard"]
"""``entry``: auto_entry without a trigger. ``guard``: margin_guard that is due, closes its trade."""

ROOT = Path(__file__).resolve().parents[1]
"""The folder of these benchmarks."""

CHECKOUT = Path(axisor_executor.__file__).resolve().parents[1]
"""The folder of the package that is measured."""

ENCRYPTION_KEY = "benchmark-encryption-key"
CONFIGS: dict[Work, tuple[str, dict[str, Any]]] = {
    "entry": ("auto_entry", {"side": "b", "quantity": 100, "leverage": 10}),
    "guard": ("margin_guard", {"action": "close_position", "margin_threshold": GUARD_THRESHOLD}),
}
HIGHEST_RATE = "1000"
"""Calls a second for one key, the highest that can be set: the limits are on, and never bind."""

_POSTGRES = {
    "shared_buffers": "512MB",
    "max_connections": "300",
    "max_wal_size": "4GB",
    "wal_compression": "off",
    "checkpoint_timeout": "30min",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
    "timezone": "UTC",
}
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Account:
    """An account of a site with its two automations."""

    id: str
    name: str
    user_id: str
    key: str
    automations: Mapping[Work, str]

    @property
    def trade_id(self) -> str:
        """Its running trade."""
        return trade_id_of(self.key)

    def job(self, work: Work) -> dict[str, Any]:
        """Return a job in wire form."""
        job = {"userId": self.user_id, "automationId": self.automations[work], "maxAge": 3600}
        return {**job, "tradeId": self.trade_id} if work == "guard" else job


class Stack:
    """The servers; a context manager.

    Args:
        postgres: whether a PostgreSQL is needed.
        delay: seconds that the exchange takes to answer.
        journal: whether the exchange keeps when requests arrived.
    """

    def __init__(self, *, postgres: bool = True, delay: float = 0.0, journal: bool = False) -> None:
        self._with_postgres = postgres
        self._delay = delay
        self._journal = journal
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            ends.enter_context(Interrupts())
            self.folder = Path(tempfile.mkdtemp(prefix="axisor-bench-", dir=_passable()))
            self.folder.chmod(0o711)
            ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
            # Should this process be killed, the guard removes what it leaves.
            self._guard = Guard(remove=self.folder)
            ends.callback(self._guard.dismiss)
            self.exchange = ends.enter_context(
                FixedExchange(self.folder, delay=self._delay, journal=self._journal, lifeline=self._guard.lifeline)
            )
            self.redis = ends.enter_context(PrivateRedis())
            self.postgres = self._postgres(ends) if self._with_postgres else None
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _postgres(self, ends: ExitStack) -> PostgresServer:
        folder = self.folder / "postgres"
        folder.mkdir(mode=0o711)
        return ends.enter_context(PostgresServer(folder, options=_POSTGRES, lifeline=self._guard.lifeline))

    @contextmanager
    def site(self, kind: Kind, *, accounts: int, **settings: Any) -> Iterator[Site]:
        """Make an empty database with so many accounts; ``settings`` are the package's, by attribute name."""
        name = f"bench_{uuid4().hex[:8]}"
        with ExitStack() as ends:
            if kind == "sqlite":
                url = f"sqlite:///{self.folder / name}.db"
            else:
                assert self.postgres is not None
                name = self.postgres.databases.create()
                url = self.postgres.databases.url(name)
                ends.callback(self.postgres.databases.drop, name)
            with redis.Redis.from_url(self.redis.url) as client:
                client.flushall()
            site = Site(self, kind, name, url, settings)
            ends.callback(site.close)
            site.populate(accounts)
            self.exchange.reset()
            yield site

    def wait_for_changes(
        self, count: int, *, timeout: float = 300.0, every: float = 0.02, workers: Workers | None = None
    ) -> float:
        """Wait until the exchange has been asked for so many changes since its reset; return the monotonic time.

        Raises:
            TimeoutError: they did not come in time, or the ``workers`` have ended.
        """
        deadline = time.monotonic() + timeout
        while (changes := self.exchange.counts().changes) < count:
            ended = workers is not None and not workers.child.running
            if ended or time.monotonic() > deadline:
                why = f"the workers ended: {workers.child.text()[-1000:]}" if workers and ended else f"{timeout:g} s"
                raise TimeoutError(f"{changes} of {count} changes had arrived at the exchange after {why}")
            time.sleep(every)
        return time.monotonic()

    def postgres_cpu(self) -> float:
        """Return the CPU seconds of the whole PostgreSQL server so far."""
        return cpu_seconds(_leader(self.postgres)) if self.postgres else 0.0

    def redis_cpu(self) -> float:
        """Return the CPU seconds of Redis so far."""
        return cpu_seconds(self.redis.pid)

    def redis_commands(self) -> int:
        """Return how many commands Redis has processed."""
        with redis.Redis.from_url(self.redis.url) as client:
            info: Any = client.info("stats")
            return int(info["total_commands_processed"])

    def versions(self) -> dict[str, str]:
        """Return the versions of the servers."""
        with redis.Redis.from_url(self.redis.url) as client:
            info: Any = client.info("server")
        found = {str(info.get("server_name", "redis")): str(info.get("valkey_version") or info["redis_version"])}
        if self.postgres:
            storage = Storage(self.postgres.databases.url())
            with storage.connection():
                row = storage.one("SHOW server_version")
            storage.close()
            found["postgresql"] = str(row and row[0]).split()[0]
        return found


class Site:
    """A database with accounts and automations, and a runtime on it in this process."""

    def __init__(self, stack: Stack, kind: Kind, name: str, url: str, settings: Mapping[str, Any]) -> None:
        self.stack = stack
        self.kind = kind
        self.name = name
        self.url = url
        self.accounts: list[Account] = []
        self.settings = Settings(
            redis_url=stack.redis.url,
            database_url=url,
            exchange_url=stack.exchange.url,
            encryption_key=ENCRYPTION_KEY,
            queue_prefix=name,
            private_calls_per_second=float(HIGHEST_RATE),
            public_calls_per_second=float(HIGHEST_RATE),
            **settings,
        )
        self._more = {f"AXISOR_{attribute.upper()}": str(value) for attribute, value in settings.items()}
        self.storage = Storage(url)
        migrate(self.storage, create_monolith_tables=True)
        self.parts = runtime.Runtime(self.settings, storage=self.storage)
        runtime.use(self.parts)

    def close(self) -> None:
        """Close the runtime and its connections."""
        runtime.use(None)
        self.parts.close()
        self.storage.close()

    def populate(self, accounts: int) -> None:
        """Make accounts, each of a user of its own and with an automation for each kind of work."""
        ring = KeyRing.from_settings(self.settings)
        now = datetime.now(UTC)
        dates = {"created_at": now, "updated_at": now}
        rows: list[dict[str, Any]] = []
        automations: list[dict[str, Any]] = []
        for number in range(accounts):
            key, secret, passphrase = (uuid4().hex for _ in range(3))
            own = {work: str(uuid4()) for work in CONFIGS}
            account = Account(str(uuid4()), f"Account {number}", f"user-{number}", key, own)
            self.accounts.append(account)
            rows.append(
                {
                    "id": account.id,
                    "user_id": account.user_id,
                    "exchange_id": "exchange-lnmarkets",
                    "account_name": account.name,
                    "credentials": write_credentials(
                        key, secret, passphrase, False, account_id=account.id, format="monolith", ring=ring
                    ),
                    "is_active": True,
                    "is_verified": True,
                    **dates,
                }
            )
            automations += [
                {
                    "id": account.automations[work],
                    "user_id": account.user_id,
                    "user_exchange_account_id": account.id,
                    "type": type_,
                    "config": config,
                    "is_active": True,
                    "status": "active",
                    "risk_level": "medium",
                    **dates,
                }
                for work, (type_, config) in CONFIGS.items()
            ]
        with self.storage.write():
            ExchangeRow.create(id="exchange-lnmarkets", name="LN Markets", slug="lnmarkets", api_version="v3")
            for model, made in ((AccountRow, rows), (AutomationRow, automations)):
                for start in range(0, len(made), _ROWS_AT_ONCE):
                    model.insert_many(made[start : start + _ROWS_AT_ONCE]).execute()
        if self.kind == "postgres":
            self.storage.run("ANALYZE")

    def enqueue(self, work: Work, count: int) -> list[str]:
        """Put jobs on the queue, turn by turn of all accounts, and return their executions' ids.

        The first is taken as usual. The others are copies of its row with what is the account's own, each with a
        message of its own: as if they had been taken, too, but in a tenth of the time.
        """
        first, _ = self.parts.intake.take(self.accounts[0].job(work))
        ids = [first.id]
        with self.storage.write():
            columns = [column.name for column in self.storage.database.get_columns("axisor_executions")]
            ids += [
                self._copy(first.id, columns, account, account.job(work))
                for account in itertools.islice(itertools.cycle(self.accounts), 1, count)
            ]
            self.storage.run("UPDATE axisor_executions SET sent_at = {now}, sends = 1 WHERE status = 'queued'")
        broker = self.parts.queue.broker
        for execution_id in ids:
            broker.enqueue(Message(first.lane, ACTORS[first.lane], (execution_id,), {}, {}))
        self.parts.queue.mark_intact()  # else recovery takes Redis for a wiped one, and sends all of them again
        return ids

    def _copy(self, template: str, columns: list[str], account: Account, job: dict[str, Any]) -> str:
        own = {
            "id": uuid7(),
            "user_id": account.user_id,
            "automation_id": job["automationId"],
            "account_id": account.id,
            "account_name": account.name,
            "trade_id": job.get("tradeId"),
            "job": parse_job(job).as_wire(),
        }
        names = ", ".join(f'"{column}"' for column in columns)
        values = ", ".join("?" if column in own else f'"{column}"' for column in columns)
        self.storage.run(
            f"INSERT INTO axisor_executions ({names}) SELECT {values} FROM axisor_executions WHERE id = ?",
            *(own[column] for column in columns if column in own),
            template,
        )
        return str(own["id"])

    def check(self, work: Work, count: int, *, timeout: float = 60.0) -> None:
        """Wait until so many executions are over, and see to it that each has done what it should, once.

        Raises:
            AssertionError: some ended otherwise, or a TradeLog row or a request is missing or too many.
        """
        type_ = CONFIGS[work][0]
        deadline = time.monotonic() + timeout
        while True:
            with self.storage.connection():
                rows = self.storage.rows(
                    "SELECT status, COUNT(*) FROM axisor_executions WHERE automation_type = ? GROUP BY status", type_
                )
                logged = self.storage.one('SELECT COUNT(*) FROM "TradeLog"')
            found = {str(status): int(number) for status, number in rows}
            if found == {"completed": count} or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert found == {"completed": count}, f"{count} {work} jobs ended as {found}"
        assert logged is not None
        assert logged[0] == count, f"{logged[0]} TradeLog rows of {count} jobs"
        changes = self.stack.exchange.counts().changes
        assert changes == count, f"{changes} requests of {count} jobs"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a worker of this site: the package that is measured, JSON lines, all defaults."""
        plugins = sorted(str(path.parent) for path in CHECKOUT.glob("plugins/*/pyproject.toml"))
        own = {
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *plugins]),
            "REDIS_URL": self.settings.redis_url,
            "DATABASE_URL": self.url,
            "LN_MARKETS_API_URL": self.stack.exchange.url,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "AXISOR_QUEUE_PREFIX": self.settings.queue_prefix,
            "AXISOR_LOG_FORMAT": "json",
            "AXISOR_PRIVATE_CALLS_PER_SECOND": HIGHEST_RATE,
            "AXISOR_PUBLIC_CALLS_PER_SECOND": HIGHEST_RATE,
            **self._more,
        }
        return {**neutral(), **own, **more}

    @contextmanager
    def workers(self, *, processes: int, threads: int, wait: bool = True, **more: str) -> Iterator[Workers]:
        """Run real workers while the block runs; with ``wait`` they are ready when it begins.

        ``more`` are environment variables. Their lines go to a file, as in production.
        """
        command = [sys.executable, "-m", "dramatiq", "axisor_executor.actors"]
        command += ["--processes", str(processes), "--threads", str(threads)]
        with Workers(command, self.stack.folder, self.environment(**more)) as workers:
            if wait:
                workers.wait_for_lines("Worker ready", processes)
            yield workers


class Workers:
    """Processes that carry jobs out: a leader and what it starts; a context manager."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str], *, name: str = "workers") -> None:
        self.output = folder / f"workers-{uuid4().hex[:8]}.log"
        self.child = ChildProcess(command, output=self.output, env=env, cwd=folder, name=name, grace=40.0)

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.stop()
        if error is None:
            self.output.unlink(missing_ok=True)

    def wait_for_lines(self, text: str, count: int, *, timeout: float = 60.0) -> None:
        """Wait until so many lines of the output hold ``text``."""
        self.child.wait_until(
            lambda: self.child.text().count(text) >= count or None, timeout=timeout, what=f"{count} x {text!r}"
        )

    def pids(self) -> list[int]:
        """Return the leader and everything below it."""
        return tree(self.child.pid)

    def cpu(self) -> float:
        """Return the CPU seconds of all of them so far."""
        return cpu_seconds(self.child.pid)

    def memory(self) -> Memory:
        """Return the memory of all of them together."""
        return memory_of(self.pids())

    def largest(self) -> float:
        """Return the memory (RSS) of the largest of them, in MiB."""
        return max(memory_of([pid]).rss for pid in self.pids())


def glance(jobs: int) -> float:
    """Return how often to look whether so many jobs are done, in seconds: often enough for a few, seldom for many."""
    return min(0.02, jobs / 50_000)


def neutral() -> dict[str, str]:
    """Return this process's environment without what would change the package's settings."""
    strange = ("AXISOR_", "PG", "OTEL_", "DRAMATIQ_", "dramatiq_")
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)}


def _leader(server: PostgresServer) -> int:
    child = server._child
    assert child is not None
    return child.pid


def _passable() -> Path | None:
    """Return a folder for temporary files that every user can pass through (PostgreSQL refuses to run as root)."""
    for folder in (Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")):
        if all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents)) and os.access(folder, os.W_OK):
            return folder
    return None
