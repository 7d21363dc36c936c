"""The README's smallest plugin is what it says: it installs, its test passes, and its automation runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, section, text_of
from tests.harness.world import World

README = ROOT / "README.md"
TEXT = section(text_of(README), "The smallest useful plugin")
NAMES = ("axisor_time_stop.py", "pyproject.toml", "test_time_stop.py")
CODE = [block.code for block in blocks("python", "toml", pages=(README,)) if block.code in TEXT]


def called(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's folder, as a reader of the README would make it."""
    folder = tmp_path_factory.mktemp("axisor-time-stop")
    for name, code in zip(NAMES, CODE, strict=True):
        assert f"`{name}`" in TEXT
        (folder / name).write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the plugin in it, installed by pip."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    called(sys.executable, "-m", "pip", "install", *options, "--target", target, source, folder=source)
    return target


def test_it_is_small() -> None:
    lines = [sum(1 for line in code.splitlines() if line.strip()) for code in CODE]
    assert lines[0] <= 15
    assert lines[1] <= 30
    assert lines[2] <= 6


def test_its_test_passes(source: Path, installed: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(source), "-c", os.devnull]
    variables = {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert "1 passed" in called(sys.executable, "-m", "pytest", *options, source, folder=source, **variables)


def test_it_is_listed(installed: Path, docs_world: World) -> None:
    paths = os.pathsep.join([str(installed), str(ROOT)])
    command = [sys.executable, "-m", "axisor_executor.cli", "plugins", "--json"]
    listed = json.loads(called(*command, folder=installed, **docs_world.environment(PYTHONPATH=paths)))
    (own,) = [one for one in listed if one["distribution"] == "axisor-time-stop"]
    assert own["state"] == "loaded", own
    assert own["types"] == [{"type": "time_stop", "title": "Time Stop", "actions": {"close_position": "protect"}}]


def test_its_automation_runs(installed: Path, docs_world: World) -> None:
    account = docs_world.account()
    trade_id = docs_world.open_trade(account)
    young = docs_world.automation(account, "time_stop", {"max_hours": 24})
    program = "import json, sys, axisor_executor; print(json.dumps(axisor_executor.execute(json.loads(sys.argv[1]))))"
    variables = docs_world.environment(PYTHONPATH=os.pathsep.join([str(installed), str(ROOT)]))
    job = json.dumps(docs_world.job(young, trade_id=trade_id))
    result = json.loads(called(sys.executable, "-c", program, job, folder=installed, **variables))
    assert (result["status"], result["result"]["reason"]) == ("pending", "too_young")
    assert docs_world.trade(account, trade_id)["running"]


def test_every_file_of_it_is_shown() -> None:
    assert re.findall(r"^`([\w.]+)`[,:]", TEXT, re.MULTILINE) == list(NAMES)
