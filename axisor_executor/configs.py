"""Have a config checked by the handler of its type, as a run would read it: the one check for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from axisor_executor.automation import AutomationHandler
from axisor_executor.automation.versions import upgraded
from axisor_executor.errors import InvalidConfig
from axisor_executor.plugins import Registry
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.reading import read
from axisor_executor.run.resolve import is_dry_run_config


@dataclass(frozen=True, slots=True)
class Checked:
    """A config that is taken.

    Attributes:
        ignored: the keys that nothing acts on.
        version: the row's version.
        newest: the handler's; where it is higher, the config is upgraded each time it is read.
    """

    ignored: tuple[str, ...]
    version: int
    newest: int


class Checker:
    """Checks configs by the plugins that are loaded; each check has ``seconds``."""

    def __init__(self, registry: Registry, deciders: Deciders, seconds: float) -> None:
        self.registry = registry
        self.deciders = deciders
        self.seconds = seconds

    def check(self, type: str, config: Any) -> Checked:  # noqa: A002  the column's name
        """Return what becomes of a config for the action that it names itself.

        Raises:
            UnknownAutomationType: no plugin handles the type.
            InvalidConfig: every problem, the action's included; ``config_too_new``: it is of a later version.
            PluginError: the handler failed.
        """
        registered = self.registry.handler(type)
        if not isinstance(config, Mapping):
            raise InvalidConfig(f"config: must be a JSON object, got {config.__class__.__name__}")
        is_dry_run_config(config)
        call = partial(_check, registered.handler, config)
        return self.deciders.ask(registered.found, "reading the config", call, self.seconds)


def _check(handler: AutomationHandler[Any], config: Mapping[str, Any]) -> Checked:
    found = upgraded(handler, config)
    try:
        handler.choose_action(None, found.config)
    except InvalidConfig as error:
        others = min((_problems(handler, config, action) for action in handler.actions), key=len)
        raise InvalidConfig("; ".join(filter(None, (error.message, others)))) from None
    return Checked(read(handler, config).ignored, found.version, handler.config_version)


def _problems(handler: AutomationHandler[Any], config: Mapping[str, Any], action: str) -> str:
    """Return what is wrong with a config if ``action`` were meant."""
    try:
        read(handler, config, action)
    except InvalidConfig as error:
        return error.message
    return ""
