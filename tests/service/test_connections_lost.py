"""A connection to the database that dies in a request's hands."""

from __future__ import annotations

import math
from typing import Any

import pytest

from axisor_executor.storage import executions, postgres, taking
from tests.harness.world import SUICIDE, World
from tests.service.conftest import Client
from tests.service.test_execute import EXECUTE, count

LOST = (503, "database_unavailable")

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def test_the_next_request_is_answered(world: World, admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "TRUSTED_SECONDS", math.inf)
    job = world.job("auto789")
    for method, path in (("POST", EXECUTE), ("GET", "/api/automation/executions"), ("GET", "/api/health/workers")):
        assert admin("POST", EXECUTE, json=job).status_code == 202
        world.lose_connections()
        assert admin.error(method, path, json=job) == LOST
    assert count(world) == 3


def test_a_job_whose_answer_was_lost_is_taken_once_by_its_key(
    world: World, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, headers, record = world.job("auto789"), {"Idempotency-Key": "one"}, taking.record

    def dying(*args: Any, **kwargs: Any) -> None:
        record(*args, **kwargs)
        world.storage.run(SUICIDE)

    with monkeypatch.context() as patch:
        patch.setattr(taking, "record", dying)
        assert admin.error("POST", EXECUTE, json=job, headers=headers) == LOST
    assert admin("POST", EXECUTE, json=job, headers=headers).status_code == 202
    assert count(world) == 1


def test_a_job_that_was_taken_stays_so_for_a_client_who_waits(
    world: World, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error would have it sent again."""
    monkeypatch.setattr(executions, "get", lambda storage, _: storage.run(SUICIDE))
    answer = admin("POST", f"{EXECUTE}?wait=0.1", json=world.job("auto789"))
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
