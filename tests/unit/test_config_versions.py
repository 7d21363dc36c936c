"""Configs of older versions become the one that their handler reads, step by step, whatever they hold."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import AccountContext, AutomationConfig, AutomationHandler, Decision, Lane, Number, wait
from axisor_executor.automation.versions import KEY, described, upgraded, version_of
from axisor_executor.errors import InvalidConfig, PluginError
from axisor_executor.plugins import load
from axisor_executor.run.reading import read
from axisor_executor.testing import make_context
from tests.harness.world import plugin

NEWEST = 3


class StopConfig(AutomationConfig):
    """The third form."""

    distance_percent: Annotated[Decimal, Number(above=0, most=100, unit="percent")]
    side: str = "both"


class Stop(AutomationHandler[StopConfig]):
    """In version 1 the distance was a share (``distance``); in version 2 the key had another name (``percent``)."""

    type = "stop"
    title = "Stop"
    actions: ClassVar[Mapping[str, Lane]] = {"stop": "protect"}
    config_model = StopConfig
    config_version = NEWEST

    def upgrade_config(self, raw: dict[str, Any], version: int) -> Mapping[str, Any]:
        if version == 1:
            if "distance" not in raw:
                raise InvalidConfig("distance: missing; give distance_percent and config_version 3")
            share = raw.pop("distance")
            return {**raw, "percent": share * 100}
        raw["distance_percent"] = raw.pop("percent")
        return raw

    def decide(self, context: AccountContext[StopConfig]) -> Decision:
        return wait("nothing_to_do")


class Unchanged(Stop):
    """Every older form fits."""

    upgrade_config = AutomationHandler.upgrade_config


STOP = Stop()
percents = st.integers(1, 100)
others = st.dictionaries(
    st.text(max_size=5).filter(lambda key: key not in (KEY, "dry_run", "distance", "percent", "distance_percent")),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5),
    max_size=4,
)


@given(percents, others, st.sampled_from([True, False, None]))
def test_every_version_comes_to_the_same_and_no_row_is_changed(
    percent: int, other: dict[str, Any], dry_run: bool | None
) -> None:
    given = {**other, "dry_run": dry_run}
    newest = {"distance_percent": percent, **given}
    rows = [
        {"distance": percent / 100, **given},
        {"distance": percent / 100, KEY: 1, **given},
        {"percent": percent, KEY: "2", **given},
        {**newest, KEY: 3.0},
    ]
    before = copy.deepcopy(rows)
    found = [upgraded(STOP, row) for row in rows]
    assert [one.version for one in found] == [1, 1, 2, 3]
    for one in found:
        assert {**one.config, "distance_percent": round(one.config["distance_percent"])} == newest
    assert rows == before


@given(percents)
def test_a_context_and_a_run_read_the_same(percent: int) -> None:
    row = {"percent": percent, KEY: 2}
    assert (
        make_context(row, handler=STOP).config
        == read(STOP, row).config
        == StopConfig(distance_percent=Decimal(percent))
    )
    assert make_context({"distance_percent": percent}, handler=STOP).config.distance_percent == percent


def test_what_was_read_says_of_which_version_the_row_is() -> None:
    assert read(STOP, {"percent": 5, KEY: 2, "enabled": True}).version == 2
    assert read(STOP, {"percent": 5, KEY: 2, "enabled": True}).ignored == ("enabled",)


@given(st.integers(NEWEST + 1))
def test_one_that_is_too_new_is_refused(version: int) -> None:
    with pytest.raises(
        InvalidConfig, match=r"config_version: .* is newer than 3, the newest that Stop knows"
    ) as caught:
        upgraded(STOP, {KEY: version})
    assert caught.value.code == "config_too_new"


@given(
    st.integers(max_value=0)
    | st.booleans()
    | st.floats(exclude_min=True, min_value=1, max_value=2, exclude_max=True)
    | st.sampled_from(["", "1.5", "v2", [], {}, [1], float("nan")])
)
def test_a_version_that_is_none_is_refused(version: object) -> None:
    with pytest.raises(InvalidConfig, match="config_version: must be a whole number of at least 1") as caught:
        version_of({KEY: version})
    assert caught.value.code == "invalid_config"


def test_a_step_may_refuse() -> None:
    with pytest.raises(InvalidConfig, match="distance: missing"):
        read(STOP, {})


def test_a_key_that_no_step_knows_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidConfig, match="distanze: unknown key"):
        read(STOP, {"distance": 0.5, "distanze": 1})


def test_without_steps_older_configs_are_read_as_they_are() -> None:
    assert read(Unchanged(), {"distance_percent": 5}).version == 1


@pytest.mark.parametrize("returned", [None, [], "text", 5])
def test_a_step_that_returns_no_config_is_the_plugins_mistake(
    returned: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stop, "upgrade_config", lambda self, raw, version: returned)
    with pytest.raises(TypeError, match=r"upgrade_config\(\) from version 1 returned"):
        upgraded(STOP, {})


@pytest.mark.parametrize(("before", "after"), [(True, None), (True, False), (None, True), (False, True)])
def test_no_step_switches_a_dry_run(before: object, after: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stop, "upgrade_config", lambda self, raw, version: {**raw, "dry_run": after})
    with pytest.raises(ValueError, match="must leave dry_run as it is"):
        upgraded(STOP, {"dry_run": before})


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.0, None])
def test_a_plugin_with_a_version_that_is_none_does_not_load(version: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stop, "config_version", version)

    class Module:
        """The plugin."""

    from axisor_executor.hookspecs import hookimpl

    @hookimpl
    def axisor_register_automations(register: Any) -> None:
        register(STOP)

    Module.axisor_register_automations = staticmethod(axisor_register_automations)  # type: ignore[attr-defined]
    found = load([plugin("stop", Module)]).plugins[0]
    assert found.state == "failed"
    assert PluginError.__name__ in str(found.reason)
    assert "config_version" in str(found.reason)


def test_the_schema_tells_of_the_key() -> None:
    schema = described(NEWEST)
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (1, NEWEST, 1)
