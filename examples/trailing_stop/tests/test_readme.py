"""The README's examples are taken, and its table has every key."""

import inspect
import json
import re
import sys
from pathlib import Path

import pytest

from axisor_trailing_stop import TrailingStop

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
HANDLER = TrailingStop()


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example):
    config = json.loads(example)
    HANDLER.parse_config(config, HANDLER.choose_action(None, config))


def test_the_table_has_every_key_and_no_other():
    table = README.split("## Config")[1].split("\n\n")[1]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(HANDLER.config_model.model_fields)


def test_there_are_examples():
    assert EXAMPLES


def test_every_outcome_is_told():
    source = inspect.getsource(sys.modules["axisor_trailing_stop.decide"])
    words = set(re.findall(r'(?:wait\(|code=|_left\(\s*trade,\s*)"(\w+)"', source))
    assert words
    assert {word for word in words if f"`{word}`" not in README} == set()
