"""Writing a plugin's files from the templates that lie beside this module."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from axisor_executor import __version__
from axisor_executor.errors import AxisorError
from axisor_executor.hookspecs import HOOK_API_VERSION
from axisor_executor.new_plugin.names import Names, Texts, core_range

FILES: Final = {
    "README.md": "readme.template",
    "pyproject.toml": "pyproject.template",
    ".gitignore": "gitignore.template",
    "$package/__init__.py": "handler.template",
    "$package/rules.py": "rules.template",
    "$package/py.typed": "typed.template",
    "tests/test_contract.py": "contract.template",
    "tests/test_rules.py": "rules_test.template",
}
"""Every file of the distribution, with its template."""


def make(folder: Path, names: Names, texts: Texts) -> list[Path]:
    """Write the distribution into ``folder`` and return its files, as paths within it.

    The folder may be there when there is nothing in it but ``.git``.

    Raises:
        AxisorError: there is something else in it (``folder_in_use``), or it can't be written (``folder_unusable``).
    """
    values = _values(names, texts)
    try:
        if folder.is_dir() and any(entry.name != ".git" for entry in folder.iterdir()):
            raise AxisorError(f"{folder} is not empty; choose another folder with --dir", code="folder_in_use")
        return [_write(folder, Template(path).substitute(values), FILES[path], values) for path in FILES]
    except OSError as error:
        raise AxisorError(f"{folder} can't be written: {error.strerror or error}", code="folder_unusable") from None


def _write(folder: Path, path: str, template: str, values: dict[str, str]) -> Path:
    text = (files("axisor_executor.new_plugin") / "template" / template).read_text(encoding="utf-8")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(Template(text).substitute(values))
    return Path(path)


def _values(names: Names, texts: Texts) -> dict[str, str]:
    author = ", ".join(f"{key} = {_quoted(value)}" for key, value in texts.author_parts().items())
    return {
        "name": names.name,
        "type": names.type,
        "package": names.package,
        "distribution": names.distribution,
        "class_name": names.class_name,
        "quoted_title": _quoted(texts.title),
        "description": texts.description,
        "quoted_description": _quoted(texts.description),
        "authors": f"authors = [{{{author}}}]\n" if author else "",
        "core_range": core_range(__version__),
        "hook_api": ".".join(map(str, HOOK_API_VERSION)),
    }


def _quoted(text: str) -> str:
    """Return a text of printable characters as a string of both Python and TOML."""
    return json.dumps(text, ensure_ascii=False)
