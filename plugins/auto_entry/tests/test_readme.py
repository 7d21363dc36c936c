"""The README's examples are taken, and its table has every key."""

import json
import re
from pathlib import Path

import pytest

from axisor_auto_entry import AutoEntry

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
HANDLER = AutoEntry()


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example):
    config = json.loads(example)
    HANDLER.parse_config(config, HANDLER.choose_action(None, config))


def test_the_table_has_every_key_and_no_other():
    table = README.split("## Config")[1].split("\n\n")[1]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(HANDLER.config_model.model_fields)


def test_there_are_examples():
    assert EXAMPLES
