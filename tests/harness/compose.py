"""The compose file, and its commands and variables as they are when the example's gaps are filled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^{}]*))?\}")


def compose() -> dict[str, Any]:
    """Return the compose file with its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
    return found


def example() -> dict[str, str]:
    """Return the variables of ``.env.example``, without their quotes."""
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.replace("'", "").split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str) -> str:
    """Return a text of the compose file with the example's variables; what is to be filled in is ``filled``."""
    known = {name: value or "filled" for name, value in example().items() if value or name != "AXISOR_ALERT_URLS"}

    def replace(found: re.Match[str]) -> str:
        return known.get(found["name"]) or (found["rest"] if found["kind"] == "-" else "")

    while "${" in text:  # from the innermost on
        text = _VARIABLE.sub(replace, text)
    return text


def filled_in(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return a service's variables."""
    return {name: interpolated(str(value)) for name, value in environment.items()}


def seconds(duration: str) -> float:
    """Return a duration such as ``40s`` or ``1m30s`` in seconds."""
    units = {"s": 1, "m": 60, "h": 3600}
    return float(sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([smh])", duration)))
