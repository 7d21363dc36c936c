"""The stage of a storm: a world with short limits, on servers that may be broken, and the figures that come of it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from tests.faults import desk
from tests.faults.figures import Figures, read, write_page
from tests.harness.paper import PaperExchange
from tests.harness.run import TestRun
from tests.harness.world import ENCRYPTION_KEY, World, plugin

WINDOW, MARGIN = 1.5, 1.5
RETRIES = {"tries": 10, "first_delay_seconds": 0.3, "limit_seconds": 1.5, "max_age_seconds": 900}
LIMITS = {
    "lease_seconds": 1.5,
    "recovery_seconds": 0.5,
    "signature_window_seconds": WINDOW,
    "signature_margin_seconds": MARGIN,
    "request_timeout_seconds": 2.0,
    "connect_timeout_seconds": 1.0,
    "max_price_age_seconds": 30.0,
    "retries": dict.fromkeys(("margin_guard", "tp_sl", "auto_entry", "desk"), RETRIES),
}

MakeWorld = Callable[..., World]


@pytest.fixture
def seed() -> int:
    """The seed of everything random in this test; ``AXISOR_FAULT_SEED`` repeats one."""
    chosen = int(os.environ.get("AXISOR_FAULT_SEED") or random.SystemRandom().randrange(1, 10_000))
    print(f"\nseed {chosen} (AXISOR_FAULT_SEED={chosen} repeats it)")
    return chosen


@pytest.fixture
def make_world(paper: PaperExchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Make worlds with a storm's limits on given servers."""
    with ExitStack() as stack:

        def make(database_url: str, redis_url: str, **changed: object) -> World:
            limits = {**LIMITS, **changed}
            monkeypatch.setenv("AXISOR_RETRIES", json.dumps(limits.pop("retries")))
            settings = Settings(
                database_url=database_url,
                redis_url=redis_url,
                exchange_url=paper.url,
                encryption_key=ENCRYPTION_KEY,
                queue_prefix=f"storm-{uuid4().hex[:8]}",
                **limits,  # type: ignore[arg-type]
            )
            paper.settings(windowSeconds=settings.signature_window_seconds)
            made = World(settings, Storage(database_url), paper)
            stack.callback(made.close)
            made.restart(plugin("desk", desk))
            return made

        yield make


@pytest.fixture
def world(make_world: MakeWorld, database_url: str, redis_url: str) -> World:
    """A world with a storm's limits, once on each database."""
    return make_world(database_url, redis_url)


@pytest.fixture
def figures(test_run: TestRun, seed: int) -> Figures:
    """Where a storm leaves its figures; they are printed, and written down when asked for."""
    return Figures(test_run, seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of all processes."""
    if "AXISOR_TEST_RUN" in os.environ and (lines := [row.line() for row in read(TestRun.begin())]):
        terminalreporter.section("storms")
        terminalreporter.write_line("\n".join(lines))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write docs/reliability.md when the run was for that, from the one process that sees all of it end."""
    if not hasattr(session.config, "workerinput") and "AXISOR_TEST_RUN" in os.environ:
        processes = getattr(session.config.option, "numprocesses", None)
        write_page(TestRun.begin(), passed=exitstatus == 0, processes=processes or 1)
