"""Requests of all kinds, made from the API's own description by schemathesis: no answer that it does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from axisor_executor.service import create_app
from axisor_executor.storage import tokens
from tests.harness.world import World
from tests.service.conftest import served
from tests.service.test_access import NEEDS
from tests.service.test_health import worker_row

pytestmark = pytest.mark.slow

EXAMPLES = 6
OF_STATE = ("invalid_scope", "not_retryable", "not_uncertain")
"""Refusals that depend on two fields together, or on the execution."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.fixture
def schema(world: World) -> Iterator[Any]:
    """The API's description, with the means to call what it describes; nobody waits, for no worker runs."""
    world.restart(http_requests_per_minute=1_000_000)
    worker_row(world, seconds=-3600)  # else every answer of the health check were a 503, which is no success
    account = world.account()
    world.run(world.automation(account, "grid_bot", {}))
    app = create_app(world.parts)
    app.state.parts.waiting.release()
    text, _ = tokens.create(world.storage, "fuzz", tokens.SCOPES)
    with served(app) as base:
        headers = {"Authorization": f"Bearer {text}"}
        loaded = schemathesis.openapi.from_url(f"{base}/api/openapi.json", headers=headers)
        loaded.headers_of_test = headers
        yield loaded


def test_every_answer_is_one_that_is_described(world: World, schema: Any) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == len(NEEDS)
    asked = 0
    with requests.Session() as session:
        session.trust_env = False

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data())
        def ask(data: st.DataObject) -> None:
            nonlocal asked
            case = data.draw(strategy)
            answer = case.call(headers=schema.headers_of_test, session=session)
            no_schema_tells = answer.status_code == 400 and answer.json()["error"]["code"] in OF_STATE
            excluded = [positive_data_acceptance] if no_schema_tells else []
            case.validate_response(answer, excluded_checks=excluded, headers=schema.headers_of_test)
            asked += 1

        for operation in operations:
            for mode in MODES:
                strategy = operation.as_strategy(generation_mode=mode)
                ask()
    assert asked >= len(operations) * EXAMPLES
    left = {row[0] for row in world.storage.rows("SELECT DISTINCT status FROM axisor_executions")}
    assert left <= {"queued", "failed"}, "nothing else came of it"
