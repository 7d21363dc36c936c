"""The documentation as data: its pages, headings, code blocks, tables and generated regions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PLUGIN_READMES = tuple(
    sorted(found for folder in ("plugins", "examples") for found in (ROOT / folder).glob("*/README.md"))
)
WRITES = os.environ.get("WRITE_DOCS") == "1"
"""With ``WRITE_DOCS=1`` the tests write the generated regions instead of comparing them."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_REGION = re.compile(r"<!-- generated: (?P<name>[\w :-]+?) -->\n(?P<text>.*?)<!-- /generated -->", re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``skipped``: a comment before it says why it is not run."""

    page: Path
    line: int
    language: str
    code: str
    skipped: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def text_of(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def page(name: str) -> str:
    """Return the text of ``docs/<name>``."""
    return text_of(ROOT / "docs" / name)


def everything() -> str:
    """Return the text of all pages."""
    return "\n".join(text_of(one) for one in PAGES)


def blocks(*languages: str, pages: tuple[Path, ...] = PAGES) -> list[Block]:
    """Return the fenced blocks in one of the languages, page by page."""
    found = []
    for one in pages:
        text = text_of(one)
        for fence in _FENCE.finditer(text):
            if fence["language"] in languages:
                before = text[: fence.start()]
                code = re.sub(rf"^{fence['indent']}", "", fence["code"], flags=re.MULTILINE)
                skipped = _NOT_RUN.search(before) is not None
                found.append(Block(one, before.count("\n") + 1, fence["language"], code, skipped))
    return found


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def anchors(one: Path) -> set[str]:
    """Return the anchors of a page's headings, as mkdocs makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(text_of(one)), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"[-\s]+", "-", title) for title in plain}


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, f"there is no section {title!r}"
    rest = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", re.sub(r"```.*?```", _blank, rest, flags=re.DOTALL), re.M)
    return rest[: following.start()] if following else rest


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def table(text: str) -> list[list[str]]:
    """Return the cells of the first table in ``text``, without its head; code marks and escapes are taken off."""
    found = re.search(r"^\|.*\n\|[-| :]+\|\n((?:\|.*\n?)+)", text, re.MULTILINE)
    assert found, f"there is no table in: {text[:200]}"
    return [[_plain(cell) for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found[1].splitlines()]


def _plain(cell: str) -> str:
    cell = cell.strip()
    return re.sub(r"\\([\\`*_{}\[\]<>|#~])", r"\1", cell.replace("`", ""))


def escaped(value: str) -> str:
    """Return a value as text of a table's cell."""
    return re.sub(r"([\\`*\[\]<>|~])", r"\\\1", value)


def regions() -> Iterator[tuple[Path, str]]:
    """Return the page and the name of every generated region."""
    for one in PAGES:
        for found in _REGION.finditer(text_of(one)):
            yield one, found["name"]


def region(one: Path, name: str) -> str:
    """Return what stands in a region."""
    return next(found["text"] for found in _REGION.finditer(text_of(one)) if found["name"] == name)


def check_region(one: Path, name: str, wanted: str) -> None:
    """Compare a generated region with what it should hold, or write it (see ``WRITES``)."""
    wanted = f"\n{wanted.strip()}\n\n"
    if WRITES:
        text = one.read_text(encoding="utf-8")
        parts = re.compile(rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- /generated -->)", re.DOTALL)
        one.write_text(parts.sub(lambda found: found[1] + wanted + found[2], text), encoding="utf-8")
        text_of.cache_clear()
    assert region(one, name) == wanted, f"{one.name}: {name} is out of date: WRITE_DOCS=1 pytest tests/docs writes it"
