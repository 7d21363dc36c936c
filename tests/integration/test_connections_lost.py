"""A connection to the database that dies in somebody's hands: what the library's functions raise."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from axisor_executor import (
    AxisorError,
    enqueue,
    execute,
    get_automation_config,
    get_result,
    get_user_credentials,
    migrate_existing_automations,
    set_user_credentials,
    switching,
)
from axisor_executor.errors import StorageError
from axisor_executor.storage import postgres, taking
from tests.harness.world import SUICIDE, World

ENTRY = {"side": "b", "quantity": 100}
KEYS = {"key": "canary-key", "secret": "canary-secret", "passphrase": "canary-passphrase"}

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

FUNCTIONS: dict[str, Callable[[World, str, str], Any]] = {
    "enqueue": lambda world, automation, _: enqueue(world.job(automation)),
    "execute": lambda world, automation, _: execute(world.job(automation)),
    "get_result": lambda _world, _automation, execution: get_result(execution),
    "get_automation_config": lambda _world, automation, _: get_automation_config(automation),
    "get_user_credentials": lambda *_: get_user_credentials("user123"),
    "set_user_credentials": lambda world, *_: set_user_credentials("user123", world.accounts[0].id, **KEYS),
    "migrate_existing_automations": lambda *_: migrate_existing_automations("user123"),
    "pause": lambda world, *_: switching.pause(world.storage, "all"),
    "resume": lambda world, *_: switching.resume(world.storage, "all"),
}


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, a connection counts as used a moment ago: it is taken without a question."""
    monkeypatch.setattr(postgres, "TRUSTED_SECONDS", math.inf)


def ids(world: World) -> list[str]:
    return [row[0] for row in world.storage.rows("SELECT id FROM axisor_executions ORDER BY id")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_an_error_of_ours_and_the_next_call_works(world: World, name: str) -> None:
    automation = world.automation(world.account(), "auto_entry", ENTRY)
    execution = enqueue(world.job(automation))
    world.lose_connections()
    with pytest.raises(AxisorError, match="the database failed: ") as caught:
        FUNCTIONS[name](world, automation, execution)
    FUNCTIONS[name](world, automation, execution)
    assert type(caught.value) is StorageError
    assert (caught.value.code, caught.value.status) == ("database_unavailable", 503)
    assert "psycopg2" not in "".join(traceback.format_exception(caught.value))


def test_a_job_whose_answer_was_lost_is_taken_once_by_its_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    automation = world.automation(world.account(), "auto_entry", ENTRY)
    record = taking.record

    def dying(*args: Any, **kwargs: Any) -> Any:
        record(*args, **kwargs)
        world.storage.run(SUICIDE)

    with monkeypatch.context() as patch:
        patch.setattr(taking, "record", dying)
        with pytest.raises(StorageError, match="the database failed"):
            enqueue(world.job(automation), "key-1")
    assert ids(world) == [enqueue(world.job(automation), "key-1")]
