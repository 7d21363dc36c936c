"""Secrets planted everywhere, and after all kinds of runs and failures found nowhere but where they were planted."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis
import rich.console
import rich.traceback
from dramatiq import Message

from axisor_executor import get_automation_config, get_result, get_user_credentials, set_user_credentials
from axisor_executor.automation import Act, Group, OpenPosition, SetTakeProfit, act
from axisor_executor.errors import AxisorError
from axisor_executor.settings import RetryPolicy
from tests.harness.world import ENCRYPTION_KEY, Account, World
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

# Put together at run time, so that the source lines in a traceback don't show them.
MARK = "".join(reversed("yranac"))
KEYS = {name: f"{MARK}-{name}-5f0e3d" for name in ("key", "secret", "passphrase")}
PLAIN = {name: f"{MARK}-plain-{name}-77ab12" for name in ("key", "secret", "passphrase")}
TESTS = Path(__file__).parents[1]
ENTRY = {"side": "b", "quantity": 100}
ONE_TRY = RetryPolicy(tries=1, first_delay_seconds=1, limit_seconds=1, max_age_seconds=60)


class Findings:
    """Where which secret was found."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.forms = {
            f"{name}, {form}": text
            for name, secret in secrets.items()
            for form, text in {
                "as it is": secret,
                "in a URL": quote(secret, safe=""),
                "in hex": secret.encode().hex(),
                "in base64": base64.b64encode(secret.encode()).decode().rstrip("="),
            }.items()
        }
        self.found: list[str] = []

    def look(self, where: str, text: str) -> None:
        """Look for every secret in a text."""
        self.found += [f"{where}: {name}" for name, form in self.forms.items() if form in text]


