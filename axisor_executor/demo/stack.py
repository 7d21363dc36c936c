"""The demo's processes, all on loopback: a private Redis, the paper exchange and a real Dramatiq worker on SQLite."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import SecretStr

from axisor_executor.embedded import ChildProcess, Guard, PrivateRedis
from axisor_executor.embedded.interrupts import Interrupts
from axisor_executor.embedded.paper import MODULE, Paper, announced_url
from axisor_executor.plugins import Registry
from axisor_executor.runtime import Runtime
from axisor_executor.settings import Settings, mask_url
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

START_SECONDS = 30.0
STOP_SECONDS = 10.0
_OWN = ("REDIS_URL", "DATABASE_URL", "LN_MARKETS_API_URL", "ENCRYPTION_KEY")
_OWN_EXCHANGE = {"AXISOR_PRIVATE_CALLS_PER_SECOND": "1000", "AXISOR_PUBLIC_CALLS_PER_SECOND": "1000"}
"""The paper exchange is the demo's own, and takes what it is given."""


class Stack:
    """Everything the demo runs on. :meth:`start` it, and :meth:`stop` it whatever happened meanwhile.

    A guard outlives this process: should it be killed, everything is stopped and removed all the same.
    """

    def __init__(self, interrupts: Interrupts, registry: Registry, say: Callable[[str], None]) -> None:
        self.interrupts = interrupts
        self.registry = registry
        self.say = say
        self.encryption_key = secrets.token_urlsafe(32)
        self.redis = PrivateRedis(password=secrets.token_urlsafe(32))
        self._folder: Path | None = None
        self._guard: Guard | None = None
        self._paper_process: ChildProcess | None = None
        self._worker: ChildProcess | None = None
        self._paper: Paper | None = None
        self._runtime: Runtime | None = None

    def start(self) -> None:
        """Start Redis, the paper exchange, the database and the worker, and wait until the worker is booting.

        Raises:
            EmbeddedServerError: one of them can't be started.
        """
        with self.interrupts.held():
            self._folder = Path(tempfile.mkdtemp(prefix="axisor-demo-"))
            self._guard = Guard(remove=self._folder, grace=STOP_SECONDS)
            self.redis.start()
        self.say(f"Redis is up ({mask_url(self.redis.url)})")
        with self.interrupts.held():
            self._paper_process = self._child(MODULE, "--port", "0", name="paper exchange").start()
        self._paper = Paper(announced_url(self._paper_process, timeout=START_SECONDS))
        self.say(f"Paper exchange is up ({self.paper.url})")
        self._create_tables()
        with self.interrupts.held():
            self._worker = self._child(
                *("dramatiq", "axisor_executor.actors", "--processes", "1", "--threads", "4"),
                name="worker",
                env=self.environment | {"AXISOR_LOG_LEVEL": "DEBUG"},
            ).start()

    def wait_for_worker(self) -> None:
        """Wait until the worker takes jobs."""
        self.worker.wait_for_line("Worker ready", timeout=START_SECONDS)
        self.say("Worker is up (dramatiq axisor_executor.actors)")

    def stop(self) -> None:
        """Stop everything and remove the folder. May be called again, and before anything was started."""
        with self.interrupts.dropped():
            if self._runtime is not None:
                self._runtime.close()
            for child in (self._worker, self._paper_process, self.redis):
                if child is not None:
                    child.stop()
            if self._paper is not None:
                self._paper.close()
            if self._guard is not None:
                self._guard.dismiss()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where the database and the logs are."""
        assert self._folder is not None
        return self._folder

    @property
    def paper(self) -> Paper:
        """The paper exchange's control surface."""
        assert self._paper is not None
        return self._paper

    @property
    def worker(self) -> ChildProcess:
        """The worker's process; its output is the log."""
        assert self._worker is not None
        return self._worker

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this stack's processes: as this one's, but with no setting other than these."""
        inherited = {
            name: value for name, value in os.environ.items() if name not in _OWN and not name.startswith("AXISOR_")
        }
        return inherited | self.variables

    @property
    def variables(self) -> dict[str, str]:
        """The settings that point a process at this stack."""
        return {
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": f"sqlite:///{self.folder / 'axisor.db'}",
            "LN_MARKETS_API_URL": self.paper.url,
            "ENCRYPTION_KEY": self.encryption_key,
            **_OWN_EXCHANGE,
        }

    @property
    def runtime(self) -> Runtime:
        """This process's own parts, as an application that embeds the library has them."""
        if self._runtime is None:
            self._runtime = Runtime(settings_from(self.variables), registry=self.registry)
        return self._runtime

    def _create_tables(self) -> None:
        storage = Storage(self.variables["DATABASE_URL"])
        try:
            migrate(storage, create_monolith_tables=True)
        finally:
            storage.close()

    def _child(self, module: str, *arguments: str, name: str, env: Mapping[str, str] | None = None) -> ChildProcess:
        assert self._guard is not None
        return ChildProcess(
            [sys.executable, "-m", module, *arguments],
            output=self.folder / f"{name.replace(' ', '-')}.log",
            env=env,
            cwd=self.folder,
            name=name,
            grace=STOP_SECONDS,
            lifeline=self._guard.lifeline,
        )


def settings_from(variables: Mapping[str, str]) -> Settings:
    """Return the settings of a stack with these variables, and no other, whatever the environment holds."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    return Settings(
        **{
            **defaults,
            "redis_url": variables["REDIS_URL"],
            "database_url": variables["DATABASE_URL"],
            "exchange_url": variables["LN_MARKETS_API_URL"],
            "encryption_key": SecretStr(variables["ENCRYPTION_KEY"]),
            **{name.removeprefix("AXISOR_").lower(): rate for name, rate in _OWN_EXCHANGE.items()},
        }
    )
