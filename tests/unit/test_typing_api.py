"""The file that pins the public types leaves no public name out; mypy checks it with ``make lint``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import axisor_executor
from axisor_executor import automation, hookspecs, testing

ROOT = Path(__file__).parents[2]
API = ROOT / "tests" / "typing" / "api.py"
TREE = ast.parse(API.read_text(encoding="utf-8"))
IMPORTED = {
    alias.asname or alias.name: f"{node.module}.{alias.name}"
    for node in ast.walk(TREE)
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def used() -> set[str]:
    """Return the full names of what the file works with, beside importing it."""
    found = set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Name):
            found.add(IMPORTED.get(node.id, node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{IMPORTED.get(node.value.id, node.value.id)}.{node.attr}")
    return found


USED = used()
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("axisor_"))
PUBLIC = [
    *(f"axisor_executor.{name}" for name in axisor_executor.__all__),
    *(f"axisor_executor.automation.{name}" for name in automation.__all__),
    *(f"axisor_executor.testing.{name}" for name in testing.__all__),
    *(f"axisor_executor.hookspecs.{name}" for name in [*HOOKS, "HOOK_API_VERSION", "hookimpl"]),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_pinned(name: str) -> None:
    assert name in USED


def test_it_is_checked() -> None:
    (typed,) = re.findall(r"^TYPED := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "tests/typing" in typed.split()
