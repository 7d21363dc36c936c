"""Which version of its type's config a row has, and how it becomes the one that its handler reads.

The version stands in the config itself (``config_version``; without it, 1). The row is never rewritten: it is brought
up to date each time it is read, by the handler's own steps.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from axisor_executor.automation.fields import Whole, quoted
from axisor_executor.errors import InvalidConfig

if TYPE_CHECKING:
    from axisor_executor.automation.handler import AutomationHandler

KEY = "config_version"
_NUMBER = Whole(least=1)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A config as its handler reads it, without the key. ``version`` is that of the row."""

    config: Mapping[str, Any]
    version: int


def version_of(raw: Mapping[str, Any]) -> int:
    """Return the version of a row's config.

    Raises:
        InvalidConfig: it is no whole number from 1 on.
    """
    given = raw.get(KEY)
    if given is None:
        return 1
    try:
        return int(_NUMBER.parse(given))
    except ValueError as error:
        raise InvalidConfig(f"{KEY}: {error}") from None


def upgraded(handler: AutomationHandler[Any], raw: Mapping[str, Any]) -> Upgraded:
    """Return a row's config as one of the handler's version; it is copied before the handler's steps change it.

    Raises:
        InvalidConfig: the version is none, newer than the handler's (``config_too_new``), or a step refuses it.
        TypeError, ValueError: a step returned what is no config (the plugin's mistake).
    """
    version, newest = version_of(raw), handler.config_version
    if version > newest:
        raise InvalidConfig(
            f"{KEY}: {version} is newer than {newest}, the newest that {type(handler).__name__} knows",
            code="config_too_new",
        )
    if version == newest:
        return Upgraded(_without_version(raw) if KEY in raw else raw, version)
    config: Any = copy.deepcopy(_without_version(raw))
    for step in range(version, newest):
        config = handler.upgrade_config(config, step)
        if not isinstance(config, Mapping):
            raise TypeError(f"upgrade_config() from version {step} returned {quoted(config)}, not a mapping")
    if config.get("dry_run") != raw.get("dry_run"):
        raise ValueError("upgrade_config() must leave dry_run as it is: the row alone tells")
    return Upgraded(_without_version(config), version)


def described(newest: int) -> dict[str, Any]:
    """Return the JSON Schema of the key, for a handler of this version."""
    return {
        "type": "integer",
        "minimum": 1,
        "maximum": newest,
        "default": 1,
        "description": "The version of this config's form; a row without it has the first. Older ones are upgraded.",
        "examples": [newest],
    }


def _without_version(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != KEY}
