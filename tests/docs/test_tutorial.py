"""The tutorial, done as it stands there: typed into one terminal, in a fresh environment, with a real stack."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.docs.pages import ROOT, Block, blocks, section, text_of
from tests.docs.shell import commands
from tests.harness.marked import processes_with

PAGE = ROOT / "docs" / "tutorial.md"
STEPS = blocks("sh", "python", "json", "", pages=(PAGE,))
_OWN = ("PYTHON", "PYTEST", "AXISOR", "DATABASE_URL", "REDIS_URL", "LN_MARKETS", "ENCRYPTION_KEY", "VIRTUAL_ENV")
_MADE = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", ".*")
_PLACE = re.compile(r"<!-- not run: (?:replaces (?P<name>\w+) in|is) (?P<path>\S+) -->\s*\Z")


class Terminal:
    """A shell that keeps its folder and variables from block to block, and ends with the first command that fails."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, code: str) -> str:
        """Have a block run to its end, and return what it showed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        end = f"end-{uuid4().hex}"
        self._shell.stdin.write(f"{{\n{code}\n}} </dev/null\necho {end}\n")
        self._shell.stdin.flush()
        shown = ""
        for line in self._shell.stdout:
            if line.rstrip().endswith(end):  # what was shown last may have ended without a new line
                return shown + line.rstrip().removesuffix(end)
            shown += line
        raise AssertionError(f"it failed:\n{code}\n{shown}")

    def close(self) -> None:
        self._shell.communicate()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in a checkout, with the Python of this run as its `python3`; what it leaves running is stopped."""
    checkout, programs, mark = tmp_path / "axisor-executor", tmp_path / "bin", uuid4().hex
    checkout.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    for name in ("axisor_executor", "plugins"):
        shutil.copytree(ROOT / name, checkout / name, ignore=_MADE)
    programs.mkdir()
    (programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")

    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    made = Terminal(checkout, {**inherited, "PATH": path, "UP_MARK": mark, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    yield made
    made.close()
    command = tmp_path / "axisor-tutorial" / "bin" / "axisor-executor"
    if list(processes_with(mark)):  # the test has failed on its way
        folder = tmp_path / "axisor-tutorial" / "axisor-calm-exit" / "axisor-data"
        subprocess.run([command, "down", "--now", "--dir", folder], check=False)
        return
    assert list(processes_with(mark)) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_works_as_it_stands_there(terminal: Terminal) -> None:
    shown = ""
    for step in STEPS:
        if step.language == "sh":
            shown = terminal.type(step.code)
        elif step.language:
            edit(Path(terminal.type("pwd").strip()), step)
        else:
            for line in step.code.splitlines():
                wanted = ".*".join(map(re.escape, line.split("...")))
                assert re.search(f"^{wanted}$", shown, re.MULTILINE), f"{step}: {line!r} is not in\n{shown}"


def edit(folder: Path, step: Block) -> None:
    """Write a block to where the comment before it says: a file, or the place of the function of its name."""
    before = "".join(text_of(step.page).splitlines(keepends=True)[: step.line - 1])
    told = _PLACE.search(before)
    assert told, f"{step} does not say where it belongs"
    file = folder / told["path"]
    if told["name"] is None:
        file.write_text(step.code, encoding="utf-8")
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    functions = [node for node in ast.parse("".join(lines)).body if isinstance(node, ast.FunctionDef)]
    (old,) = [function for function in functions if function.name == told["name"]]
    first = min([old.lineno, *(decorator.lineno for decorator in old.decorator_list)])
    lines[first - 1 : old.end_lineno] = [step.code]
    file.write_text("".join(lines), encoding="utf-8")


def test_it_installs_what_the_readme_does() -> None:
    installs = [words for step in STEPS if step.language == "sh" for words in commands(step.code) if words[0] == "pip"]
    assert any(
        installs[0] == words for block in blocks("sh", pages=(ROOT / "README.md",)) for words in commands(block.code)
    )


def test_it_is_reached_from_the_first_pages() -> None:
    assert "docs/tutorial.md" in text_of(ROOT / "README.md")
    assert (
        "tutorial.md" in section(text_of(ROOT / "docs" / "writing-a-plugin.md"), "Writing a plugin").split("\n## ")[0]
    )
