"""The tables and lists of the documentation say what the code says: settings, errors, alerts, commands, columns."""

from __future__ import annotations

import json
import logging
from typing import get_args

import pytest

from axisor_executor.exchange.failures import _REJECTION_CODES
from axisor_executor.jobs import Job
from axisor_executor.observe import alerts
from axisor_executor.observe.logs import RUNS, JsonFormatter
from axisor_executor.run.outcome import GroupStatus
from axisor_executor.run.report import _ALERTS
from axisor_executor.settings import describe_settings
from axisor_executor.storage.actions import ActionStatus
from axisor_executor.storage.executions import Status, WaitFor
from tests.docs import codes
from tests.docs.generated import all_commands, content, registry
from tests.docs.pages import PAGES, ROOT, check_region, everything, page, prose, regions, section, table, text_of
from tests.harness.world import World

DERIVED = [(one, name) for one, name in regions() if not name.startswith("result ")]


class TestGenerated:
    @pytest.mark.parametrize(("one", "name"), DERIVED, ids=[f"{one.name} {name}" for one, name in DERIVED])
    def test_a_region_is_up_to_date(self, one, name) -> None:
        check_region(one, name, content(name))

    def test_nothing_is_missing(self) -> None:
        wanted = {"settings", "tables", "commands", "errors", "tree", "metrics", "rules"}
        wanted |= {f"config {name}" for name in registry().handlers}
        assert {name for _, name in DERIVED} == wanted

    @pytest.mark.parametrize("one", ["README.md", "docs/settings.md"])
    def test_settings_stand_in_both_places(self, one: str) -> None:
        rows = table(text_of(ROOT / one).split("<!-- generated: settings -->")[1])
        assert [tuple(row) for row in rows] == [tuple(row) for row in describe_settings()]


class TestErrors:
    CODES = table(section(page("errors.md"), "Codes"))
    OUTCOMES = table(section(page("errors.md"), "Codes of outcomes"))

    def test_every_code_is_listed_with_its_class(self) -> None:
        assert {(row[0], row[1]) for row in self.CODES} == {(one.code, one.cls) for one in codes.raised()}

    def test_the_statuses_are_those_of_the_code(self) -> None:
        exchanges_own = {code: f"({status})" for status, code in _REJECTION_CODES.items()}
        exchanges_own["exchange_rejected"] = "(4xx)"
        wanted = {(one.code, one.cls): exchanges_own.get(one.code, str(one.status)) for one in codes.raised()}
        assert {(row[0], row[1]): row[2] for row in self.CODES} == wanted

    def test_they_are_sorted(self) -> None:
        shown = [(row[1], row[0]) for row in self.CODES]
        assert shown == sorted(shown)

    def test_every_code_of_an_outcome_is_listed(self) -> None:
        raised = {one.code for one in codes.raised()}
        ended = {reason for status, reason in codes.endings() if status == "expired"}
        assert {row[0] for row in self.OUTCOMES} == (codes.noted() | ended) - raised


class TestAlerts:
    ROWS = table(section(page("operations.md"), "Alerts"))

    def test_every_kind_is_listed(self) -> None:
        assert {row[0] for row in self.ROWS} == set(get_args(alerts.Kind))

    @pytest.mark.parametrize("code", _ALERTS)
    def test_every_code_that_raises_one_is_named(self, code: str) -> None:
        kind, severity = _ALERTS[code]
        assert any(row[0] == kind and row[1] == severity and code in row[2] for row in self.ROWS)


class TestStates:
    def test_every_status_of_an_execution_is_explained(self) -> None:
        rows = table(section(page("architecture.md"), "The states"))
        assert [row[0] for row in rows] == ["queued", "running", "waiting", *get_args(Status)[3:]]

    @pytest.mark.parametrize("word", [*get_args(WaitFor), *get_args(ActionStatus), *get_args(Status)])
    def test_every_word_stands_in_the_architecture(self, word: str) -> None:
        assert word in section(page("architecture.md"), "The states")

    @pytest.mark.parametrize("word", sorted(set(get_args(GroupStatus)) - {"open"}))
    def test_every_status_of_a_group_stands_in_results(self, word: str) -> None:
        assert f"`{word}`" in page("results.md")


class TestLogs:
    def test_a_run_line_has_the_fields_that_are_listed(self, docs_world: World) -> None:
        kept: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = kept.append  # type: ignore[method-assign]
        logger = logging.getLogger(RUNS)
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            docs_world.run(docs_world.automation(docs_world.account(), "auto_entry", {"side": "b", "quantity": 100}))
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        (line,) = [json.loads(JsonFormatter().format(record)) for record in kept]
        rows = table(section(page("operations.md"), "Logs"))
        assert [row[0] for row in rows] == list(line)


class TestJob:
    def test_every_key_is_listed(self) -> None:
        rows = table(section(page("index.md"), "For an application").split("A job is a mapping")[1])
        assert {row[0] for row in rows} == {field.alias for field in Job.model_fields.values()}


class TestCommands:
    def test_every_command_is_spoken_of(self) -> None:
        told = "\n".join(prose(text_of(one)) for one in PAGES)
        missing = [path for path, _ in all_commands() if f"`{path}`" not in told]
        assert not missing

    def test_no_page_speaks_of_a_command_that_is_not_there(self) -> None:
        known = {path for path, _ in all_commands()}
        known |= {path.rsplit(" ", 1)[0] for path in known}
        for word in _commands_in(everything()):
            assert word in known, word


def _commands_in(text: str) -> set[str]:
    """Return what the text calls ``axisor-executor something``, without arguments."""
    found = set()
    for line in text.replace("`", "\n").splitlines():
        if line.startswith("axisor-executor "):
            words = [word for word in line.split()[1:3] if word.islower() and word.isalpha()]
            found.add(" ".join(["axisor-executor", *words]))
    return found - {"axisor-executor"}
