"""The site as it is published: built strictly, and nothing in it comes from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_reference import SHOWN, WHOLE

LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
HARMLESS = {"canonical", "next", "prev", "edit"}
"""What a link of the head may be related as without that a browser asks for it."""


class Page(HTMLParser):
    """Where a page loads something from, its anchors, and its words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag in LOADS and not set((given.get("rel") or "").split()) & HARMLESS:
            self.loaded.append(given.get(LOADS[tag]) or "")

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> Iterator[Path]:
    return site.rglob("*.html")


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = [place for one in pages(site) for place in Page(one).loaded]
    assert len(loaded) > 100
    assert [place for place in loaded if re.match(r"(\w+:)?//", place)] == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)[\s\"']*(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_every_name_of_the_reference_has_its_place(site: Path) -> None:
    anchors = {anchor for one in (site / "reference").rglob("*.html") for anchor in Page(one).anchors}
    assert {name for name in SHOWN if name not in anchors} <= WHOLE | {
        "axisor_executor.automation",
        "axisor_executor.exchange.base",
        "axisor_executor.hookspecs",
        "axisor_executor.testing",
    }


def test_docstrings_are_shown_as_prose(site: Path) -> None:
    for one in (site / "reference").rglob("*.html"):
        words = Page(one).words
        assert not re.search(r":(class|func|meth|attr|data|mod):|``|\]\[axisor", words), one


def test_the_changelog_is_the_repositorys(site: Path) -> None:
    words = Page(site / "changelog" / "index.html").words
    assert "[Unreleased]" in words
    assert "Keep a Changelog" in words
