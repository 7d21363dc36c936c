"""What the image does, without one: its steps and the compose file's commands, by nobody, from a read-only checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from axisor_executor.embedded import ChildProcess, free_port
from tests.harness.compose import DEPLOY, compose, interpolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NOBODY = 65_534
ROOT = DEPLOY.parent
SERVICES = compose()["services"]
_MADE = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")


def _own_user() -> tuple[int, int] | None:
    return (NOBODY, NOBODY) if os.getuid() == 0 else None


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that nobody may run."""
    candidates = [Path(sys.base_prefix) / "bin" / "python3", *map(Path, filter(None, [shutil.which("python3")]))]
    for found in (*candidates, Path("/usr/bin/python3")):
        if _as_nobody(
            [str(found), "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"], Path("/")
        ):
            return str(found)
    pytest.skip("there is no Python 3.11 or newer, with venv, that user 65534 may run")


def _as_nobody(command: list[str], folder: Path) -> bool:
    own = _own_user()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            user=own and own[0],
            group=own and own[1],
            extra_groups=[] if own else None,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that nobody may write into; pytest's own are for their owner only."""
    folder = Path(f"/tmp/axisor-image-{os.getpid()}")
    folder.mkdir()
    if own := _own_user():
        os.chown(folder, *own)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def installed(place: Path, python: str) -> Path:
    """The programs, installed as the Dockerfile does, by nobody, from a checkout that can only be read."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    step = re.search(r"^RUN --mount=type=bind,target=/checkout EXTRAS=\$EXTRAS (.+)$", dockerfile, re.MULTILINE)
    extras = re.search(r"^ARG EXTRAS=(\S+)$", dockerfile, re.MULTILINE)
    assert step
    assert extras
    checkout = place / "checkout"
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")]
    for name in kept:
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=_MADE)
        else:
            shutil.copy(ROOT / name, target)
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
    command = shlex.split(step[1].replace("/checkout", str(checkout)).replace("/opt/axisor", str(place / "axisor")))
    child = ChildProcess(
        [*command, python],
        output=place / "install.log",
        env=_environment(place, EXTRAS=extras[1]),
        cwd=place,
        user=_own_user(),
    )
    try:
        assert child.start().wait(500) == 0, child.text()
    finally:
        child.stop()
    assert "margin_guard" in child.text(), "the installation ends with the list of plugins"
    return place / "axisor" / "bin"


def _environment(place: Path, **more: str) -> dict[str, str]:
    """What the image sets, and how to get packages here; nothing else of this process's."""
    reach = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_")) or "proxy" in name.lower()
    }
    return {**reach, "PATH": os.environ["PATH"], "HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1", **more}


class Image:
    """Runs commands of the image as the compose file does."""

    def __init__(self, place: Path, programs: Path, **settings: str) -> None:
        self.place = place
        self.programs = programs
        self.env = _environment(place, **settings) | {"PATH": f"{programs}:{os.environ['PATH']}"}

    def start(self, name: str, command: list[str]) -> ChildProcess:
        words = [interpolated(word) for word in command]
        return ChildProcess(
            [self.programs / words[0], *words[1:]],
            output=self.place / f"{name}.log",
            env=self.env,
            cwd=self.place,
            user=_own_user(),
        ).start()

    def run(self, name: str, command: list[str]) -> int:
        child = self.start(name, command)
        try:
            return child.wait(60)
        finally:
            child.stop()


def test_the_commands_of_the_compose_file(place: Path, installed: Path, redis_url: str) -> None:
    """Set up, workers of both lanes, API, health checks: everything runs, and stops cleanly when it is told."""
    data = place / "data"
    data.mkdir()
    if own := _own_user():
        os.chown(data, *own)
    settings = {"DATABASE_URL": f"sqlite:///{data}/axisor.db", "REDIS_URL": redis_url, "ENCRYPTION_KEY": "k" * 32}
    image = Image(place, installed, **settings, AXISOR_MODE="dry_run", AXISOR_LOG_FORMAT="json")
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    health = re.search(r"^HEALTHCHECK .*CMD \[(.+)\]$", dockerfile, re.MULTILINE)
    assert health
    check = [word.strip(' "') for word in health[1].split(",")]
    assert image.run("too-early", check) == 1
    assert image.run("setup", SERVICES["setup"]["command"]) == 0
    port = str(free_port())
    commands = {name: SERVICES[name]["command"] for name in ("protect", "default", "api")}
    commands["api"] = [word.replace("8420", port) for word in commands["api"]]
    started = {name: image.start(name, command) for name, command in commands.items()}
    try:
        for name in ("protect", "default"):
            started[name].wait_for_line("Worker ready", timeout=60)
        started["api"].wait_for_line("HTTP API ready", timeout=60)
        assert image.run("health", check) == 0, (place / "health.log").read_text()
        of_api = [word.replace("8420", port) for word in SERVICES["api"]["healthcheck"]["test"][1:]]
        assert image.run("health-of-api", of_api) == 0, (place / "health-of-api.log").read_text()
        statuses = {name: child.stop(40) for name, child in started.items()}
    finally:
        for child in started.values():
            child.stop()
    assert statuses == {"protect": 0, "default": 0, "api": 0}
    assert image.run("too-late", of_api) == 1
    left = {path.name for path in place.iterdir() if path.suffix != ".log"}
    assert left == {"checkout", "axisor", "data"}, "it writes nowhere else"


def test_nothing_of_the_checkout_is_needed_afterwards(installed: Path, place: Path) -> None:
    shown = subprocess.run(
        [installed / "python", "-c", "import axisor_executor; print(axisor_executor.__file__)"],
        cwd="/",
        env=_environment(place),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith(str(place / "axisor"))
