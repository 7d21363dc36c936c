"""The one way in which an automation's config is read, by whatever reads it: runs, previews, checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from axisor_executor.automation import AutomationConfig, AutomationHandler
from axisor_executor.automation.versions import upgraded
from axisor_executor.run.kept import Kept
from axisor_executor.run.plain import Guards, plain_config, plain_guards


@dataclass(frozen=True, slots=True)
class Read:
    """What a handler makes of a config: the action that is meant, the validated config, the keys nothing acts on.

    ``version`` is that of the row, ``hash`` a short one by which the row's config is recognised; ``guards`` are the
    config's spend guards.
    """

    action: str
    config: AutomationConfig
    ignored: tuple[str, ...]
    version: int
    hash: str
    guards: Guards


def read(handler: AutomationHandler[Any], raw: Mapping[str, Any], action: str | None = None) -> Read:
    """Bring a config up to the handler's version, choose the action (``action``: the job's) and validate it for that.

    All of it is a plugin's code: ask for it within its limit of time.

    Raises:
        InvalidConfig, InvalidJob: it is refused.
        Junk, TypeError, ValueError: the handler returned what makes no sense.
    """
    own_hash = _hash(raw)  # before the handler gets to see it
    found = upgraded(handler, raw)
    chosen, config, ignored = plain_config(handler, action, found.config)
    return Read(chosen, config, ignored, found.version, own_hash, plain_guards(config))


def _hash(config: Mapping[str, Any]) -> str:
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


MOST_KEPT = 10_000
_PLAIN = (str, int, float, bool, Decimal, type(None))


class KeptConfigs:
    """What was read of configs, so that one that did not change is not read again at each run.

    Only configs of plain values are kept, and each run gets a copy: what a handler does to its config, it does to that
    of one run.
    """

    def __init__(self) -> None:
        self._kept: Kept[tuple[str, str | None], tuple[AutomationHandler[Any], str, Read]] = Kept(MOST_KEPT)

    def get(self, handler: AutomationHandler[Any], automation_id: str, action: str | None, text: str) -> Read | None:
        """Return what ``handler`` made of the config whose JSON is ``text``, for the job's ``action``."""
        kept = self._kept.get((automation_id, action))
        if kept is None or kept[0] is not handler or kept[1] != text:
            return None
        return _copied(kept[2])

    def keep(
        self, handler: AutomationHandler[Any], automation_id: str, action: str | None, text: str, found: Read
    ) -> None:
        """Keep what was read; call it before the handler gets to see its config again."""
        config = found.config
        elsewhere = (config.__pydantic_private__, config.__pydantic_extra__) != (None, None)
        if elsewhere or not all(_is_plain(value) for value in vars(config).values()):
            return
        self._kept.keep((automation_id, action), (handler, text, _copied(found)))


def _copied(found: Read) -> Read:
    """Return it with a config of its own. pydantic's way does far more than is needed for plain values."""
    was, config = found.config, object.__new__(type(found.config))
    object.__setattr__(config, "__dict__", dict(vars(was)))
    object.__setattr__(config, "__pydantic_fields_set__", set(was.__pydantic_fields_set__))
    object.__setattr__(config, "__pydantic_extra__", None)
    object.__setattr__(config, "__pydantic_private__", None)
    return Read(found.action, config, found.ignored, found.version, found.hash, found.guards)


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(_is_plain(one) for one in value)
    return type(value) in _PLAIN
