"""Every example in ``docs/results.md`` is what a real run returns; so are the tables of reasons."""

from __future__ import annotations

import pytest

from tests.docs import codes
from tests.docs.generated import result
from tests.docs.pages import ROOT, check_region, page, regions, section, table
from tests.docs.scenes import SCENES, play
from tests.harness.world import World

PAGE = ROOT / "docs" / "results.md"
NAMES = [name.removeprefix("result ") for one, name in regions() if one == PAGE]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_what_a_run_returns(docs_world: World, name: str) -> None:
    scene, _, whole = name.partition(" ")
    check_region(PAGE, f"result {name}", result(play(docs_world, scene), whole=bool(whole)))


def test_every_scene_stands_in_the_page() -> None:
    assert {name.partition(" ")[0] for name in NAMES} == SCENES.keys()


def test_every_reason_to_wait_is_listed() -> None:
    listed = [row[0] for row in table(section(page("results.md"), "Reasons of pending runs"))]
    assert set(listed) == codes.reasons()


def test_every_early_end_is_listed() -> None:
    text = section(page("results.md"), "Without an effect")
    assert {(row[0], row[1]) for row in table(text)} == codes.endings()
