"""`plugins` and `plugins schema`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from axisor_executor import hookimpl, plugins
from axisor_executor.plugins import Found
from tests.cli.conftest import Commands
from tests.integration.puppet import Puppet, StubExchange


def test_the_list_shows_types_actions_lanes_and_versions(alone: Commands) -> None:
    for shown in (alone("plugins").stdout, alone("plugins", "list").stdout):
        assert "margin_guard" in shown
        assert "close_position (protect)" in shown
        assert "axisor-tp-sl" in shown
        assert "exchange paper" in shown
        assert "loaded" in shown


def test_the_list_for_machines(alone: Commands) -> None:
    listed = {one["distribution"]: one for one in alone.json("plugins")}
    guard = listed["axisor-margin-guard"]
    assert guard["state"] == "loaded"
    assert guard["reason"] is None
    assert guard["hookApi"] == "1.0"
    assert guard["types"][0]["type"] == "margin_guard"
    assert guard["types"][0]["actions"]["add_margin"] == "protect"
    assert listed["axisor-paper-exchange"]["exchanges"] == ["paper"]
    assert alone.json("plugins", "list") == alone.json("plugins")


def test_a_disabled_plugin_is_listed_with_its_reason(alone: Commands) -> None:
    listed = {one["distribution"]: one for one in alone.json("plugins", AXISOR_DISABLED_PLUGINS="tp_sl")}
    assert listed["axisor-tp-sl"]["state"] == "disabled"
    assert listed["axisor-tp-sl"]["reason"] == "AXISOR_DISABLED_PLUGINS"
    assert "disabled" in alone("plugins", AXISOR_DISABLED_PLUGINS="tp_sl").stdout


def test_a_plugin_that_fails_is_listed_with_its_reason(alone: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise ImportError("no module named [canvas]")

    monkeypatch.setattr(plugins, "discover", lambda: [Found("grid", "axisor-grid", "2.0", broken)])
    (grid,) = alone.json("plugins")
    assert (grid["state"], grid["reason"]) == ("failed", "ImportError: no module named [canvas]")
    result = alone("plugins")
    assert "no module named [canvas]" in " ".join(result.stdout.split())
    assert result.stderr == "", "the table says it already"


def test_a_plugin_for_another_hook_api_is_listed_with_both_versions(
    alone: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(axisor_hook_api="9.1")
    monkeypatch.setattr(plugins, "discover", lambda: [Found("grid", "axisor-grid", "2.0", lambda: module)])
    (grid,) = alone.json("plugins")
    assert (grid["state"], grid["hookApi"]) == ("failed", "9.1")
    assert "axisor-grid 2.0 was built for hook API 9.1, axisor-executor " in grid["reason"]
    shown = " ".join(alone("plugins").stdout.split())
    assert "update axisor-executor" in shown
    assert "9.1" in shown


def test_one_that_would_break_commands_fails_alone(alone: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    class Five(Puppet):
        type = 5  # type: ignore[assignment]

    class Usurper:
        """Would answer for all of the core's accounts."""

        @hookimpl
        def axisor_register_exchanges(self, register: Any) -> None:
            register("lnmarkets", StubExchange)

    modules = {"five": Five(), "usurper": Usurper(), "empty": SimpleNamespace(), "puppet": Puppet()}
    found = [Found(name, f"axisor-{name}", "2.0", lambda module=module: module) for name, module in modules.items()]
    monkeypatch.setattr(plugins, "discover", lambda: found)
    listed = {one["distribution"]: (one["state"], one["reason"]) for one in alone.json("plugins")}
    assert listed.pop("axisor-puppet") == ("loaded", None)
    assert {state for state, _ in listed.values()} == {"failed"}
    assert listed["axisor-usurper"][1] == "PluginError: exchange 'lnmarkets' is the core's own"
    assert listed["axisor-five"][1] == "PluginError: Five.type must be a text, got 5"
    assert listed["axisor-empty"][1].startswith("PluginError: what its entry point names implements no hook; ")
    message = alone.error("plugins", "schema", "nope")
    assert "installed: puppet; failed to load: axisor-five 2.0 [five], axisor-usurper 2.0 [usurper], " in message


def test_no_plugin_at_all(alone: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "discover", list)
    assert "pip install 'axisor-executor[builtin]'" in alone("plugins").stdout


def test_a_required_plugin_that_is_missing(alone: Commands) -> None:
    assert "[plugin_required]" in alone.error("plugins", AXISOR_REQUIRED_PLUGINS="grid")


@pytest.mark.parametrize("automation_type", ["margin_guard", "tp_sl", "auto_entry"])
def test_schema_of_a_type(alone: Commands, automation_type: str) -> None:
    schema = _json(alone, "plugins", "schema", automation_type)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


def test_schema_of_no_type(alone: Commands) -> None:
    message = alone.error("plugins", "schema", "grid_bot")
    installed = message.partition("installed: ")[2].partition(" [")[0].split(", ")
    assert {"auto_entry", "margin_guard", "tp_sl"} <= set(installed)
    assert installed == sorted(installed)
    assert message.endswith("[unknown_automation_type]\n")


def _json(commands: Commands, *arguments: str) -> dict[str, object]:
    import json

    return dict(json.loads(commands(*arguments).stdout))
