"""The official SDKs, each in an environment of its own, trade on the paper exchange as its README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PYTHON_SDK = "lnmarkets-sdk==0.2.0"
TYPESCRIPT_SDK = "@ln-markets/sdk@2.0.2"
NEEDED_NODE = 20
SESSIONS = Path(__file__).parent / "sdk"
README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLE_KEYS = {"key": "your-key", "secret": "your-secret", "passphrase": "your-passphrase"}
OPTIONS = ("--spread", "1", "--funding", "--paused")


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of somebody else's program: nothing of this Python's, no proxy on the way to loopback."""
    ours = re.compile(r"PYTHON|PYTEST|SSL_CERT|NODE_|VIRTUAL_ENV|.*_proxy$", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if not ours.match(name)} | variables


def succeeds(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def installed(*command: str | Path, cwd: Path) -> None:
    """Run what installs a package; without it there is nothing to test."""
    # Pip takes its index from the environment or its configuration, as everywhere.
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        pytest.skip(f"{command[-1]} can't be installed: {reasons[0] if reasons else done.stderr}")


def pythons() -> Iterator[str]:
    """The programs that could be a Python for the SDK."""
    yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in ("python3.12", "python3.13", "python3.14", "python3"):
        if found := shutil.which(name):
            yield found
        yield from map(str, sorted(pyenv.glob(f"*/bin/{name}")))


def is_new_enough(python: str) -> bool:
    # A version manager's shim is there and fails; a distribution's Python may lack what makes environments.
    probe = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the official Python SDK and nothing of ours."""
    found = next(filter(is_new_enough, pythons()), None)
    if found is None:
        pytest.skip("the official Python SDK needs Python 3.12 or newer, and none is here")
    folder = tmp_path_factory.mktemp("python-sdk")
    subprocess.run([found, "-m", "venv", folder], check=True, timeout=300)
    program = folder / "bin" / "python"
    options = ("--quiet", "--disable-pip-version-check", "--retries=1", "--timeout=20")
    installed(program, "-m", "pip", "install", *options, PYTHON_SDK, cwd=folder)
    return program


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose modules find the official TypeScript SDK."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("the official TypeScript SDK needs Node.js and npm, and they are not here")
    folder = tmp_path_factory.mktemp("typescript-sdk")
    version = succeeds("node", "--version", cwd=folder).strip()
    if int(version.removeprefix("v").split(".")[0]) < NEEDED_NODE:
        pytest.skip(f"the official TypeScript SDK needs Node.js {NEEDED_NODE} or newer, here is {version}")
    (folder / "package.json").write_text('{"private": true}')
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--engine-strict=false", "--fetch-retries=1")
    installed("npm", "install", *options, TYPESCRIPT_SDK, cwd=folder)
    (folder / "paper.mjs").write_text(block("js"))
    return folder


def block(language: str) -> str:
    """Return the README's one example in a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(code)


@pytest.fixture
def secured(
    start: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> Callable[[], AbstractContextManager[tuple[Any, str]]]:
    """Starts a paper exchange that speaks https; with the path of its certificate."""

    @contextmanager
    def started() -> Iterator[tuple[Any, str]]:
        certificate = tmp_path / "paper.pem"
        with start(*OPTIONS, "--tls", str(certificate)) as paper:
            # Otherwise a certificate bundle that the environment names would be taken instead.
            paper.session.trust_env = False
            paper.session.verify = str(certificate)
            yield paper, str(certificate)

    return started


def is_clean(paper: Any) -> bool:
    return bool(paper.get("audit") == {"ok": True, "problems": []})


def test_a_session_of_the_python_sdk(python: Path, secured: Any) -> None:
    with secured() as (paper, certificate):
        program = ("-W", "error", SESSIONS / "session.py")
        told = succeeds(python, *program, cwd=SESSIONS, PAPER_URL=paper.url, SSL_CERT_FILE=certificate)
        assert told.endswith("session: ok\n")
        assert is_clean(paper)
        assert len(paper.effects()) > 40


def test_the_readme_points_the_python_sdk_at_it(python: Path, secured: Any, tmp_path: Path) -> None:
    with secured() as (paper, certificate):
        paper.ask("POST", "accounts", {"username": "alice", **EXAMPLE_KEYS})
        bot = tmp_path / "bot.py"
        bot.write_text(block("py").replace("127.0.0.1:8089", paper.url.removeprefix("https://")))
        assert "username='alice'" in succeeds(python, bot, cwd=tmp_path, SSL_CERT_FILE=certificate)


def test_a_session_of_the_typescript_sdk(node: Path, secured: Any) -> None:
    session = shutil.copy(SESSIONS / "session.mjs", node)
    with secured() as (paper, certificate):
        program = ("node", "--import", "./paper.mjs", session)
        told = succeeds(*program, cwd=node, PAPER_URL=paper.url, NODE_EXTRA_CA_CERTS=certificate)
        assert told == "session: ok\n"
        assert is_clean(paper)
        assert len(paper.effects()) > 15


def test_the_readme_points_the_typescript_sdk_at_it(node: Path, start: Any) -> None:
    keys = json.dumps(EXAMPLE_KEYS)
    bot = node / "bot.mjs"
    bot.write_text(
        "import { createHttpClient } from '@ln-markets/sdk/rest/v3'\n"
        "for (const network of ['mainnet', 'signet'])\n"
        f"  console.log((await createHttpClient({{ ...{keys}, network }}).account.get()).username)\n"
    )
    with start() as paper:
        paper.ask("POST", "accounts", {"username": "alice", **EXAMPLE_KEYS})
        told = succeeds("node", "--import", "./paper.mjs", bot, cwd=node, PAPER_URL=paper.url)
    assert told == "alice\nalice\n"
