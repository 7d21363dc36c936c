"""The hook API's version: what was built for another one is refused at load, in words that say what to do."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor import __version__, hook_api, hookspecs
from axisor_executor.errors import PluginError
from axisor_executor.plugins import Found, Plugin, load

ROOT = Path(__file__).parents[2]


def loaded(declared: Any = None) -> Plugin:
    members = {} if declared is None else {hook_api.ATTRIBUTE: declared}
    members["axisor_alert"] = hookspecs.hookimpl(lambda alert: None)
    found = Found("moon", "axisor-moon", "3.1", lambda: SimpleNamespace(**members))
    return load([found]).plugins[0]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were hook API 2.3."""
    monkeypatch.setattr(hook_api, "HOOK_API_VERSION", (2, 3))


class TestLoading:
    @pytest.mark.parametrize("declared", ["2", "2.0", "2.3"])
    def test_the_same_major_and_no_newer_minor_is_loaded(self, here: None, declared: str) -> None:
        assert (loaded(declared).state, loaded(declared).hook_api) == ("loaded", declared)

    @pytest.mark.parametrize(
        ("declared", "advice"),
        [
            ("1.9", "update axisor-moon, or install an older axisor-executor"),
            ("3.0", "update axisor-executor, or install an older version of axisor-moon"),
            ("2.4", "update axisor-executor, or install an older version of axisor-moon"),
        ],
    )
    def test_another_is_refused_with_both_versions_and_what_to_do(
        self, here: None, declared: str, advice: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        plugin = loaded(declared)
        assert (plugin.state, plugin.hook_api) == ("failed", declared)
        assert plugin.reason == (
            f"PluginError: axisor-moon 3.1 was built for hook API {declared}, "
            f"axisor-executor {__version__} has 2.3: {advice}"
        )
        assert "Plugin axisor-moon 3.1 [moon] failed to load" in caplog.text

    def test_one_that_says_nothing_counts_as_built_for_the_first(self, here: None) -> None:
        plugin = loaded()
        assert (plugin.state, plugin.hook_api) == ("failed", None)
        assert "axisor-moon 3.1 was built for hook API 1.0" in str(plugin.reason)

    def test_which_is_fine_as_long_as_that_is_here(self) -> None:
        assert hookspecs.HOOK_API_VERSION[0] == 1
        assert loaded().state == "loaded"

    @pytest.mark.parametrize(
        "declared", ["", "one", "1.", "1.0.0", "v1", "0", "01", "1.01", 1, 1.0, (1, 0), b"1", "1\n"]
    )
    def test_what_is_no_version_is_refused(self, declared: Any) -> None:
        plugin = loaded(declared)
        assert plugin.state == "failed"
        assert 'axisor_hook_api must be a text such as "1.0", got' in str(plugin.reason)

    def test_it_comes_before_hooks_that_only_the_other_version_has(self, here: None) -> None:
        members = {hook_api.ATTRIBUTE: "3.0", "axisor_new_hook": lambda: None}
        found = Found("moon", "axisor-moon", "3.1", lambda: SimpleNamespace(**members))
        assert "built for hook API 3.0" in str(load([found]).plugins[0].reason)


@given(st.integers(1, 9999), st.integers(0, 9999), st.integers(1, 9999), st.integers(0, 9999))
def test_the_rule(major: int, minor: int, own_major: int, own_minor: int) -> None:
    module = SimpleNamespace(axisor_hook_api=f"{major}.{minor}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hook_api, "HOOK_API_VERSION", (own_major, own_minor))
        try:
            hook_api.check(module, "axisor-moon", "3.1")
        except PluginError:
            assert major != own_major or minor > own_minor
        else:
            assert (major, minor) <= (own_major, own_minor)
            assert major == own_major


def test_the_plugins_of_the_house_say_for_which_they_were_built() -> None:
    made = [path for folder in ("plugins", "examples") for path in (ROOT / folder).glob("*/pyproject.toml")]
    house = {f"axisor-{path.parent.name.replace('_', '-')}" for path in made}
    points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    own = [point for point in points if point.dist is not None and point.dist.name in house]
    assert {"auto_entry", "margin_guard", "tp_sl", "paper_exchange"} <= {point.name for point in own}
    assert {getattr(point.load(), hook_api.ATTRIBUTE, None) for point in own} == {"1.0"}
