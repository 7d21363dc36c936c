"""`new-plugin`: what it says, what it makes, and that its code is as clean as the project's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Commands

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_says_what_it_made_and_what_comes_next(alone: Commands) -> None:
    told = alone("new-plugin", "calm-exit").stdout
    files, following = told.split("\nNext:\n")
    assert files.startswith("Made axisor-calm-exit, the plugin of the automation type calm_exit:\n")
    assert all((Path("axisor-calm-exit") / line.strip()).is_file() for line in files.splitlines()[1:])
    assert following.split("\n")[:3] == [
        "  cd axisor-calm-exit",
        '  pip install -e ".[test]"',
        "  python -m pytest",
    ]


def test_everything_can_be_chosen(alone: Commands) -> None:
    words = (
        "--dir",
        "my plugin",
        "--type",
        "calm",
        "--title",
        "Calm!",
        "--description",
        "It's calm.",
        "--author",
        "Jo",
    )
    told = alone("new-plugin", "calm_exit", *words).stdout
    assert "cd 'my plugin'" in told
    project = tomllib.loads(Path("my plugin/pyproject.toml").read_text())["project"]
    assert (project["description"], project["authors"]) == ("It's calm.", [{"name": "Jo"}])
    assert project["entry-points"]["axisor_executor"] == {"calm_exit": "axisor_calm_exit"}
    code = Path("my plugin/axisor_calm_exit/__init__.py").read_text()
    assert 'type = "calm"\n' in code
    assert 'title = "Calm!"\n' in code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["Calm Exit"], "plugin_name_invalid"),
        (["calm_exit", "--type", "Calm"], "plugin_name_invalid"),
        (["tp_sl"], "plugin_name_taken"),
        (["calm_exit", "--type", "margin_guard"], "plugin_name_taken"),
        (["calm_exit", "--title", ""], "plugin_text_invalid"),
        (["calm_exit", "--dir", "."], "folder_in_use"),
    ],
)
def test_what_is_refused_makes_nothing(alone: Commands, words: list[str], code: str) -> None:
    Path("mine.txt").touch()
    assert f"[{code}]" in alone.error("new-plugin", *words)
    assert os.listdir() == ["mine.txt"]  # noqa: PTH208


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x", "calm_exit", "a_name_as_long_as_names_may_be_and_not_1"])
def test_its_code_is_as_clean_as_ours(alone: Commands, name: str) -> None:
    pytest.importorskip("mypy")
    alone("new-plugin", name, "--dir", name)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    lint = settings["lint"]
    options = {
        "select": lint["select"],
        "ignore": lint["ignore"],
        "per-file-ignores": [f"tests/**:{rule}" for rule in lint["per-file-ignores"]["tests/**"]],
        "line-length": [str(settings["line-length"])],
        "target-version": [settings["target-version"]],
    }
    ours = [f"--{name}={','.join(values)}" for name, values in options.items()]
    checks = [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "check", "--no-cache", "--isolated", *ours, "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy", "--cache-dir", os.devnull, "--follow-imports", "silent"],
    ]
    for check in checks:
        done = subprocess.run(
            [sys.executable, "-m", *check],
            cwd=name,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{check}:\n{done.stdout}{done.stderr}"
