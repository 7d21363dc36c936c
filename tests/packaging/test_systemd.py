"""The systemd units: their commands exist, systemd takes them, and they give away every right that they can."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from axisor_executor.cli import main
from axisor_executor.settings import Settings

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
MOST_EXPOSED = 3.0
"""Of systemd's own scale from 0 to 10; what needs the network and a user of its own can't reach 0."""


def _values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def _variables(unit: Path) -> dict[str, str]:
    return dict(word.split("=", 1) for line in _values(unit, "Environment") for word in line.split())


def test_the_units_are_there() -> None:
    assert {unit.name for unit in UNITS.iterdir()} == {"axisor.target", "axisor-worker@.service", "axisor-api.service"}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_ends_in_time_and_comes_back(unit: Path) -> None:
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert float(_values(unit, "TimeoutStopSec")[0]) > shutdown + 5
    assert _values(unit, "KillMode") == ["mixed"], "a dramatiq worker takes a second signal as `at once`"
    assert _values(unit, "Restart") == ["always"]
    assert "/etc/axisor/environment" in _values(unit, "EnvironmentFile")


def test_the_api_is_started_with_options_that_it_has() -> None:
    (unit,) = (one for one in SERVICES if one.name == "axisor-api.service")
    program, *words = _values(unit, "ExecStart")[0].split()
    assert program == "/opt/axisor/bin/axisor-executor"
    given = [re.sub(r"\$\{(\w+)\}", lambda found: _variables(unit)[found[1]], word) for word in words]
    command = main.commands[given[0]]
    assert command.make_context("serve", given[1:], resilient_parsing=True).params["port"] == 8420
    assert CliRunner().invoke(main, [given[0], "--help"]).exit_code == 0


def test_the_workers_take_the_lane_of_their_name() -> None:
    (unit,) = (one for one in SERVICES if one.name == "axisor-worker@.service")
    command = _values(unit, "ExecStart")[0]
    assert command.startswith("/opt/axisor/bin/dramatiq axisor_executor.actors --queues %i ")
    assert set(re.findall(r"\$\{(\w+)\}", command)) == set(_variables(unit))
    wanted = (UNITS / "axisor.target").read_text(encoding="utf-8")
    assert {"axisor-worker@protect.service", "axisor-worker@default.service"} <= set(wanted.replace("=", " ").split())


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units as they would be installed, with programs that are there."""
    programs = Path(sys.executable).parent
    found = []
    for unit in UNITS.iterdir():
        for name in ("@protect.", "@default.", "@.") if "@" in unit.name else (".",):
            copy = tmp_path / unit.name.replace("@." if "@" in unit.name else ".", name)
            copy.write_text(unit.read_text(encoding="utf-8").replace("/opt/axisor/bin", str(programs)))
            found.append(copy)
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
class TestSystemd:
    def test_it_takes_the_units(self, installed: list[Path]) -> None:
        shown = subprocess.run(
            ["systemd-analyze", "verify", *(unit for unit in installed if "@." not in unit.name)],
            capture_output=True,
            text=True,
            check=False,
        )
        ours = [line for line in shown.stderr.splitlines() if "axisor" in line]
        assert (shown.returncode, ours) == (0, [])

    def test_it_finds_them_hardened(self, installed: list[Path]) -> None:
        for unit in installed:
            if unit.suffix != ".service" or "@." in unit.name:
                continue
            shown = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=False
            )
            level = re.search(r"exposure level for \S+: ([\d.]+)", shown.stdout)
            if level is None:
                pytest.skip("this systemd can't rate a file")
            assert float(level[1]) <= MOST_EXPOSED, shown.stdout
