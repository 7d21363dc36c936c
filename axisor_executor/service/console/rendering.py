"""Templates become pages. Every value is escaped; no page runs or loads what is not the console's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.types import Scope

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # The API's own `no-referrer` would make browsers hide from us that a form is our own.
    "Referrer-Policy": "same-origin",
}
_NONE = "–"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MS_A_SECOND = 1000


def page(scope: Scope, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page; ``root`` in a template is the path that the application is mounted at."""
    text = _TEMPLATES.get_template(template).render(root=scope.get("root_path", ""), **values)
    return _Page(text, status_code=status, headers=PAGE_HEADERS)


class _Page(HTMLResponse):
    """Halves of surrogate pairs, which a request can bring in, don't break it."""

    def render(self, content: Any) -> bytes:
        return str(content).encode("utf-8", "replace")


def clock(text: str | None) -> str:
    """Return an instant's time of day in UTC; with its date, if it is not of the last half day."""
    if text is None:
        return _NONE
    moment = datetime.fromisoformat(text)
    is_near = abs((datetime.now(UTC) - moment).total_seconds()) < 43_200
    return f"{moment:%H:%M:%S}" if is_near else f"{moment:%Y-%m-%d %H:%M}"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 as percent; 100 only where nothing is missing."""
    if share is None:
        return _NONE
    rounded = round(share * 100, 1)
    if rounded == 100 and share < 1:
        rounded = 99.9
    return f"{rounded:g} %"


def lasting(milliseconds: float | None) -> str:
    """Return a duration as people say it."""
    if milliseconds is None:
        return _NONE
    if milliseconds < _MS_A_SECOND:
        return f"{milliseconds:.0f} ms"
    return seconds(milliseconds / _MS_A_SECOND)


def seconds(value: float | None) -> str:
    """Return seconds as people say them."""
    if value is None:
        return _NONE
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"


def words(name: str | None) -> str:
    """Return a name of ours as words (``reduce_only``, ``currentPrice``); what somebody made up stays as it is."""
    if name is None or not _NAME.fullmatch(name):
        return name or _NONE
    return _HUMP.sub(" ", name).replace("_", " ").lower()


def value_text(value: Any) -> str:
    """Return a value of the ledger as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{words(name)} {value_text(item)}" for name, item in known(value).items())
    return json.dumps(value, ensure_ascii=False)


def pretty(value: Any) -> str:
    """Return a JSON value over several lines."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def known(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what is there: without nulls and without what is empty."""
    return {name: value for name, value in (values or {}).items() if value not in (None, {}, [], "")}


_TEMPLATES = Environment(
    loader=PackageLoader(__name__.rpartition(".")[0]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    one.__name__: one for one in (clock, percent, lasting, seconds, words, value_text, pretty, known)
}
