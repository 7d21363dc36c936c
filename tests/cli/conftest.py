"""Commands run in this process, on the test's own servers."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axisor_executor import runtime
from axisor_executor.cli import main
from axisor_executor.observe.logs import ROOT
from axisor_executor.storage.models import MODELS
from tests.harness.world import World


class Commands:
    """Runs `axisor-executor` with an environment of its own."""

    def __init__(self, env: dict[str, str], after: Callable[[], None] = lambda: None) -> None:
        self.env = env
        self._after = after

    def __call__(self, *arguments: str, code: int = 0, given: str | bytes | None = None, **env: str) -> Result:
        """Run a command, with `given` on standard input, that must end with `code`, and never with a traceback."""
        cleared = dict.fromkeys(name for name in os.environ if name.startswith("AXISOR_"))
        result = CliRunner().invoke(main, arguments, input=given, env={**cleared, **self.env, **env})
        self._after()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *arguments: str, code: int = 0, given: str | bytes | None = None, **env: str) -> Any:
        """Run a command with `--json` and return what it wrote."""
        return json.loads(self(*arguments, "--json", code=code, given=given, **env).stdout)

    def error(self, *arguments: str, given: str | bytes | None = None, **env: str) -> str:
        """Run a command that must fail with one message, and return that."""
        result = self(*arguments, code=1, given=given, **env)
        assert result.stdout == ""
        assert result.stderr.startswith("error: "), result.stderr
        return result.stderr


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Take back what commands set up: a log that would write into their closed output."""
    logger = logging.getLogger(ROOT)
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def alone() -> Commands:
    """Commands without any setting."""
    return Commands({"DATABASE_URL": "", "REDIS_URL": "", "ENCRYPTION_KEY": "", "LN_MARKETS_API_URL": ""})


@pytest.fixture
def empty(database_url: str, redis_url: str) -> Commands:
    """Commands on an empty database."""
    return Commands({"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ENCRYPTION_KEY": "of the tests"})


@pytest.fixture
def commands(world: World) -> Commands:
    """Commands on the database of `world`."""

    def give_back() -> None:
        # A command makes a runtime and a storage of its own, as its process would.
        world.storage.database.bind(MODELS, bind_refs=False, bind_backrefs=False)
        runtime.use(world.parts)

    own = {name: value for name, value in world.environment().items() if name not in os.environ}
    own |= {f"AXISOR_{whose}_CALLS_PER_SECOND": "1000" for whose in ("PRIVATE", "PUBLIC")}
    return Commands(own, give_back)
