"""The demo for real: its own processes, its own exit status, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from axisor_executor import plugins
from axisor_executor.demo import parts
from axisor_executor.demo.scenario import CASES, TYPES
from tests.cli.conftest import Commands
from tests.harness.marked import processes_with

COMMAND = [sys.executable, "-m", "axisor_executor.cli", "demo"]
STOPPED_WITHIN = 30.0


@dataclass
class Demo:
    """A demo in a process of its own, whose children and files can be told from others'."""

    folder: Path
    process: subprocess.Popen[str]
    mark: str
    lines: list[str] = field(default_factory=list)

    def read_until(self, pattern: str) -> str:
        """Read its output up to a line, and return that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"the demo ended before {pattern!r}:\n{''.join(self.lines)}")

    def end(self) -> tuple[str, str]:
        """Wait for its end and return the rest of what it wrote."""
        return self.process.communicate(timeout=60)

    def left_behind(self) -> list[str]:
        """Return what is still there of it: processes with its mark in their environment, and files."""
        return [*(path.name for path in self.folder.iterdir()), *processes_with(self.mark)]


Start = Callable[..., Demo]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start demos, and kill those that still run at the test's end."""
    started: list[Demo] = []

    def start_demo(*arguments: str) -> Demo:
        folder, mark = tmp_path / f"demo-{len(started)}", uuid4().hex
        folder.mkdir()
        # Settings of the machine's own must not get into it; a crash of the interpreter is to say where.
        env = {**os.environ, "TMPDIR": str(folder), "DEMO_MARK": mark, "AXISOR_DISABLED_PLUGINS": "tp_sl"}
        env["PYTHONFAULTHANDLER"] = "1"
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env | {"DATABASE_URL": "postgresql://nowhere/at-all", "ENCRYPTION_KEY": "somebody's"},
            start_new_session=True,
        )
        started.append(Demo(folder, process, mark))
        return started[-1]

    yield start_demo
    for demo in started:
        demo.process.kill()
        demo.process.communicate()


def test_every_check_holds(start: Start) -> None:
    demo = start("--json")
    shown, errors = demo.end()
    found = json.loads(shown)
    assert [one for one in found["checks"] if not one["ok"]] == []
    assert demo.process.returncode == 0, errors
    assert found["ok"] is True
    assert errors == ""
    assert len(found["jobs"]) == len(CASES)
    assert found["seconds"] < 60
    assert demo.left_behind() == []


def test_the_scenario_has_every_action_of_every_type() -> None:
    registry = plugins.load(plugins.discover())
    for name in TYPES:
        if name != "auto_entry":
            done = {case.config["action"] for case in CASES if case.type == name and case.status == "completed"}
            assert done == set(registry.handler(name).handler.actions)


@pytest.mark.parametrize(
    "reached",
    [
        "Worker is up",
        *(
            pytest.param(line, marks=pytest.mark.slow)
            for line in ("Redis is up", "Paper exchange is up", "automations written", "Jobs carried out")
        ),
    ],
)
def test_ctrl_c_leaves_nothing_behind(start: Start, reached: str) -> None:
    demo = start()
    demo.read_until(reached)
    demo.process.send_signal(signal.SIGINT)
    _, errors = demo.end()
    if reached == "Jobs carried out":  # it may have been over by then
        assert demo.process.returncode in (0, 130), errors
    else:
        assert demo.process.returncode == 130, errors
        assert "Interrupted" in errors, errors
    assert demo.left_behind() == []


@pytest.mark.slow
def test_a_killed_demo_is_cleaned_up_by_its_guards(start: Start) -> None:
    demo = start()
    demo.read_until("Worker is up")
    demo.process.kill()
    deadline = time.monotonic() + STOPPED_WITHIN
    while demo.left_behind() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert demo.left_behind() == []


@pytest.mark.slow
def test_keep_says_how_to_use_it_and_ends_with_ctrl_c(start: Start) -> None:
    demo = start("--keep")
    demo.read_until("^tail -f")
    text = "".join(demo.lines)
    assert re.search(r"^All \d+ checks hold", text, re.MULTILINE), text
    env = dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))
    own = {"REDIS_URL", "DATABASE_URL", "LN_MARKETS_API_URL", "ENCRYPTION_KEY"}
    assert set(env) == own | {"AXISOR_PRIVATE_CALLS_PER_SECOND", "AXISOR_PUBLIC_CALLS_PER_SECOND"}
    commands = re.findall(r"^\S+ -m axisor_executor.cli (.+)$", text, re.MULTILINE)
    ran = [_run(command, env) for command in commands]
    assert [result.returncode for result in ran] == [0, 0, 0, 1, 0, 0], [result.stderr for result in ran]
    assert "grid_bot" in ran[3].stdout, "`db check` finds what the demo planted"
    assert json.loads(ran[4].stdout)["status"] == "pending"
    demo.process.send_signal(signal.SIGINT)
    demo.end()
    assert demo.process.returncode == 0
    assert demo.left_behind() == []


def _run(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
    return subprocess.run(
        [sys.executable, "-m", "axisor_executor.cli", *command.split()],
        capture_output=True,
        text=True,
        env=inherited | env,
        timeout=30,
        check=False,
    )


def test_missing_parts_are_named_with_what_to_install(alone: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAPER", "axisor_paper_exchange_of_nowhere")
    monkeypatch.setattr(parts, "discover", lambda: [one for one in plugins.discover() if one.name != "tp_sl"])
    message = alone.error("demo")
    assert "pip install axisor-tp-sl axisor-paper-exchange-of-nowhere" in message
    assert message.endswith("[demo_parts_missing]\n")
