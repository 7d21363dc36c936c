"""All distributions build, install into a fresh environment, and work there, together and each plugin alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLUGINS = ("alerts_apprise", "auto_entry", "margin_guard", "paper_exchange", "tp_sl")
EXAMPLES = ("dca_entry", "laddered_take_profit", "trailing_stop")
FOLDERS = {**dict.fromkeys(PLUGINS, "plugins"), **dict.fromkeys(EXAMPLES, "examples")}
DISTRIBUTIONS = {"": "axisor_executor", **{name: f"axisor_{name}" for name in FOLDERS}}
_MADE = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", ".*")


def _run(*arguments: str | Path, cwd: Path, **variables: str) -> str:
    """Run as somebody else would: not in the source folder, without its environment's variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "AXISOR"))}
    command = [str(argument) for argument in arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**env, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A copy of what is built: building writes into the source folder."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (pytestconfig.rootpath / name).exists():
            shutil.copy(pytestconfig.rootpath / name, copy)
    for name in ("axisor_executor", "plugins", "examples"):
        shutil.copytree(pytestconfig.rootpath / name, copy / name, ignore=_MADE)
    return copy


@pytest.fixture(scope="module")
def wheels(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by package, built with the build backend that is installed here."""
    folder = tmp_path_factory.mktemp("wheels")
    projects = [sources, *(sources / folder / name for name, folder in FOLDERS.items())]
    options = ["--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={folder}"]
    _run(sys.executable, "-m", "pip", "wheel", *options, *projects, cwd=folder)
    return {package: next(folder.glob(f"{package}-*.whl")) for package in DISTRIBUTIONS.values()}


@pytest.fixture(scope="module")
def environment(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str], Path]:
    """The programs of a fresh environment with the core, what the plugins and their tests need, and no plugin."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    needed = {
        requirement.split(";")[0].strip()
        for package, wheel in wheels.items()
        for requirement in _metadata(wheel).get_all("Requires-Dist", [])
        if package != "axisor_executor" and not requirement.startswith("axisor-")
    }
    options = ["--quiet", f"--constraint={pytestconfig.rootpath / 'constraints.txt'}"]
    core = wheels["axisor_executor"]
    _run(programs / "python", "-m", "pip", "install", *options, core, *sorted(needed), cwd=folder)
    return lambda program: programs / program


@pytest.fixture(scope="module")
def everything(
    environment: Callable[[str], Path], wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with all plugins installed, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("everything")
    _add(environment, folder, *(wheel for package, wheel in wheels.items() if package != "axisor_executor"))
    return folder


def _add(environment: Callable[[str], Path], folder: Path, *wheels: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", f"--target={folder}"]
    _run(environment("python"), "-m", "pip", "install", *options, *wheels, cwd=folder)


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


class TestWheels:
    @pytest.mark.parametrize("package", DISTRIBUTIONS.values())
    def test_contents(self, wheels: dict[str, Path], package: str) -> None:
        with zipfile.ZipFile(wheels[package]) as archive:
            names = archive.namelist()
        assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {package}
        assert f"{package}/py.typed" in names
        assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]

    @pytest.mark.parametrize("package", DISTRIBUTIONS.values())
    def test_every_file_is_in(self, wheels: dict[str, Path], sources: Path, package: str) -> None:
        name = package.removeprefix("axisor_")
        root = sources if package == "axisor_executor" else sources / FOLDERS[name] / name
        files = {str(file.relative_to(root)) for file in (root / package).rglob("*") if file.is_file()}
        with zipfile.ZipFile(wheels[package]) as archive:
            assert files <= set(archive.namelist())

    @pytest.mark.parametrize("package", DISTRIBUTIONS.values())
    def test_metadata(self, wheels: dict[str, Path], package: str) -> None:
        metadata = _metadata(wheels[package])
        assert metadata["Name"] == package.replace("_", "-")
        assert metadata["Requires-Python"] == ">=3.11"
        assert "MIT" in (metadata["License-Expression"], metadata["License"])
        assert len(str(metadata.get_payload())) > 100, "the README is missing"
        for requirement in metadata.get_all("Requires-Dist", []):
            assert "==" not in requirement.split(";")[0], "distributions declare ranges"
            if re.match(r"axisor-(?!executor\[)", requirement):
                assert "<0.2" in requirement, "a plugin depends on a range of the core"


class TestInstalled:
    def test_the_commands_answer(self, environment: Callable[[str], Path], everything: Path, tmp_path: Path) -> None:
        assert "plugins" in _run(environment("axisor-executor"), "--help", cwd=tmp_path)
        shown = _run(everything / "bin" / "axisor-paper-exchange", "--help", cwd=tmp_path, PYTHONPATH=str(everything))
        assert "/paper" in shown

    def test_all_plugins_are_found(self, environment: Callable[[str], Path], everything: Path, tmp_path: Path) -> None:
        shown = _run(environment("axisor-executor"), "plugins", cwd=tmp_path, PYTHONPATH=str(everything))
        for automation_type in ("auto_entry", "margin_guard", "tp_sl", *EXAMPLES):
            assert automation_type in shown
        assert "failed" not in shown.lower()

    @pytest.mark.parametrize("package", sorted(set(DISTRIBUTIONS.values()) - {"axisor_executor"}))
    def test_nothing_but_what_is_declared_is_imported(
        self, environment: Callable[[str], Path], everything: Path, package: str, tmp_path: Path
    ) -> None:
        _run(environment("python"), "-W", "error", "-c", f"import {package}", cwd=tmp_path, PYTHONPATH=str(everything))

    @pytest.mark.parametrize("plugin", [name for name in FOLDERS if name != "paper_exchange"])
    def test_a_plugin_is_found_alone(
        self, environment: Callable[[str], Path], wheels: dict[str, Path], plugin: str, tmp_path: Path
    ) -> None:
        _add(environment, tmp_path, wheels[f"axisor_{plugin}"])
        shown = _run(environment("axisor-executor"), "plugins", cwd=tmp_path, PYTHONPATH=str(tmp_path))
        assert [name for name in FOLDERS if re.search(rf"\b{name}\b", shown)] == [plugin]

    def test_a_new_plugin_is_made_built_and_tested(self, environment: Callable[[str], Path], tmp_path: Path) -> None:
        """Made by the command that the wheel brings, from the templates that are in the wheel."""
        _run(environment("axisor-executor"), "new-plugin", "calm_exit", cwd=tmp_path)
        project, installed = tmp_path / "axisor-calm-exit", tmp_path / "installed"
        options = ["--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={tmp_path}"]
        _run(sys.executable, "-m", "pip", "wheel", *options, project, cwd=tmp_path)
        (wheel,) = tmp_path.glob("axisor_calm_exit-0.1.0-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert packed == {f"axisor_calm_exit/{name}" for name in ("__init__.py", "rules.py", "py.typed")}
        assert "<" in next(found for found in _metadata(wheel).get_all("Requires-Dist", []) if "executor" in found)
        installed.mkdir()
        _add(environment, installed, wheel)
        shown = _run(environment("axisor-executor"), "plugins", cwd=tmp_path, PYTHONPATH=str(installed))
        assert re.search(r"^calm_exit .* loaded", shown, re.MULTILINE), shown

        shutil.rmtree(project / "axisor_calm_exit")  # what is tested is what the wheel holds
        _run(environment("python"), "-m", "pytest", "-q", cwd=project, PYTHONPATH=str(installed))

    @pytest.mark.parametrize("plugin", FOLDERS)
    def test_a_plugin_is_tested_alone(
        self, environment: Callable[[str], Path], wheels: dict[str, Path], plugin: str, sources: Path, tmp_path: Path
    ) -> None:
        installed, project = tmp_path / "installed", tmp_path / "project"
        installed.mkdir()
        _add(environment, installed, wheels[f"axisor_{plugin}"])
        # Its folder as it is, but for the package: what is imported is what the wheel holds.
        packages = shutil.ignore_patterns("axisor_*")
        shutil.copytree(sources / FOLDERS[plugin] / plugin, project, ignore=packages)

        options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
        _run(environment("python"), "-m", "pytest", *options, "tests", cwd=project, PYTHONPATH=str(installed))
