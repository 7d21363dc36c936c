"""The Python in README and docs runs, as a program in an environment that has what it speaks of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from axisor_executor import get_result
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow, AutomationRow
from axisor_executor.storage.schema import migrate
from tests.docs.pages import ROOT, blocks
from tests.harness.world import World

PYTHON = [block for block in blocks("python") if not block.skipped]
PAGES = sorted({block.page.relative_to(ROOT).as_posix() for block in PYTHON})
PROGRAM = """
import contextlib, io, json, sys, traceback
from axisor_executor import runtime

told = {}
for page, blocks in json.load(sys.stdin).items():
    runtime.use(None)
    names, out = {"__name__": page}, io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            for place, code in blocks:
                exec(compile(code, place, "exec"), names)
            for name in [name for name in names if name.startswith("test_")]:
                names[name]()
        told[page] = {"printed": out.getvalue(), "error": None}
    except BaseException:
        told[page] = {"printed": out.getvalue(), "error": traceback.format_exc()}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(docs_world: World) -> World:
    """The world with the ids that the pages use: user123's account acc456 with the entry auto789."""
    made = docs_world.account()
    now = datetime.now(UTC)
    with docs_world.storage.connection():
        row = AccountRow.get_by_id(made.id)
        made.id = "acc456"
        values = {name: getattr(row, name) for name in AccountRow._meta.fields}
        AccountRow.create(**{**values, "id": made.id, "credentials": docs_world.written(made)})
        AutomationRow.create(
            id="auto789",
            user_id="user123",
            user_exchange_account_id=made.id,
            type="auto_entry",
            config={"side": "b", "quantity": 100},
            is_active=True,
            created_at=now,
            updated_at=now,
        )
    return docs_world


@pytest.fixture(scope="module")
def effects_before(told: World) -> int:
    """How many changes of state the exchange knew before any page ran."""
    return len(told.paper.effects())


@pytest.fixture(scope="module")
def ran(told: World, effects_before: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each page printed, and its traceback, if any; a worker, started as the README does, goes on meanwhile."""
    folder = tmp_path_factory.mktemp("reader")
    empty = Storage(f"sqlite:///{folder / 'axisor.db'}")
    migrate(empty, create_monolith_tables=True)
    empty.close()
    # Of the README only its use: test_readme_plugin has the plugin and its test.
    chosen = {page: [(str(block), block.code) for block in PYTHON if block.page == ROOT / page] for page in PAGES}
    chosen["README.md"] = chosen["README.md"][:1]
    with told.worker(folder / "worker.log"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=folder,
            env=told.environment(PYTHONPATH=str(ROOT)),
            input=json.dumps(chosen),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page: str, ran: dict[str, Any]) -> None:
    assert ran[page]["error"] is None, ran[page]["error"]


def test_the_readme_tells_of_the_trade(ran: dict[str, Any]) -> None:
    assert re.fullmatch(r"Trade [0-9a-f-]{36} on Main Account\n", ran["README.md"]["printed"])


def executions_of_messages(world: World, number: int) -> list[str]:
    """Return the executions that the worker made of foreign messages, once there are so many."""
    until = time.monotonic() + 30
    while True:
        with world.storage.connection():
            rows = world.storage.rows("SELECT id FROM axisor_executions WHERE message_id IS NOT NULL")
        if len(rows) >= number or time.monotonic() > until:
            return [row[0] for row in rows]
        time.sleep(0.05)


def test_foreign_messages_are_carried_out(told: World, ran: dict[str, Any], effects_before: int) -> None:
    found = executions_of_messages(told, 2)
    assert [get_result(one, wait=10)["status"] for one in found] == ["completed", "completed"]
    assert len(told.paper.effects()) == effects_before + 5, (
        "the README's entry, one of each message, and the client's order, placed and canceled"
    )
