"""The reference shows every public name, once; what it shows is there, and says what it is."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import axisor_executor
from axisor_executor import arithmetic, automation, errors, exchange, hookspecs, testing
from axisor_executor.automation import reducing
from axisor_executor.exchange import simulation
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.testing import pytest_plugin
from tests.docs.pages import ROOT, page, section
from tests.docs.test_names import named

DIRECTIVE = re.compile(r"^::: (?P<name>[\w.]+)$", re.MULTILINE)
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
SHOWN = [found["name"] for one in PAGES for found in DIRECTIVE.finditer(one.read_text(encoding="utf-8"))]
WHOLE = {module.__name__ for module in (errors, arithmetic, reducing, pytest_plugin)}
"""Modules that are shown with all that they have."""
TESTS = [one for one in (ROOT / "tests").rglob("test_*.py") if one.parent.name not in ("docs", "typing")]


def public(module: ModuleType) -> set[str]:
    """Return what a module without ``__all__`` defines."""
    return {name for name, made in vars(module).items() if getattr(made, "__module__", None) == module.__name__}


def resolved(name: str) -> object:
    """Return the module, or the attribute of one, that a dotted name stands for."""
    try:
        return importlib.import_module(name)
    except ImportError:
        home, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(home), attribute)


def is_shown(home: str, name: str) -> bool:
    return f"{home}.{name}" in SHOWN


class TestComplete:
    @pytest.mark.parametrize("name", sorted(set(axisor_executor.__all__) - {"__version__"}))
    def test_a_name_of_the_library(self, name: str) -> None:
        homes = ("axisor_executor", "axisor_executor.automation", "axisor_executor.hookspecs")
        assert sum(is_shown(home, name) for home in homes) == 1

    @pytest.mark.parametrize("module", [automation, testing, exchange], ids=lambda module: module.__name__)
    def test_a_package(self, module: ModuleType) -> None:
        assert {name for name in module.__all__ if not is_shown(module.__name__, name)} == set()

    def test_the_hooks(self) -> None:
        hooks = {name for name in vars(hookspecs) if name.startswith("axisor_")} | {"HOOK_API_VERSION"}
        assert {name for name in hooks if not is_shown(hookspecs.__name__, name)} == set()

    @pytest.mark.parametrize("kind", [Alert, Finished])
    def test_what_observers_get(self, kind: type) -> None:
        assert is_shown(kind.__module__, kind.__name__)

    def test_a_simulated_exchange(self) -> None:
        names = {name for name in public(simulation) if name[0].isupper()} | {"SimulationFactory"}
        assert {name for name in names if not is_shown(simulation.__name__, name)} == set()

    def test_whole_modules(self) -> None:
        assert set(SHOWN) >= WHOLE


class TestTrue:
    def test_each_is_shown_once(self) -> None:
        assert sorted(SHOWN) == sorted(set(SHOWN))

    @pytest.mark.parametrize("name", SHOWN)
    def test_it_is_there_and_says_what_it_is(self, name: str) -> None:
        shown = resolved(name)
        if inspect.isclass(shown) or inspect.isfunction(shown) or inspect.ismodule(shown):
            assert inspect.getdoc(shown)

    def test_what_docstrings_say_of_arguments_and_errors_fits(self) -> None:
        arguments, raised = 0, 0
        for one in functions():
            for word in told(one, "Args"):
                assert word in inspect.signature(one).parameters, f"{one.__qualname__}: {word}"
                arguments += 1
            for word in told(one, "Raises"):
                assert word in vars(errors) or word in vars(builtins), f"{one.__qualname__}: {word}"
                raised += 1
        assert arguments > 30
        assert raised > 30


def functions() -> Iterator[FunctionType]:
    """Return the functions that are shown, by themselves or as methods."""
    for shown in map(resolved, SHOWN):
        made = vars(shown).values() if inspect.isclass(shown) or inspect.ismodule(shown) else [shown]
        yield from (one for one in made if inspect.isfunction(one) and not one.__name__.startswith("_"))


def told(function: FunctionType, title: str) -> list[str]:
    """Return the names that a section of a docstring has in front of its colons."""
    text = inspect.cleandoc(function.__doc__ or "").partition(f"\n{title}:\n")[2].split("\n\n")[0]
    return [word for head in re.findall(r"^    ([\w, ]+):", text, re.MULTILINE) for word in head.split(", ")]


class TestHooks:
    @pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("axisor_")])
    def test_each_has_a_test_that_implements_it(self, name: str) -> None:
        assert [one for one in TESTS if implements(one, name)]


def implements(one: Path, hook: str) -> bool:
    """Whether a file of tests makes an implementation of a hook."""
    text = one.read_text(encoding="utf-8")
    if hook not in text:
        return False
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == hook:
            return True
        if isinstance(node, ast.Call) and hook in {keyword.arg for keyword in node.keywords}:
            return True
    return False


class TestFixtures:
    def test_each_is_named(self) -> None:
        tree = ast.parse(inspect.getsource(pytest_plugin))
        fixtures = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
        assert fixtures >= {"make_context", "run_automation"}
        assert fixtures <= named(section(page("testing-a-plugin.md"), "Fixtures"))
