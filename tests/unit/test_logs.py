"""The two forms of a log line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from axisor_executor.observe.logs import ROOT, RUNS, about, about_run, configure, run_line, say, timestamp

LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} (\S+) AUTOMATION EXECUTOR - (.*)$")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger(ROOT)
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    configure()
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


@pytest.fixture
def human() -> io.StringIO:
    stream = io.StringIO()
    configure("human", "DEBUG", stream=stream)
    return stream


@pytest.fixture
def machine() -> io.StringIO:
    stream = io.StringIO()
    configure("json", "DEBUG", stream=stream)
    return stream


class TestHumanLines:
    def test_each_level_has_its_sign(self, human: io.StringIO) -> None:
        say.debug("looking")
        say.info("going on")
        say.info("closing", mark="🛑")
        say.success("done")
        say.execution("acting")
        say.warning("look here")
        say.error("failed")
        found = [LINE.match(line) for line in human.getvalue().splitlines()]
        assert [match and match.groups() for match in found] == [
            ("🔍", "looking"),
            ("📊", "going on"),
            ("🛑", "closing"),
            ("✅", "done"),
            ("🎯", "acting"),
            ("⚠️", "look here"),
            ("❌", "failed"),
        ]

    def test_facts_and_context_stay_out(self, human: io.StringIO) -> None:
        with about(userId="user123"):
            say.info("going on", tradeId="t")
        assert "user123" not in human.getvalue()
        assert "tradeId" not in human.getvalue()

    def test_a_runs_line_is_for_machines_here_too(self, human: io.StringIO) -> None:
        with about(userId="user123"):
            run_line({"status": "success", "accountName": "Größe"})
        assert human.getvalue() == '{"status": "success", "accountName": "Größe"}\n'

    def test_a_strangers_text_can_not_forge_a_line(self, human: io.StringIO) -> None:
        say.error("bad\n12:00:00.000 ✅ AUTOMATION EXECUTOR - all is well\x1b[2J")
        assert len(human.getvalue().splitlines()) == 1
        assert "\x1b" not in human.getvalue()

    def test_lines_of_others_loggers_below_ours_look_the_same(self, human: io.StringIO) -> None:
        logging.getLogger(f"{ROOT}.plugin").info("hello %s", "there")
        match = LINE.match(human.getvalue().strip())
        assert match is not None
        assert match.groups() == ("📊", "hello there")


class TestMachineLines:
    def test_a_run_has_exactly_its_fields(self, machine: io.StringIO) -> None:
        with about(executionId="e"):
            run_line({"status": "success", "duration": 12, "error": None})
        assert json.loads(machine.getvalue()) == {"status": "success", "duration": 12, "error": None}

    def test_other_lines_have_context_and_facts(self, machine: io.StringIO) -> None:
        with about(userId="user123", accountId=None):
            say.warning("größer", tradeId="t")
        line = json.loads(machine.getvalue())
        assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
        assert line == {
            "level": "warning",
            "logger": ROOT,
            "event": "größer",
            "userId": "user123",
            "tradeId": "t",
        }

    def test_the_context_ends_with_its_block(self, machine: io.StringIO) -> None:
        with about(userId="user123"):
            pass
        say.info("later")
        assert "user123" not in machine.getvalue()

    def test_each_line_is_one_object(self, machine: io.StringIO) -> None:
        say.info("several\nlines", strange=object())
        (line,) = machine.getvalue().splitlines()
        assert json.loads(line)["event"] == "several\nlines"

    def test_a_crash_has_its_traceback_without_variables(self, machine: io.StringIO) -> None:
        def fail() -> None:
            visible_only_as_a_variable = "hunter2"
            raise RuntimeError(len(visible_only_as_a_variable))

        try:
            fail()
        except RuntimeError:
            say.crash("oh no")
        line = json.loads(machine.getvalue())
        assert "RuntimeError: 7" in line["traceback"]
        assert "'hunter2'" not in line["traceback"].replace('visible_only_as_a_variable = "hunter2"', "")


class TestConfigure:
    def test_again_replaces_what_was_there(self, human: io.StringIO) -> None:
        second = io.StringIO()
        configure("human", "INFO", stream=second)
        say.info("once")
        say.debug("never")
        assert human.getvalue() == ""
        assert len(second.getvalue().splitlines()) == 1

    def test_importing_configures_nothing(self) -> None:
        import subprocess
        import sys

        code = (
            "import logging, axisor_executor.observe.logs as logs; logger = logging.getLogger(logs.ROOT); "
            "print(logger.handlers, logger.level, logger.propagate)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == "[] 0 True"

    def test_runs_go_where_the_librarys_lines_go(self) -> None:
        assert logging.getLogger(RUNS).parent is logging.getLogger(ROOT)


class TestLevels:
    """Levels of single modules: what they say goes by their own level, wherever the rest stands."""

    def test_a_module_has_its_own_and_what_is_below_it(self) -> None:
        stream = io.StringIO()
        configure("human", "WARNING", levels={f"{ROOT}.exchange": "DEBUG", RUNS: "ERROR"}, stream=stream)
        speak_as(f"{ROOT}.exchange.calls.caller", "asked")
        speak_as(f"{ROOT}.run.send", "not heard")
        run_line({"status": "success"})
        assert [LINE.match(line).group(2) for line in stream.getvalue().splitlines()] == ["asked"]  # type: ignore[union-attr]

    def test_the_next_configuration_forgets_them(self) -> None:
        configure("human", "INFO", levels={f"{ROOT}.exchange": "DEBUG"}, stream=io.StringIO())
        stream = io.StringIO()
        configure("human", "INFO", stream=stream)
        speak_as(f"{ROOT}.exchange.calls.caller", "not heard")
        assert stream.getvalue() == ""

    def test_a_line_names_the_module_that_speaks(self, machine: io.StringIO) -> None:
        speak_as(f"{ROOT}.run.send", "closing")
        assert json.loads(machine.getvalue())["logger"] == f"{ROOT}.run.send"

    def test_one_that_is_not_ours_speaks_for_the_library(self, machine: io.StringIO) -> None:
        speak_as("somebody.else", "hello")
        assert json.loads(machine.getvalue())["logger"] == ROOT


class TestSample:
    IDS = tuple(f"execution-{number}" for number in range(2000))

    @staticmethod
    def heard(share: float) -> set[str]:
        stream = io.StringIO()
        configure("json", "INFO", debug_runs=share, stream=stream)
        for execution_id in TestSample.IDS:
            with about_run(execution_id, userId="user123"):
                say.debug("looking")
        return {json.loads(line)["executionId"] for line in stream.getvalue().splitlines()}

    def test_debug_lines_of_a_share_of_the_executions_are_written(self) -> None:
        assert self.heard(0) == set()
        assert self.heard(1) == set(self.IDS)
        assert 300 < len(self.heard(0.2)) < 500

    def test_all_runs_of_an_execution_are_of_the_sample_or_none(self) -> None:
        assert self.heard(0.2) == self.heard(0.2) <= self.heard(0.5)

    def test_it_ends_with_the_run(self) -> None:
        stream = io.StringIO()
        configure("human", "INFO", debug_runs=1, stream=stream)
        with about_run("execution"):
            pass
        say.debug("not heard")
        assert stream.getvalue() == ""


def speak_as(module: str, text: str) -> None:
    """Say a debug line from a module of this name."""
    exec("say.debug(text)", {"__name__": module, "say": say, "text": text})


class TestTimestamps:
    def test_iso_8601_with_milliseconds_and_z(self) -> None:
        moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=9)))
        assert timestamp(moment) == "2026-01-01T18:04:05.678Z"
        assert timestamp(moment.astimezone(UTC)) == "2026-01-01T18:04:05.678Z"

    def test_now_by_default(self) -> None:
        assert abs(datetime.fromisoformat(timestamp()) - datetime.now(UTC)) < timedelta(seconds=5)
