"""Whether a plugin was built for the hook API that is here; the policy is in docs/compatibility.md."""

from __future__ import annotations

import re
from typing import Any

from axisor_executor import __version__
from axisor_executor.errors import PluginError
from axisor_executor.hookspecs import HOOK_API_VERSION

ATTRIBUTE = "axisor_hook_api"
"""The attribute of a plugin's module that says which hook API it was built for, such as ``"1.0"``."""
UNDECLARED = (1, 0)
"""What a module without it counts as: the first one there was, whatever is here."""


def declared(module: Any) -> str | None:
    """Return which hook API a module says it was built for, ``None`` where it says nothing."""
    value = getattr(module, ATTRIBUTE, None)
    return None if value is None else str(value)


def check(module: Any, distribution: str, version: str) -> None:
    """Refuse a plugin that was built for another major version, or for a newer minor one.

    Raises:
        PluginError: says for which, what is here, and what to do.
    """
    wanted = _version(getattr(module, ATTRIBUTE, None))
    here = HOOK_API_VERSION
    if wanted[0] == here[0] and wanted[1] <= here[1]:
        return
    plugin = f"{distribution} {version} was built for hook API {_text(wanted)}"
    own = f"axisor-executor {__version__} has {_text(here)}"
    if wanted > here:
        raise PluginError(f"{plugin}, {own}: update axisor-executor, or install an older version of {distribution}")
    raise PluginError(f"{plugin}, {own}: update {distribution}, or install an older axisor-executor")


def _version(value: object) -> tuple[int, int]:
    if value is None:
        return UNDECLARED
    found = re.fullmatch(r"([1-9][0-9]{0,3})(?:\.(0|[1-9][0-9]{0,3}))?", value) if isinstance(value, str) else None
    if found is None:
        raise PluginError(f'{ATTRIBUTE} must be a text such as "{_text(HOOK_API_VERSION)}", got {value!r:.100}')
    return int(found[1]), int(found[2] or 0)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
