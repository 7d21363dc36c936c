"""The public names: all there, cheap to import, and nothing else promised."""

from __future__ import annotations

import subprocess
import sys

import pytest

import axisor_executor

HEAVY = ("peewee", "requests", "redis", "dramatiq", "cryptography", "pluggy", "pydantic", "structlog")


@pytest.mark.parametrize("name", axisor_executor.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(axisor_executor, name) is not None


def test_they_are_what_the_package_lists() -> None:
    assert dir(axisor_executor) == sorted(axisor_executor.__all__)
    assert len(set(axisor_executor.__all__)) == len(axisor_executor.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = axisor_executor.no_such_name


def test_what_the_documentation_promises_is_public() -> None:
    promised = {
        "enqueue",
        "execute",
        "get_result",
        "get_user_credentials",
        "get_automation_config",
        "migrate_existing_automations",
    }
    assert promised <= set(axisor_executor.__all__)


def test_importing_it_is_cheap_and_reads_no_setting() -> None:
    code = f"import sys, axisor_executor; print([name for name in {HEAVY!r} if name in sys.modules])"
    environment = {"REDIS_URL": "nonsense", "DATABASE_URL": "nonsense", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
