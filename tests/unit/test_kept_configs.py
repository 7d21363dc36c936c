"""Configs that did not change are not read again, and what a handler does to one stays with that run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, ValidationError

from axisor_executor.automation import (
    AccountContext,
    AutomationConfig,
    AutomationHandler,
    Decision,
    Lane,
    SpendGuards,
    wait,
)
from axisor_executor.run.kept import Kept
from axisor_executor.run.plain import Guards
from axisor_executor.run.reading import KeptConfigs, read
from axisor_executor.storage.values import json_text


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


class Meddler(Handler):
    """A handler that changes the row it is given."""

    type = "meddler"

    def choose_action(self, job_action: str | None, config: Mapping[str, Any]) -> str:
        config["percent"] = 99  # type: ignore[index]
        return "act"


def test_the_hash_is_that_of_the_row_whatever_the_handler_does_to_it() -> None:
    hashes = {read(handler, {"percent": 5, "ids": None}).hash for handler in (HANDLER, Meddler())}
    assert hashes == {read(HANDLER, {"ids": None, "percent": 5}).hash}
    assert read(HANDLER, {"percent": 6}).hash not in hashes


def test_spend_guards_are_read_once_with_the_config() -> None:
    class Guarded(SpendGuards, Config):
        """A config that has them."""

    class GuardedHandler(Handler):
        type = "guarded"
        config_model = Guarded

    kept, handler, raw = KeptConfigs(), GuardedHandler(), {"cooldown_seconds": 60}
    kept.keep(handler, "automation-1", None, json_text(raw), read(handler, raw))
    found = kept.get(handler, "automation-1", None, json_text(raw))
    assert found is not None
    vars(found.config)["cooldown_seconds"] = None
    assert found.guards == Guards(cooldown_seconds=60)
    assert read(HANDLER, {}).guards == Guards()


def test_a_kept_config_is_a_whole_one() -> None:
    raw = {"percent": 5}
    found = kept_of(raw).get(HANDLER, "automation-1", None, json_text(raw))
    assert found is not None
    fresh = read(HANDLER, raw).config
    assert (found.config.model_dump(), found.config.model_fields_set) == (fresh.model_dump(), fresh.model_fields_set)
    assert found.config.model_copy(update={"percent": 6}) == Config(percent=6)
    with pytest.raises(ValidationError):
        found.config.percent = 6  # type: ignore[attr-defined]


class TestKept:
    def test_those_that_came_first_go_first(self) -> None:
        kept: Kept[str, int] = Kept(2)
        for number, name in enumerate("abac"):
            kept.keep(name, number)
        assert [kept.get(name) for name in "abc"] == [2, None, 3]

    def test_many_threads_at_once_keep_no_more_than_there_is_room_for(self) -> None:
        kept: Kept[int, int] = Kept(10)

        def fill(start: int) -> None:
            for number in range(start, start + 2000):
                kept.keep(number % 50, number % 50)
                assert kept.get(number % 50) in (None, number % 50)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(fill, range(0, 40, 10)))
        assert sum(kept.get(number) is not None for number in range(50)) == 10
