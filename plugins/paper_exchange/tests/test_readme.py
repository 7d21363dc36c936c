"""The README names everything that there is, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axisor_paper_exchange.server import Settings
from axisor_paper_exchange.server.api import routes
from axisor_paper_exchange.server.control import Control
from axisor_paper_exchange.server.control_bodies import settings_json
from axisor_paper_exchange.server.faults import kinds
from axisor_paper_exchange.server.world import World

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("kind", kinds)
def test_faults(kind: str) -> None:
    assert f"| `{kind}` |" in README


@pytest.mark.parametrize("name", settings_json(Settings()))
def test_settings(name: str) -> None:
    assert f"| `{name}` |" in README


def test_endpoints() -> None:
    for _, path in routes:
        assert path.removeprefix("/v3") in README


def test_control_surface() -> None:
    for method, *path in Control(World(Settings(), 1)).routes:
        assert f"`{method} /paper/{'/'.join(path).replace('*', '{id}')}`" in README


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_examples(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})
