"""A small world to test in: a migrated database, users with accounts on the paper exchange, automations, a runtime.

Rows are shaped as the monolith writes them. ``run`` carries a job out in this process; ``worker`` starts a real one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
from dramatiq import Message

from axisor_executor import api, runtime
from axisor_executor.credentials import Format, KeyRing, write_credentials
from axisor_executor.embedded import ChildProcess
from axisor_executor.hookspecs import hookimpl
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.plugins import Found, Registry, discover, load
from axisor_executor.settings import Settings
from axisor_executor.storage import actions, executions
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow, AutomationRow, ExchangeRow, TradeLogRow
from axisor_executor.storage.schema import migrate
from tests.harness.paper import PaperAccount, PaperExchange
from tests.harness.waiting import until

ENCRYPTION_KEY = "canary-encryption-key-1f6b"
SUICIDE = "SELECT pg_terminate_backend(pg_backend_pid())"
"""Ends the connection to PostgreSQL that it is run on."""


def plugin(name: str, module: Any, *, version: str = "1.0") -> Found:
    """Return ``module`` (or any object with hooks) as if it were the entry point ``name`` of ``axisor-<name>``."""
    return Found(name=name, distribution=f"axisor-{name}", version=version, load=lambda: module)


class Watcher:
    """A plugin that keeps what observers are told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.finished: list[Finished] = []

    @hookimpl
    def axisor_alert(self, alert: Alert) -> None:
        """Keep an alert."""
        self.alerts.append(alert)

    @hookimpl
    def axisor_execution_finished(self, finished: Finished) -> None:
        """Keep the end of an execution."""
        self.finished.append(finished)


@dataclass
class Account:
    """A user's account: the row's id and name, and what stands behind it on the exchange."""

    id: str
    user_id: str
    name: str
    paper: PaperAccount


