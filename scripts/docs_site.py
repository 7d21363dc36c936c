"""What mkdocs can't read as it stands: Sphinx' roles in docstrings, and the links of CHANGELOG.md.

An extension of griffe, which reads the docstrings, and a hook of mkdocs, both named in mkdocs.yml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":\w+:`~?(?P<name>[\w.]+)`")
_LITERAL_BLOCK = re.compile(r"\s*::$", re.MULTILINE)
_CHANGELOG = "CHANGELOG.md"


class PlainDocstrings(Extension):
    """Turns roles into links (``:class:`~axisor_executor.errors.Rejected```), and takes ``::`` off before code."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _LITERAL_BLOCK.sub(_colon, _ROLE.sub(_link, obj.docstring.value))


def _link(found: re.Match[str]) -> str:
    name = found["name"].lstrip(".")
    shown = f"`{name.rpartition('.')[2]}`"
    return f"[{shown}][{name}]" if name.startswith("axisor_executor.") else shown


def _colon(found: re.Match[str]) -> str:
    return "" if found[0].startswith("\n") or found.start() == 0 else ":"


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Show the repository's changelog, whose links start at the repository's root, as a page of the site."""
    if page.file.src_uri != "changelog.md":
        return markdown
    text = (Path(config.config_file_path).parent / _CHANGELOG).read_text(encoding="utf-8")
    return text.replace("](docs/", "](")