class Echo(http.server.BaseHTTPRequestHandler):
    """An exchange that repeats everything it was told in its error messages."""

    def answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        told = f"{self.command} {self.path} {dict(self.headers.items())} {self.rfile.read(size)!r}"
        body = json.dumps({"message": told, "code": told[:50], "details": {"told": told}}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def echoing_exchange() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Stage:
    """Runs all kinds of jobs and keeps what they returned and raised."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.puppet = Puppet()
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.settings: dict[str, Any] = {"retries": {"auto_entry": ONE_TRY, "puppet": ONE_TRY}, "lease_seconds": 1.0}

    def restart(self, **changed: Any) -> None:
        self.world.restart(self.puppet.plugin, **self.settings, **changed)

    def run(self, account: Account, type_: str, config: Any, **job: Any) -> dict[str, Any]:
        automation_id = self.world.automation(account, type_, config)
        result: dict[str, Any] = {}
        try:
            result = self.world.run(automation_id, **job)
        except Exception as error:  # noqa: BLE001  whatever it is, it is looked at
            self.errors.append(error)
        self.results += [result, get_automation_config(automation_id)]
        return result

    def entry(self, account: Account, **config: Any) -> dict[str, Any]:
        return self.run(account, "auto_entry", {**ENTRY, **config})

    def decide(self, account: Account, decision: Any) -> dict[str, Any]:
        self.puppet.decision = decision
        return self.run(account, "puppet", CONFIG)

    def credentials(self, account: Account) -> None:
        try:
            self.results.append(get_user_credentials(account.user_id, account.id))
        except AxisorError as error:
            self.errors.append(error)

    def store(self, account: Account, user_id: str, keys: dict[str, str]) -> None:
        try:
            set_user_credentials(user_id, account.id, **keys)
        except AxisorError as error:
            self.errors.append(error)


def play(stage: Stage, tmp_path: Path) -> None:
    """Everything that works, and everything that goes wrong."""
    world = stage.world
    stage.restart()
    main = world.account(keys=KEYS)
    sealed = world.account(name="Sealed", format="sealed")
    plain = world.account(name="Plain", keys=PLAIN)
    as_text = dict(zip(("apiKey", "api_secret", "passphrase"), PLAIN.values(), strict=True))
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", as_text, plain.id)

    trade = stage.entry(main)["tradeId"]
    stage.entry(sealed)
    stage.entry(plain)
    stage.entry(main, trigger_price=40_000)
    stage.run(main, "tp_sl", {"action": "update_sl", "new_stoploss": 47_000}, trade_id=trade)
    stage.run(main, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50}, trade_id=trade)
    stage.run(main, "margin_guard", {"action": "close_position"}, trade_id="no-such-trade")
    stage.run(main, "moon_shot", {})
    stage.run(main, "auto_entry", {"side": "up"})
    stage.results.append(world.run("no-such-automation"))

    for fault in ("status_before", "status_after", "malformed", "drop_after", "drop_before", "truncated"):
        for status in (400, 401, 500) if fault == "status_before" else (500,):
            world.paper.add_fault(fault, mutating=True, status=status, count=1)
            lost = stage.entry(main)
            if lost.get("status") == "waiting":
                stage.results.append(world.go_on(lost["executionId"]))
    world.paper.add_fault("status_before", route="GET /v3/account", status=503, count=1)
    world.restart(stage.puppet.plugin, **stage.settings)
    stage.entry(main)

    stage.decide(main, lambda context: (_ for _ in ()).throw(RuntimeError(f"{context!r} {vars(context.reads)!r}")))
    stage.decide(main, act(SetTakeProfit("no-such-trade", Decimal(1))))
    stage.decide(main, Act(groups=(Group("x", facts={"context": "x"}),), action="x"))
    stage.decide(main, lambda context: break_tables(world, context.account.id))
    mend_tables(world)
    stage.decide(main, act(OpenPosition("buy", 100, Decimal(10))))

    for account in (main, sealed, plain):
        stage.credentials(account)
    stage.store(main, "user456", KEYS)
    stage.store(main, "user123", {**KEYS, "passphrase": " "})
    stage.store(main, "user123", {**KEYS, "key": f"{KEYS['key']}\n"[::-1]})
    stage.store(main, "user123", KEYS)
    for row in ({}, {**as_text, "passphrase": ""}, [PLAIN["secret"]], {"apiKey": [PLAIN["key"]]}):
        text = json.dumps(row)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", text, plain.id)
        stage.entry(plain)
        stage.credentials(plain)
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", as_text, plain.id)

    with echoing_exchange() as url:
        stage.restart(exchange_url=url)
        stage.entry(main)
        stage.entry(plain)
        stage.decide(plain, act(OpenPosition("buy", 100, Decimal(10))))
    stage.restart(exchange_url="http://127.0.0.1:9")
    stage.entry(main)
    stage.restart(exchange_url=world.paper.url, encryption_key=f"{MARK}-other-encryption-key")
    stage.entry(main)
    stage.entry(sealed)
    stage.credentials(main)

    stage.restart(encryption_key=ENCRYPTION_KEY)
    queued = [world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY))) for account in (main, plain)]
    garbage = Message(queue_name="default", actor_name="run_default", args=(3,), kwargs={}, options={})
    world.send(garbage)
    log = tmp_path / "worker.log"
    with world.worker(log, AXISOR_LOG_LEVEL="DEBUG", AXISOR_LOG_FORMAT="json"):
        stage.results += [get_result(one, wait=20) for one in queued]


def break_tables(world: World, account_id: str) -> Act:
    """Make the ledger's next write fail, in the middle of a run."""
    world.storage.run("ALTER TABLE axisor_actions RENAME TO axisor_gone")
    return act(OpenPosition("buy", 100, Decimal(10)), name=f"for {account_id}")


def mend_tables(world: World) -> None:
    world.storage.run("ALTER TABLE axisor_gone RENAME TO axisor_actions")


def shown(error: BaseException) -> str:
    """Everything that a traceback could show, the variables of all frames included (but for the test's own)."""
    frames = error.__traceback__
    while frames is not None and Path(frames.tb_frame.f_code.co_filename).is_relative_to(TESTS):
        frames = frames.tb_next
    assert frames is not None
    error.__traceback__ = frames
    out = StringIO()
    shown = rich.traceback.Traceback.from_exception(
        type(error), error, frames, show_locals=True, locals_max_length=1000, locals_max_string=100_000
    )
    rich.console.Console(file=out, width=1000).print(shown)
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return f"{out.getvalue()}\n{plain}\n{vars(error)!r}"


def cells(world: World) -> Iterator[tuple[str, str]]:
    """Every cell of every table, but for the credentials."""
    world.storage.forget_tables()
    for table in sorted(world.storage.tables):
        cursor = world.storage.database.execute_sql(f'SELECT * FROM "{table}"')
        names = [column[0] for column in cursor.description]
        for row in cursor.fetchall():
            for name, value in zip(names, row, strict=True):
                if (table, name) != ("user_exchange_accounts", "credentials"):
                    yield f"{table}.{name}", value if isinstance(value, str) else json.dumps(value, default=str)


def values(client: redis.Redis) -> Iterator[tuple[str, str]]:
    """Every value in Redis."""
    for key in client.scan_iter():
        yield f"Redis {key!r}", repr(client.dump(key))
        match client.type(key):
            case b"hash":
                yield f"Redis {key!r}", repr(client.hgetall(key))
            case b"list":
                yield f"Redis {key!r}", repr(client.lrange(key, 0, -1))


def test_no_secret_leaves(world: World, said: Said, redis_url: str, tmp_path: Path) -> None:
    stage = Stage(world)
    play(stage, tmp_path)
    secrets = {
        **{f"the account's {name}": value for name, value in KEYS.items()},
        **{f"the plain-text {name}": value for name, value in PLAIN.items()},
        "the encryption key": ENCRYPTION_KEY,
        "the other encryption key": f"{MARK}-other-encryption-key",
        **{f"the sealed account's {name}": getattr(world.accounts[1].paper, name) for name in KEYS},
    }
    password = urlsplit(world.settings.database_url or "").password
    findings = Findings({**secrets, **({"the database's password": password} if password else {})})

    findings.look("the log", said.text())
    findings.look("the worker's log", (tmp_path / "worker.log").read_text())
    for result in stage.results:
        findings.look("a result", f"{result!r} {result}")
    for error in stage.errors:
        findings.look(f"the traceback of {type(error).__name__}", shown(error))
    for told in (*world.finished, *world.watcher.alerts):
        findings.look("what observers are told", repr(told))
    for where, text in cells(world):
        findings.look(where, text)
    with redis.Redis.from_url(redis_url) as client:
        for where, text in values(client):
            findings.look(where, text)
    for name in ("settings", "parts", "storage"):
        findings.look(name, repr(getattr(world, name)))

    assert findings.found == []
    statuses = {result.get("status") for result in stage.results if isinstance(result, dict)}
    assert {"completed", "pending", "failed", "waiting"} <= statuses, "all kinds of runs were looked at"
    assert len(stage.errors) >= 4, "and all kinds of errors"
    assert len(said.lines) > 200
    assert "Creating LONG position" in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize("form", ["as it is", "in hex", "in base64", "in a URL"])
def test_they_would_be_found(form: str) -> None:
    findings = Findings({"a secret": "s€cret/+"})
    findings.look("here", f"... {findings.forms[f'a secret, {form}']} ...")
    assert f"here: a secret, {form}" in findings.found
