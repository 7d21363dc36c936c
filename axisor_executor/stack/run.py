"""A stack from its start to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from axisor_executor import accounts, runtime, standing
from axisor_executor.embedded import Guard, PrivateRedis
from axisor_executor.embedded.paper import Paper
from axisor_executor.errors import AxisorError
from axisor_executor.lanes import ACTORS
from axisor_executor.observe.logs import timestamp
from axisor_executor.runtime import Runtime
from axisor_executor.stack import paper_world, parts
from axisor_executor.stack.folder import fingerprint
from axisor_executor.stack.logs import keep_short
from axisor_executor.stack.plan import Plan
from axisor_executor.stack.supervised import Part, Supervised
from axisor_executor.storage import tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

LOOK_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 5.0
"""What the processes get to stop beyond AXISOR_SHUTDOWN_SECONDS."""
ORPHAN_SECONDS: Final = 5.0
"""What they get when this process was killed: Redis goes with it, and who waits for that would wait in vain."""
FIRST_TOKEN: Final = "made by the first axisor-executor up"  # noqa: S105  a name


class Stack:
    """Everything that ``axisor-executor up`` runs. :meth:`start` it, and :meth:`stop` it whatever happened meanwhile.

    A guard outlives this process: should it be killed, everything is stopped all the same.

    Args:
        plan: what it is to be.
        lock: the descriptor that holds its folder.
        say: is told what happens.
        stop: ends :meth:`start` and :meth:`run` when it is set.
    """

    def __init__(self, plan: Plan, lock: int, say: Callable[[str], None], stop: threading.Event) -> None:
        self.plan = plan
        self.folder = plan.folder
        self._lock = lock
        self._say = say
        self._stop = stop
        self._tiers: list[list[Supervised]] = []
        self._board = threading.Lock()
        self._began = datetime.now(UTC)
        self._guard: Guard | None = None
        self._runtime: Runtime | None = None

    def start(self) -> None:
        """Start everything and wait until it is ready, or until ``stop`` is set.

        Raises:
            AxisorError: something can't be started; nothing is taken back before :meth:`stop`.
        """
        plan, grace = self.plan, self.plan.settings.shutdown_seconds + GRACE_SECONDS
        self._guard = Guard(grace=ORPHAN_SECONDS, holds=self._lock)
        home = parts.Home(self.folder.logs, plan.environment, grace, self._guard.lifeline)
        self.folder.write_environment(plan.effective)
        self.folder.remember(mode=plan.mode, ports=vars(plan.ports))  # after it: what is remembered makes it a stack
        servers: list[Part] = []
        if plan.ports.redis is not None:
            log = self.folder.logs / "redis.log"
            password = self.folder.redis_password()
            servers.append(parts.Redis(PrivateRedis(port=plan.ports.redis, output=log, password=password)))
        if plan.ports.paper is not None:
            bare = replace(home, env=plan.bare_environment)
            servers.append(parts.paper_exchange(bare, plan.ports.paper, self.folder.paper_state))
        self._bring_up(servers)
        if self._stop.is_set():
            return
        self._runtime = self._prepared()
        self._bring_up(self._programs(home, self._runtime))

    def run(self) -> None:
        """Keep everything running until ``stop`` is set."""
        while not self._stop.wait(LOOK_SECONDS):
            with suppress(OSError, AxisorError):  # a full disk is no reason to stop
                keep_short(self.folder.logs)

    def stop(self) -> None:
        """Stop everything: first who works, then whom they need."""
        for tier in reversed(self._tiers):
            for one in tier:
                one.end()
            for one in tier:
                one.join()
        if self._runtime is not None:
            runtime.use(None)
            self._runtime.close()
        if self._guard is not None:
            self._guard.dismiss()

    def first_token(self) -> str | None:
        """Make the first token of the HTTP API and return it; ``None`` where there has been one, or there is no API."""
        if self.plan.ports.http is None or self._runtime is None:
            return None
        storage = self._runtime.storage
        with storage.explained(), storage.connection():
            if tokens.listed(storage):
                return None
            return tokens.create(storage, FIRST_TOKEN, tokens.SCOPES)[0]

    def redis_problem(self) -> str | None:
        """Return why Redis doesn't answer; ``None``: it does."""
        if self._runtime is None:
            return None
        problem: str | None = standing.redis(self._runtime.queue).get("problem")
        return problem

    def has_accounts(self) -> bool:
        """Return whether there is an exchange account to act on."""
        if self._runtime is None:
            return False
        with self._runtime.storage.explained():
            return bool(accounts.listed(self._runtime))

    def standing(self) -> dict[str, Any]:
        """Return how the parts stand, for the folder and for people."""
        return {
            "mode": self.plan.mode,
            "startedAt": timestamp(self._began),
            "exchange": self.plan.settings.exchange_url,
            "http": f"http://127.0.0.1:{self.plan.ports.http}/" if self.plan.ports.http else None,
            "parts": [
                {"name": one.part.name, "state": one.state, "pid": one.part.pid, "restarts": one.restarts}
                for tier in self._tiers
                for one in tier
            ],
        }

    def _bring_up(self, tier: list[Part]) -> None:
        supervised = [Supervised(part, self._say, self._note) for part in tier]
        self._tiers.append(supervised)
        for one in supervised:
            one.begin()
        for one in supervised:
            one.wait_until_up(self._stop)
            if one.state == "running":
                self._say(f"{one.part.name} is up (process {one.part.pid})")

    def _programs(self, home: parts.Home, prepared: Runtime) -> list[Part]:
        wanted, ports = self.plan.wanted, self.plan.ports
        found: list[Part] = [
            parts.worker(home, lane, prepared.storage, processes=wanted.processes, threads=wanted.threads)
            for lane in ACTORS
        ]
        if ports.http is not None:
            found.append(parts.http_api(home, ports.http))
        if ports.paper is not None and wanted.every_seconds:
            found.append(parts.paper_jobs(home, wanted.every_seconds))
        return found

    def _prepared(self) -> Runtime:
        """Return this process's own parts, on a database that is up to date and holds the paper users' world."""
        settings = self.plan.settings
        storage = Storage(settings.require_database(), pool=settings.db_pool)
        if "DATABASE_URL" in self.plan.variables:
            migrate(storage, create_monolith_tables=True)
        made = Runtime(settings, storage=storage)
        runtime.use(made)
        if self.plan.ports.paper is not None:
            with storage.explained():
                self._refuse_strange_accounts(made)
                self._set_paper_world_up(made)
        return made

    def _refuse_strange_accounts(self, made: Runtime) -> None:
        """Raise where others' automations would be carried out on paper instead of on their exchange."""
        mark = fingerprint(made.settings.require_database())
        if "DATABASE_URL" in self.plan.variables or self.folder.remembered().get("database") == mark:
            return
        if count := len(accounts.listed(made)):
            raise AxisorError(
                f"the database at DATABASE_URL holds {count} accounts that are not this paper stack's: their "
                "automations would be carried out on paper; use an empty database, or unset DATABASE_URL",
                code="database_in_use",
            )
        self.folder.remember(database=mark)

    def _set_paper_world_up(self, made: Runtime) -> None:
        paper = Paper(self.plan.variables["LN_MARKETS_API_URL"])
        key = made.settings.require_ring_keys()[-1].get_secret_value()
        try:
            paper_world.open_on_exchange(paper, key)
        finally:
            paper.close()
        # Once only: what its owner has changed or deleted since stays so.
        if not self.folder.remembered().get("paperWorld"):
            paper_world.write_rows(made, key)
            self.folder.remember(paperWorld=True)
            self._say(f"The first users are {' and '.join(paper_world.USERS)}, with a paper account each")

    def _note(self) -> None:
        with self._board, suppress(AxisorError):  # a full disk is no reason to stop
            self.folder.write_running(self.standing())
