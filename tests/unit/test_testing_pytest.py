"""What pytest sees of the test kit: fixtures, cases that say what to do, and nothing that costs other runs anything."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from axisor_executor import testing
from axisor_executor.testing import pytest_plugin

ROOT = Path(__file__).parents[2]
HEAVY = ("axisor_executor.automation", "axisor_executor.testing.contract", "peewee", "pydantic", "redis", "requests")


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file as an author would, with the plugin alone and all warnings as errors."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(dedent(text))
    plugin = ["-p", "axisor_executor.testing.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *options, "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_fixtures_are_the_functions(tmp_path):
    done = run_pytest(
        tmp_path,
        """
        from axisor_executor import testing

        def test_fixtures(make_context, make_trade, fake_exchange, run_automation):
            assert make_context is testing.make_context
            assert make_trade is testing.make_trade
            assert fake_exchange is testing.FakeExchange
            assert run_automation is testing.run_automation
        """,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_contract_is_collected_where_it_is_inherited_alone_and_says_what_to_do(tmp_path):
    done = run_pytest(
        tmp_path,
        """
        from axisor_executor import AutomationConfig, AutomationHandler, ClosePosition, act
        from axisor_executor.testing import HandlerContract

        class Stubborn(AutomationHandler):
            type, title, actions, config_model = "stubborn", "Stubborn", {"close": "protect"}, AutomationConfig

            def decide(self, context):
                return act(ClosePosition(context.trade().id), name="close")

        class TestStubborn(HandlerContract):
            handler = Stubborn()
            configs = [{}]
            mirrored = True
        """,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 17 passed" in done.stdout
    assert "FAILED test_it.py::TestStubborn::test_14_acts_once" in done.stdout
    assert "after ClosePosition(trade_id='trade-1') it acts: ClosePosition(trade_id='trade-1')" in done.stdout
    assert "-> Look in the context whether the effect is there already" in done.stdout


def test_all_public_names_are_there_and_come_when_they_are_asked_for():
    assert dir(testing) == sorted(testing.__all__)
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = testing.no_such_name


def test_pytest_starts_without_loading_anything_of_it():
    code = f"import sys, axisor_executor.testing.pytest_plugin; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_it_is_registered():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["pytest11"].split("\n")
    assert [line for line in lines if line] == [f"axisor = {pytest_plugin.__name__}"]
