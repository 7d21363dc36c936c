"""A plugin from outside of this repository: installed with pip, found by a worker, and its automation runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from axisor_executor import enqueue, get_result
from tests.harness.world import World

PLUGIN = """
from axisor_executor import AutomationConfig, AutomationHandler, ClosePosition, act, hookimpl, wait

class Config(AutomationConfig):
    most_trades: int

class Tidy(AutomationHandler[Config]):
    type, title, actions, config_model = "tidy", "Tidy Up", {"tidy": "protect"}, Config

    def decide(self, context):
        oldest, *others = context.running_trades() or [None]
        return act(ClosePosition(oldest.id)) if len(others) >= context.config.most_trades else wait("tidy")

@hookimpl
def axisor_register_automations(register):
    register(Tidy())
"""
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tidy-up"
version = "3.1"
[project.entry-points.axisor_executor]
tidy = "tidy_up"
[tool.setuptools]
py-modules = ["tidy_up"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plugin was installed, from its source alone."""
    source = tmp_path_factory.mktemp("source")
    site = tmp_path_factory.mktemp("site")
    (source / "tidy_up.py").write_text(PLUGIN)
    (source / "pyproject.toml").write_text(PYPROJECT)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([*pip, *options, str(source)], check=True, timeout=60)
    return site


def test_it_is_found_by_a_worker_and_carried_out(world: World, site: Path, tmp_path: Path) -> None:
    assert len(PLUGIN.strip().splitlines()) <= 16, "the smallest useful plugin stays small"
    account = world.account()
    trades = [world.open_trade(account) for _ in range(2)]
    tidy = world.automation(account, "tidy", {"most_trades": 1})
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

    with world.worker(tmp_path / "worker.log", PYTHONPATH=path) as worker, world.changes() as changes:
        ready = worker.wait_for_line("Worker ready").string
        done = get_result(enqueue(world.job(tidy)), wait=20)
        again = get_result(enqueue(world.job(tidy)), wait=20)

    assert "tidy" in ready
    assert (done["status"], done["action"], done["tradeId"]) == ("completed", "close_position", trades[0])
    assert (again["status"], again["result"]["reason"]) == ("pending", "tidy")
    assert changes.effects == [("Main Account", "close")]
    plan = world.execution(done["executionId"]).plan
    assert plan is not None
    assert (plan["handler"], plan["distribution"], plan["distributionVersion"]) == ("Tidy", "tidy-up", "3.1")
