"""The README's examples are taken, and its table has every key."""

import inspect
import json
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from axisor_dca_entry import DcaEntry
from axisor_executor.automation import Act
from axisor_executor.testing import FakeExchange

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
HANDLER = DcaEntry()


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example):
    config = json.loads(example)
    HANDLER.parse_config(config, HANDLER.choose_action(None, config))


def test_the_first_example_buys_every_day():
    """Also where each entry leaves a moment after it was decided, so that it counts that much longer than a week."""
    exchange, config = FakeExchange(balance=10**9), json.loads(EXAMPLES[0])
    for _ in range(21):
        decision = HANDLER.decide(exchange.context(HANDLER, config))
        assert isinstance(decision, Act), decision
        exchange.move(exchange.price, now=exchange.now + timedelta(seconds=0.5))
        exchange.carry_out(decision)
        exchange.move(exchange.price, now=exchange.now + timedelta(days=1, seconds=-0.5))


def test_the_table_has_every_key_and_no_other():
    table = README.split("## Config")[1].split("\n\n")[1]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(HANDLER.config_model.model_fields)


def test_there_are_examples():
    assert EXAMPLES


def test_every_outcome_is_told():
    source = inspect.getsource(sys.modules["axisor_dca_entry.decide"])
    words = set(re.findall(r'(?:wait\(|code=|_left\(\s*trade,\s*)"(\w+)"', source))
    assert words
    assert {word for word in words if f"`{word}`" not in README} == set()