@dataclass
class Changes:
    """What happened on the exchange during a block.

    ``effects``: (account's name, kind) of each change of state, in order. ``asked``: the accounts whose keys signed
    any request. ``sent``: the requests that would change something, whatever became of them.
    """

    effects: list[tuple[str, str]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the effects alone."""
        return [kind for _, kind in self.effects]


@dataclass
class World:
    """Everything a test needs, with short names."""

    settings: Settings
    storage: Storage
    paper: PaperExchange
    registry: Registry | None = None
    accounts: list[Account] = field(default_factory=list)
    watcher: Watcher = field(default_factory=Watcher)

    def __post_init__(self) -> None:
        migrate(self.storage, create_monolith_tables=True)
        self.ring = KeyRing.from_settings(self.settings)
        self._start()
        self.exchange("lnmarkets", "LN Markets")

    def _start(self, *plugins: Found) -> None:
        watcher = plugin("watcher", self.watcher)
        registry = self.registry or load([*discover(), watcher, *plugins])
        self.parts = runtime.Runtime(self.settings, registry=registry, storage=self.storage)
        runtime.use(self.parts)

    def restart(self, *plugins: Found, **changed: Any) -> None:
        """Go on as a new process would: with further ``plugins`` and changed settings, nothing remembered."""
        self.parts.close()
        # Not `model_copy`: changed settings are checked, too.
        given = {name: getattr(self.settings, name) for name in type(self.settings).model_fields}
        self.settings = Settings(**{**given, **changed})
        self._start(*plugins)

    def move_price(self, price: float) -> None:
        """Move the market, and forget the price that is shared for a second."""
        self.paper.set_price(price)
        self.forget_price()

    def forget_price(self) -> None:
        """Have the next price asked anew."""
        for ticker in self.parts.opener.tickers:
            ticker.forget()

    @property
    def alerts(self) -> list[str]:
        """The kinds of the alerts that were raised, in order."""
        self.parts.alerts.flush(5.0)
        self.parts.registry.flush()
        return [alert.kind for alert in self.watcher.alerts]

    @property
    def finished(self) -> list[Finished]:
        """The ends of executions that observers were told of, in order."""
        self.parts.registry.flush()
        return self.watcher.finished

    @contextmanager
    def changes(self) -> Iterator[Changes]:
        """Collect what the exchange was asked and what changed there; complete when the block has ended."""
        effect = max((row["seq"] for row in self.paper.effects()), default=0)
        request = max((row["seq"] for row in self.paper.requests()), default=0)
        names = {account.paper.id: account.name for account in self.accounts}
        found = Changes()
        yield found
        found.effects += [(names[row["accountId"]], row["kind"]) for row in self.paper.effects(since=effect)]
        requests = self.paper.requests(since=request)
        found.asked |= {names[row["accountId"]] for row in requests if row["accountId"]}
        found.sent += [row for row in requests if row["method"] != "GET"]

    def exchange(self, slug: str, name: str, *, is_active: bool = True) -> str:
        """Make an exchange row."""
        with self.storage.connection():
            ExchangeRow.create(id=f"exchange-{slug}", name=name, slug=slug, is_active=is_active, api_version="v3")
        return f"exchange-{slug}"

    def account(
        self,
        user_id: str = "user123",
        name: str = "Main Account",
        *,
        balance: int = 10_000_000,
        is_active: bool = True,
        format: Format = "monolith",  # noqa: A002  the library's own word
        exchange_id: str = "exchange-lnmarkets",
        credentials: Mapping[str, Any] | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> Account:
        """Make an account on the exchange (with these ``key``, ``secret`` and ``passphrase``, if given) and its row."""
        paper = self.paper.create_account(name, balance=balance, **(keys or {}))
        account_id = str(uuid4())
        made = Account(account_id, user_id, name, paper)
        now = datetime.now(UTC)
        with self.storage.connection():
            AccountRow.create(
                id=account_id,
                user_id=user_id,
                exchange_id=exchange_id,
                account_name=name,
                credentials=dict(credentials) if credentials is not None else self.written(made, format),
                is_active=is_active,
                is_verified=True,
                created_at=now,
                updated_at=now,
            )
        self.accounts.append(made)
        return made

    def written(self, account: Account, format: Format = "monolith") -> dict[str, str]:  # noqa: A002
        """Return an account's credentials as they stand in its row."""
        keys = account.paper
        return write_credentials(
            keys.key, keys.secret, keys.passphrase, False, account_id=account.id, format=format, ring=self.ring
        )

    def automation(
        self,
        account: Account | None,
        type: str,  # noqa: A002  the column's name
        config: Mapping[str, Any] | Any,
        *,
        user_id: str | None = None,
        is_active: bool = True,
    ) -> str:
        """Make an automation row and return its id."""
        automation_id = str(uuid4())
        now = datetime.now(UTC)
        with self.storage.connection():
            AutomationRow.create(
                id=automation_id,
                user_id=user_id or (account.user_id if account else "user123"),
                user_exchange_account_id=account.id if account else None,
                type=type,
                config=config,
                is_active=is_active,
                status="active",
                risk_level="medium",
                created_at=now,
                updated_at=now,
            )
        return automation_id

    def job(self, automation_id: str, *, user_id: str = "user123", **more: Any) -> dict[str, Any]:
        """Return a job in wire form; ``trade_id``, ``action`` and ``max_age`` may be given in snake case."""
        names = {"trade_id": "tradeId", "max_age": "maxAge"}
        return {"userId": user_id, "automationId": automation_id, **{names.get(k, k): v for k, v in more.items()}}

    def run(
        self, automation_id: str, *, user_id: str = "user123", key: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """Carry a job out in this process and return its result."""
        return api.execute(self.job(automation_id, user_id=user_id, **more), idempotency_key=key)

    def enqueue(self, job: Mapping[str, Any], key: str | None = None) -> str:
        """Take a job and return its execution's id."""
        return api.enqueue(job, key)

    def send(self, message: Message[Any]) -> None:
        """Put a message on the queue as another producer would."""
        self.parts.queue.broker.enqueue(message)

    def make_older(self, execution_id: str, *, seconds: float) -> None:
        """Move the time up to which an execution may begin ``seconds`` back, as if it had waited so long."""
        found = self.execution(execution_id)
        assert found.expires_at is not None
        self.storage.run(
            "UPDATE axisor_executions SET expires_at = ?, created_at = ? WHERE id = ?",
            found.expires_at - timedelta(seconds=seconds),
            found.created_at - timedelta(seconds=seconds),
            execution_id,
        )

    def due_in(self, execution_id: str) -> float:
        """Return in how many seconds a waiting execution goes on."""
        due = self.execution(execution_id).due_at
        assert due is not None
        return (due - self.storage.now()).total_seconds()

    def go_on(self, execution_id: str) -> dict[str, Any]:
        """Run an execution again now, whatever it waits for, as recovery would when its time has come."""
        self.storage.run(
            "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL WHERE id = ? "
            "AND status = 'waiting'",
            execution_id,
        )
        self.parts.executor.run(execution_id)
        return api.get_result(execution_id)

    def outlive(self, execution_id: str) -> None:
        """Make what an execution has sent, and of which it does not know what became, too old to be carried out.

        To wait for that instead, a test would need signatures that die when the machine stands still for a moment.
        """
        # The exchange's clock is read in whole seconds.
        seconds = self.settings.signature_window_seconds + self.settings.signature_margin_seconds + 2
        signed_at = int((time.time() - seconds) * 1000)
        self.storage.run(
            "UPDATE axisor_actions SET timestamp_ms = ? WHERE execution_id = ? AND timestamp_ms > ? "
            "AND status IN ('sending', 'unknown')",
            signed_at,
            execution_id,
            signed_at,
        )

    def settle(self, execution_id: str, *, timeout: float = 15.0) -> dict[str, Any]:
        """Let an execution go on until it no longer waits, and return its result.

        What the exchange does not show by the first look it is not to do any more: see :meth:`outlive`.
        """
        deadline = time.monotonic() + timeout
        while True:
            result = self.go_on(execution_id)
            if result["status"] != "waiting" or time.monotonic() > deadline:
                return result
            self.outlive(execution_id)
            time.sleep(0.05)

    def open_trade(self, account: Account, *, quantity: int = 100, leverage: int = 10, **more: Any) -> str:
        """Open a market trade through an entry automation of its own and return its id."""
        config = {"side": "buy", "quantity": quantity, "leverage": leverage, **more}
        entry = self.automation(account, "auto_entry", config)
        result = self.run(entry, user_id=account.user_id)
        assert result["status"] == "completed", result
        return str(result["tradeId"])

    def trade(self, account: Account, trade_id: str) -> dict[str, Any]:
        """Return a trade as the exchange has it."""
        return self.paper.trade(account.paper, trade_id)

    def execution(self, execution_id: str) -> executions.Execution:
        """Return an execution's row."""
        with self.storage.connection():
            found = executions.get(self.storage, execution_id)
        assert found is not None
        return found

    def actions(self, execution_id: str) -> list[actions.LedgerAction]:
        """Return an execution's actions."""
        with self.storage.connection():
            return actions.of(self.storage, execution_id)

    def trade_log(self) -> list[TradeLogRow]:
        """Return the TradeLog, oldest first."""
        with self.storage.connection():
            return list(TradeLogRow.select().order_by(TradeLogRow.created_at))

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a worker of this world."""
        own = {
            "REDIS_URL": self.settings.redis_url,
            "DATABASE_URL": self.settings.require_database(),
            "LN_MARKETS_API_URL": self.settings.exchange_url,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "AXISOR_QUEUE_PREFIX": self.settings.queue_prefix,
            "AXISOR_LEASE_SECONDS": str(self.settings.lease_seconds),
            "AXISOR_RECOVERY_SECONDS": str(self.settings.recovery_seconds),
            "AXISOR_SIGNATURE_WINDOW_SECONDS": str(self.settings.signature_window_seconds),
            "AXISOR_SIGNATURE_MARGIN_SECONDS": str(self.settings.signature_margin_seconds),
            "AXISOR_REQUEST_TIMEOUT_SECONDS": str(self.settings.request_timeout_seconds),
        }
        return {**os.environ, **own, **more}

    @contextmanager
    def worker(
        self, output: Path, *, threads: int = 4, processes: int = 1, queues: Sequence[str] = (), **more: str
    ) -> Iterator[ChildProcess]:
        """Run a real worker while the block runs; it is ready when the block begins."""
        command = [sys.executable, "-m", "dramatiq", "axisor_executor.actors"]
        command += ["--processes", str(processes), "--threads", str(threads)]
        command += ["--queues", *queues] if queues else []
        with ChildProcess(command, output=output, env=self.environment(**more)) as child:
            child.wait_for_line("Worker ready", timeout=30)
            yield child

    def lose_connections(self) -> None:
        """Have PostgreSQL end all connections to this database, as its restart would, and wait until they are dead."""
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        with closing(psycopg2.connect(self.settings.database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(f"SELECT pg_terminate_backend(pid) {others}")

            def are_gone() -> bool:
                cursor.execute(f"SELECT COUNT(*) {others}")
                return cursor.fetchone() == (0,)

            until(are_gone)

    def close(self) -> None:
        """Stop the runtime and close the database."""
        runtime.use(None)
        self.parts.close()
        self.storage.close()
