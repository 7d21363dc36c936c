"""Who carries jobs out in the job cost benchmark: this software, and the rivals beside it.

A contender puts jobs on its queue while nobody works, then starts its workers. Rivals that are not installed with this
project (Node's packages, DBOS) are installed into the stack's folder, or skipped with a reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from benchmarks.stack import ENCRYPTION_KEY, Kind, Site, Stack, Work, Workers, neutral

RIVALS = Path(__file__).resolve().parent / "rivals"
LONGEST_SECONDS = 300
_BULLMQ = ("package.json", "put.js", "work.js")
_DBOS = ("dbos>=3,<4", "psycopg2-binary", "requests", "cryptography")


class Skipped(Exception):
    """A contender can't take part; the message says why."""


class Contender:
    """One that takes part.

    Attributes:
        name: as it is shown.
        kind: the database that it works on.
        slower_by: so many times fewer jobs are enough.
    """

    name: str
    kind: Kind = "postgres"
    slower_by = 1

    def prepare(self, stack: Stack) -> dict[str, str]:  # noqa: ARG002  the others need it
        """Install what is missing, once, and return the versions of what it is made of.

        Raises:
            Skipped: it can't be had here.
        """
        return {}

    def at_work(
        self, site: Site, work: Work, jobs: int, *, processes: int, threads: int
    ) -> AbstractContextManager[Workers]:
        """Put jobs on the queue, then run workers while the context lasts; they may still be starting."""
        raise NotImplementedError


class Axisor(Contender):
    """This software."""

    name = "axisor-executor"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        site.enqueue(work, jobs)
        with site.workers(processes=processes, threads=threads, wait=False) as workers:
            yield workers


class Ledger(Axisor):
    """This software's queue and ledger, and nothing that is built on them."""

    name = "the ledger alone"

    def __init__(self) -> None:
        super().__init__("postgres")

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        site.enqueue(work, jobs)
        env = site.environment()
        env["PYTHONPATH"] = os.pathsep.join([str(RIVALS), env["PYTHONPATH"]])
        with Workers(dramatiq("ledger", processes, threads), site.stack.folder, env, name=self.name) as workers:
            yield workers


class Plain(Contender):
    """Dramatiq with peewee and requests."""

    name = "Dramatiq + peewee + requests"

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        broker = RedisBroker(url=site.settings.redis_url)  # type: ignore[no-untyped-call]
        broker.declare_queue("rival")
        for _, *arguments in jobs_of(site, work, jobs):
            given = tuple(arguments if work == "guard" else arguments[:2])
            broker.enqueue(Message("rival", work, given, {}, {}))
        broker.client.close()
        env = environment(site, PYTHONPATH=str(RIVALS))
        with Workers(dramatiq("plain", processes, threads), site.stack.folder, env, name=self.name) as workers:
            yield workers


class Floor(Contender):
    """Python without queue or libraries."""

    name = "no queue: psycopg2 + http.client"

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        path = written(site, work, jobs)
        command = [sys.executable, str(RIVALS / "floor.py"), str(path), str(processes), str(threads)]
        with Workers(command, site.stack.folder, environment(site), name=self.name) as workers:
            yield workers


class BullMQ(Contender):
    """BullMQ on Node, a process for each core."""

    name = "BullMQ + pg + undici"

    def prepare(self, stack: Stack) -> dict[str, str]:
        node = shutil.which("node")
        if node is None or shutil.which("npm") is None:
            raise Skipped("there is no Node")
        self._folder = stack.folder / "node"
        if not self._folder.exists():
            self._folder.mkdir()
            for name in _BULLMQ:
                shutil.copy(RIVALS / "node" / name, self._folder)
            _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=self._folder)
        found = {"node": _output([node, "--version"])}
        for name in ("bullmq", "pg", "undici"):
            facts = json.loads((self._folder / "node_modules" / name / "package.json").read_text())
            found[name] = str(facts["version"])
        return found

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        path = written(site, work, jobs)
        env = environment(site)
        _run(["node", str(self._folder / "put.js"), str(path)], env=env)
        command = ["node", str(self._folder / "work.js"), str(processes), str(threads)]
        with Workers(command, site.stack.folder, env, name=self.name) as workers:
            yield workers


class Durable(Contender):
    """DBOS in an environment of its own."""

    name = "DBOS"
    slower_by = 8

    def prepare(self, stack: Stack) -> dict[str, str]:
        folder = stack.folder / "dbos"
        self._python = folder / "bin" / "python"
        if not folder.exists():
            _run([sys.executable, "-m", "venv", str(folder)])
            _run([str(self._python), "-m", "pip", "install", "--quiet", *_DBOS])
        told = _output(
            [
                str(self._python),
                "-c",
                "import importlib.metadata as m; print(m.version('dbos'), m.version('SQLAlchemy'))",
            ]
        )
        return dict(zip(("dbos", "sqlalchemy"), told.split(), strict=True))

    @contextmanager
    def at_work(self, site: Site, work: Work, jobs: int, *, processes: int, threads: int) -> Iterator[Workers]:
        path = written(site, work, jobs)
        env = environment(site)
        program = str(RIVALS / "durable.py")
        _run([str(self._python), program, "put", str(path), str(threads)], env=env)
        # Processes of one leader, so that they are stopped and counted together.
        one = f'"{self._python}" "{program}" serve {threads}'
        command = ["/bin/sh", "-c", f"{' & '.join([one] * processes)} & wait"]
        with Workers(command, site.stack.folder, env, name=self.name) as workers:
            yield workers


def all_contenders() -> Sequence[Contender]:
    """Return everybody, ours first."""
    return (Axisor("postgres"), Axisor("sqlite"), Ledger(), Plain(), Floor(), BullMQ(), Durable())


def dramatiq(module: str, processes: int, threads: int) -> list[str]:
    """Return the command that runs the actors of one of the rivals' modules."""
    command = [sys.executable, "-P", "-m", "dramatiq", module, "--path", str(RIVALS)]
    return [*command, "--processes", str(processes), "--threads", str(threads)]


def jobs_of(site: Site, work: Work, count: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield (work, user, automation, trade) of so many jobs, turn by turn of all accounts."""
    for number in range(count):
        account = site.accounts[number % len(site.accounts)]
        yield work, account.user_id, account.automations[work], account.trade_id


def written(site: Site, work: Work, count: int) -> Path:
    """Write jobs to a file, one as JSON on each line, and return its path."""
    path = site.stack.folder / "jobs.jsonl"
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs_of(site, work, count)))
    return path


def environment(site: Site, **more: str) -> dict[str, str]:
    """Return a rival's environment."""
    return {
        **{name: value for name, value in neutral().items() if name != "PYTHONPATH"},
        "REDIS_URL": site.settings.redis_url,
        "DATABASE_URL": site.url,
        "LN_MARKETS_API_URL": site.stack.exchange.url,
        "ENCRYPTION_KEY": ENCRYPTION_KEY,
        "NODE_ENV": "production",
        **more,
    }


def _run(command: Sequence[str], **more: Any) -> None:
    try:
        subprocess.run(command, check=True, timeout=LONGEST_SECONDS, capture_output=True, text=True, **more)
    except subprocess.CalledProcessError as error:
        raise Skipped(f"{command[0]} failed: {(error.stderr or error.stdout).strip()[-1000:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skipped(f"{command[0]} failed: {error}") from None


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
