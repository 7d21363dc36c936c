"""The one way in which an automation's config is read, by whatever reads it: runs, previews, checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import AutomationConfig, AutomationHandler
from axisor_executor.automation.versions import upgraded
from axisor_executor.run.plain import plain_config


@dataclass(frozen=True, slots=True)
class Read:
    """What a handler makes of a config: the action that is meant, the validated config, the keys nothing acts on.

    ``version`` is that of the row.
    """

    action: str
    config: AutomationConfig
    ignored: tuple[str, ...]
    version: int


def read(handler: AutomationHandler[Any], raw: Mapping[str, Any], action: str | None = None) -> Read:
    """Bring a config up to the handler's version, choose the action (``action``: the job's) and validate it for that.

    All of it is a plugin's code: ask for it within its limit of time.

    Raises:
        InvalidConfig, InvalidJob: it is refused.
        Junk, TypeError, ValueError: the handler returned what makes no sense.
    """
    found = upgraded(handler, raw)
    return Read(*plain_config(handler, action, found.config), found.version)
