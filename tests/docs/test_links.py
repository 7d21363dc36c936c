"""Links lead somewhere, regions are closed, and nothing in the project is about the machine it was written on."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, PLUGIN_READMES, ROOT, anchors, prose, text_of

LINK = re.compile(r"(?<!\!)\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
PATHS = re.compile(
    r"`((?:axisor_executor|plugins|tests|docs|scripts)/[\w./-]*|(?:run|storage|credentials|exchange|observe|automation|"
    r"limits|embedded|demo|cli|reconcile|service|testing)/[\w./]*|\w+\.py)`"
)
ELSEWHERE = ("axisor_time_stop.py", "test_time_stop.py", "tests/test_rules.py")
_SKIPPED = {".git", "build", "dist", "site", "node_modules"}
_HOSTS = ("py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "index" + "-url")
_HOMES = ("/" + "home/", "/" + "Users/", "/" + "root/", "/" + "work/")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def targets(page: Path) -> list[str]:
    return [found["target"] for found in LINK.finditer(prose(text_of(page)))]


@pytest.mark.parametrize("page", [*PAGES, *PLUGIN_READMES, ROOT / "CHANGELOG.md"], ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in targets(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_regions_are_closed(page: Path) -> None:
    text = text_of(page)
    assert text.count("<!-- generated:") == text.count("<!-- /generated -->")


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in PATHS.findall(prose(text_of(page))):
        if name not in ELSEWHERE:
            assert (ROOT / name).exists() or (ROOT / "axisor_executor" / name).exists(), f"{page.name}: {name}"


def test_files_in_the_drawn_tree_are_there() -> None:
    drawn = text_of(ROOT / "docs" / "architecture.md").split("## The files")[1]
    named = re.findall(r"(?<![\w-])([\w]+(?:\.py|/))", drawn.split("```")[1])
    known = {path.name for path in (ROOT / "axisor_executor").rglob("*") if path.is_dir() or path.suffix == ".py"}
    known |= {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert {name.rstrip("/") for name in named} <= known


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[-1]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.name != "README.md"}


def test_every_plugin_has_a_page() -> None:
    shown = {text_of(page).strip() for page in PAGES}
    for readme in PLUGIN_READMES:
        assert f'--8<-- "{readme.relative_to(ROOT)}"' in shown


def test_nothing_is_about_one_machine_or_one_package_index() -> None:
    for path in _files():
        text = path.read_text(encoding="utf-8", errors="ignore")
        for needle in (*_HOSTS, *_HOMES):
            assert needle not in text, f"{path.relative_to(ROOT)}: {needle}"


def _files() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if _is_ours(name)]
        found += [Path(folder) / name for name in names if not name.endswith((".pyc", ".db", ".log"))]
    return found


def _is_ours(folder: str) -> bool:
    made = folder in _SKIPPED or folder.endswith((".egg-info", "__pycache__"))
    return not made and (folder == ".ci" or not folder.startswith("."))
