"""The two forms of a log line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from axisor_executor.observe.logs import ROOT, RUNS, about, about_run, configure, run_line, say, timestamp

LINE = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} (\S+) AUTOMATION EXECUTOR - (.*)$")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As before when the test is over; meanwhile pytest does not listen: a worker has nobody who does."""
    logger = logging.getLogger(ROOT)
    before = logger.handlers[:], logger.level, logger.propagate

    def add(handler: logging.Handler) -> None:
        if not type(handler).__module__.startswith("_pytest."):
            logging.Logger.addHandler(logger, handler)

    monkeypatch.setattr(logger, "addHandler", add)
    yield
    configure()
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


class Stream(io.StringIO):
    """A stream on which everything is that was said, gathered or not."""

    def getvalue(self) -> str:
        for handler in logging.getLogger(ROOT).handlers:
            handler.flush()
        return super().getvalue()


@pytest.fixture(params=[False, True], ids=["by itself", "gathered"])
def gathered(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def human(gathered: bool) -> io.StringIO:
    stream = Stream()
    configure("human", "DEBUG", stream=stream, gathered=gathered)
    return stream


@pytest.fixture
def machine(gathered: bool) -> io.StringIO:
    stream = Stream()
    configure("json", "DEBUG", stream=stream, gathered=gathered)
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

    def test_what_can_not_be_printed_is_escaped(self, machine: io.StringIO) -> None:
        """A name must not steer the terminal of who reads the log; letters stay readable."""
        name = "Zoë 漢字 \x9b2J\u202e\x7f\U000e0001"
        say.info("Refused", accountName=name)
        run_line({"accountName": name})
        assert not {"\x9b", "\u202e", "\x7f", "\U000e0001"} & set(machine.getvalue())
        for line in machine.getvalue().splitlines():
            assert "Zoë 漢字" in line
            assert json.loads(line)["accountName"] == name

    def test_the_context_ends_with_its_block(self, machine: io.StringIO) -> None:
        with about(userId="user123"):
            pass
        say.info("later")
        assert "user123" not in machine.getvalue()

    def test_each_line_is_one_object(self, machine: io.StringIO) -> None:
        say.info("several\nlines", strange=object())
        (line,) = machine.getvalue().splitlines()
        assert json.loads(line)["event"] == "several\nlines"

    def test_what_can_not_be_shown_breaks_nothing(
        self, machine: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Strange:
            def __str__(self) -> str:
                raise RuntimeError("no words")

        say.info("never shown", strange=Strange())
        run_line({"strange": Strange()})
        say.info("shown")
        assert [json.loads(line)["event"] for line in machine.getvalue().splitlines()] == ["shown"]
        assert capsys.readouterr().err.count("--- Logging error ---") == 2

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


class TestListeners:
    """Whoever else listens gets records, as from any logger, and the worker's own lines stay what they are."""

    class Heard(logging.Handler):
        """A listener of an application's own."""

        def __init__(self) -> None:
            super().__init__()
            self.records: list[logging.LogRecord] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.records.append(record)

    @pytest.fixture
    def speak(self, machine: io.StringIO) -> Callable[[], dict[str, Any]]:
        """Say a line and return it as it was written, without its time."""

        def said() -> dict[str, Any]:
            before = machine.getvalue()
            with about(userId="user123"):
                speak_as(f"{ROOT}.run.send", "closing")
            line: dict[str, Any] = json.loads(machine.getvalue().removeprefix(before))
            line.pop("timestamp")
            return line

        return said

    @pytest.mark.parametrize("name", [ROOT, f"{ROOT}.run", f"{ROOT}.run.send"])
    def test_a_handler_anywhere_hears_all(self, speak: Callable[[], dict[str, Any]], name: str) -> None:
        alone = speak()
        heard, logger = self.Heard(), logging.getLogger(name)
        logger.addHandler(heard)
        try:
            assert speak() == alone
        finally:
            logger.removeHandler(heard)
        assert speak() == alone
        (record,) = heard.records
        assert (record.name, record.getMessage(), record.levelname) == (f"{ROOT}.run.send", "closing", "DEBUG")
        assert (record.__dict__["userId"], record.__dict__["mark"]) == ("user123", "🔍")

    def test_no_record_is_made_for_nobody(
        self, speak: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, gathered: bool
    ) -> None:
        made = []
        make = logging.Logger.makeRecord

        def making(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made.append(make(*args, **kwargs))
            return made[-1]

        monkeypatch.setattr(logging.Logger, "makeRecord", making)
        speak()
        assert len(made) == (0 if gathered else 1)

    def test_the_applications_own_records_are_made(
        self, speak: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made.append(logging.LogRecord(*args, **kwargs))
            return made[-1]

        alone = speak()
        monkeypatch.setattr(logging, "_logRecordFactory", factory)
        assert speak() == alone
        assert [record.getMessage() for record in made] == ["closing"]

    def test_filters_are_asked(self, machine: io.StringIO) -> None:
        def refuse(record: logging.LogRecord) -> bool:
            return "not" not in record.getMessage()

        logger = logging.getLogger(f"{ROOT}.run.send")
        (handler,) = logging.getLogger(ROOT).handlers
        for place in (logger, handler):
            place.addFilter(refuse)
            try:
                speak_as(logger.name, "not to be said")
            finally:
                place.removeFilter(refuse)
        speak_as(logger.name, "said")
        assert [json.loads(line)["event"] for line in machine.getvalue().splitlines()] == ["said"]

    def test_a_runs_line_is_heard_too(self, machine: io.StringIO) -> None:
        heard = self.Heard()
        logging.getLogger(RUNS).addHandler(heard)
        try:
            run_line({"status": "success"})
        finally:
            logging.getLogger(RUNS).removeHandler(heard)
        assert machine.getvalue() == '{"status": "success"}\n'
        assert [record.__dict__["run"] for record in heard.records] == [{"status": "success"}]


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
