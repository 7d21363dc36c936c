"""Configs that did not change are not read again, and what a handler does to one stays with that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict

from axisor_executor.automation import AccountContext, AutomationConfig, AutomationHandler, Decision, Lane, wait
from axisor_executor.run.reading import KeptConfigs, read
from axisor_executor.storage.connection import json_text


class Config(AutomationConfig):
    """A config with a plain value and one that can be changed in place."""

    percent: int = 1
    ids: list[str] | None = None


class Handler(AutomationHandler[Config]):
    type = "kept"
    title = "Kept"
    actions: ClassVar[Mapping[str, Lane]] = {"act": "default"}
    config_model = Config

    def decide(self, context: AccountContext[Config]) -> Decision:
        return wait("nothing")


HANDLER = Handler()


def kept_of(raw: dict[str, Any]) -> KeptConfigs:
    kept = KeptConfigs()
    kept.keep(HANDLER, "automation-1", None, json_text(raw), read(HANDLER, raw))
    return kept


def test_an_unchanged_one_is_there() -> None:
    found = kept_of({"percent": 5}).get(HANDLER, "automation-1", None, json_text({"percent": 5}))
    assert found is not None
    assert (found.action, found.config) == ("act", Config(percent=5))


@pytest.mark.parametrize(
    ("handler", "automation_id", "action", "raw"),
    [
        (Handler(), "automation-1", None, {"percent": 1}),
        (HANDLER, "automation-2", None, {"percent": 1}),
        (HANDLER, "automation-1", "act", {"percent": 1}),
        (HANDLER, "automation-1", None, {"percent": 2}),
        (HANDLER, "automation-1", None, {"percent": True}),  # equal to 1 as a value, and refused where 1 is not
        (HANDLER, "automation-1", None, {"percent": 1.0}),
    ],
)
def test_nothing_else_is(handler: Handler, automation_id: str, action: str | None, raw: dict[str, Any]) -> None:
    assert kept_of({"percent": 1}).get(handler, automation_id, action, json_text(raw)) is None


def test_what_a_run_does_to_its_config_no_other_sees() -> None:
    kept, text = KeptConfigs(), json_text({"percent": 5})
    first = read(HANDLER, {"percent": 5})
    kept.keep(HANDLER, "automation-1", None, text, first)
    for _ in range(2):
        found = kept.get(HANDLER, "automation-1", None, text)
        assert found is not None
        assert found.config.percent == 5  # type: ignore[attr-defined]
        for config in (first.config, found.config):
            object.__setattr__(config, "percent", 99)
            vars(config)["percent"] = 98


def test_one_that_could_be_changed_in_place_is_not_kept() -> None:
    raw = {"ids": ["a"]}
    assert kept_of(raw).get(HANDLER, "automation-1", None, json_text(raw)) is None


class Open(Config):
    """A config of a plugin that takes keys it does not name."""

    model_config = ConfigDict(extra="allow")


class OpenHandler(Handler):
    type = "open"
    config_model = Open


def test_nor_is_one_with_keys_that_are_not_named() -> None:
    """They are kept elsewhere, and may be changed in place as well."""
    kept, raw, handler = KeptConfigs(), {"more": ["a"]}, OpenHandler()
    kept.keep(handler, "automation-1", None, json_text(raw), read(handler, raw))
    assert kept.get(handler, "automation-1", None, json_text(raw)) is None
