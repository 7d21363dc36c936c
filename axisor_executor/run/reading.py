"""The one way in which an automation's config is read, by whatever reads it: runs, previews, checks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cachetools import LRUCache
from pydantic import BaseModel

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


MOST_KEPT = 10_000
_PLAIN = (str, int, float, bool, Decimal, type(None))


class KeptConfigs:
    """What was read of configs, so that one that did not change is not read again at each run.

    Only configs of plain values are kept, and each run gets a copy: what a handler does to its config, it does to that
    of one run.
    """

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[str, str | None], tuple[AutomationHandler[Any], str, Read]] = LRUCache(MOST_KEPT)
        self._lock = threading.Lock()

    def get(self, handler: AutomationHandler[Any], automation_id: str, action: str | None, text: str) -> Read | None:
        """Return what ``handler`` made of the config whose JSON is ``text``, for the job's ``action``."""
        with self._lock:
            reader, read_of, found = self._kept.get((automation_id, action), (None, None, None))
        if found is None or reader is not handler or read_of != text:
            return None
        return replace(found, config=BaseModel.__copy__(found.config))

    def keep(
        self, handler: AutomationHandler[Any], automation_id: str, action: str | None, text: str, found: Read
    ) -> None:
        """Keep what was read; call it before the handler gets to see its config again."""
        config = found.config
        elsewhere = config.__pydantic_private__ or config.__pydantic_extra__
        if elsewhere or not all(_is_plain(value) for value in vars(config).values()):
            return
        kept = replace(found, config=BaseModel.__copy__(config))
        with self._lock:
            self._kept[automation_id, action] = (handler, text, kept)


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(_is_plain(one) for one in value)
    return type(value) in _PLAIN
