"""What plugins are tested with is documented whole, and the page's handler passes the contract that it describes."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path

from axisor_executor import testing
from axisor_executor.testing import AutomationRun, Case, FakeExchange, HandlerContract, run_automation
from tests.docs.pages import ROOT, blocks, page, section, table
from tests.docs.test_names import named

PAGE = ROOT / "docs" / "testing-a-plugin.md"
TEXT = page(PAGE.name)


def test_every_name_is_there() -> None:
    assert set(testing.__all__) <= named(TEXT)


def test_every_case_of_the_contract_is_listed() -> None:
    cases = [name for name in vars(HandlerContract) if name.startswith("test_")]
    assert [row[0] for row in table(section(TEXT, "The contract"))] == cases


def test_everything_that_an_author_may_set_is_listed() -> None:
    names = {name for name in vars(HandlerContract) if not name.startswith(("_", "test_"))} | {"handler"}
    rows = table(section(TEXT, "The contract").split("What does not fit")[1])
    assert {row[0].partition("(")[0] for row in rows} == names
    assert {field.name for field in dataclasses.fields(Case)} <= named(section(TEXT, "The contract"))


def test_everything_of_the_account_in_memory_is_named() -> None:
    public = {name for name in {*vars(FakeExchange()), *vars(FakeExchange)} if not name.startswith("_")}
    assert public | set(inspect.signature(FakeExchange).parameters) <= named(section(TEXT, "An account in memory"))


def test_everything_of_a_whole_run_is_named() -> None:
    fields = {field.name for field in dataclasses.fields(AutomationRun)} | {"status"}
    assert fields | set(inspect.signature(run_automation).parameters) <= named(section(TEXT, "Jobs run whole"))


def test_the_page_passes_as_a_test_file(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    code = "\n\n".join(block.code for block in blocks("python", pages=(PAGE,)))
    (tmp_path / "test_page.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "axisor_executor.testing.pytest_plugin", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "20 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
