"""Lines that are written together: in order, each once, and never at the cost of who speaks."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import TextIO

import pytest
from dramatiq.brokers.stub import StubBroker
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.lifecycle import Lifecycle
from axisor_executor.observe import gathering
from axisor_executor.observe.gathering import PORTION_BYTES, GatheringHandler, beside
from axisor_executor.observe.logs import ROOT, configure, say, stop_gathering


class Written(io.StringIO):
    """A stream that keeps what each write brought."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.changed = threading.Condition()

    def write(self, text: str) -> int:
        with self.changed:
            self.writes.append(text)
            self.changed.notify_all()
        return len(text)

    @property
    def text(self) -> str:
        return "".join(self.writes)

    def wait_for(self, text: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: text in self.text, 30), self.text


class Moment:
    """The time in which lines gather: over when the test says so."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = threading.Semaphore(0)
        self._over = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        assert seconds == gathering.GATHER_SECONDS
        self.count += 1
        self._begun.release()
        self._over.acquire()

    def wait(self) -> None:
        """Wait for the begin of a moment that was not waited for."""
        assert self._begun.acquire(timeout=30)

    def end(self) -> None:
        self._over.release()


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moment]:
    one = Moment()
    monkeypatch.setattr(gathering, "time", SimpleNamespace(sleep=one.sleep, monotonic=time.monotonic))
    yield one
    one.end()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "PATIENCE_SECONDS", 0.05)


@pytest.fixture
def speaker() -> Iterator[logging.Logger]:
    logger = logging.getLogger("speaker")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    for handler in logger.handlers[:]:
        handler.close()
        logger.removeHandler(handler)


def gathered(logger: logging.Logger, stream: TextIO) -> GatheringHandler:
    """Have the logger's lines gathered for the stream."""
    handler = GatheringHandler(stream)
    logger.addHandler(handler)
    return handler


class TestTogether:
    def test_lines_of_one_moment_are_one_write(self, moment: Moment, speaker: logging.Logger) -> None:
        stream = Written()
        gathered(speaker, stream)
        for number in range(3):
            speaker.info("line %s", number)
        assert stream.writes == []
        moment.end()
        stream.wait_for("line 2")
        assert stream.writes == ["line 0\nline 1\nline 2\n"]

    def test_who_is_silent_costs_nothing(self, moment: Moment, speaker: logging.Logger) -> None:
        stream = Written()
        gathered(speaker, stream)
        for number in range(3):
            speaker.info("line %s", number)
            moment.end()
            stream.wait_for(f"line {number}")
        assert moment.count <= 3, "it woke without a line"

    @pytest.mark.usefixtures("moment")
    def test_a_warning_goes_out_at_once_behind_what_was_said_before(self, speaker: logging.Logger) -> None:
        stream = Written()
        gathered(speaker, stream)
        speaker.info("first")
        speaker.warning("second")
        assert stream.text == "first\nsecond\n"

    @pytest.mark.usefixtures("moment")
    def test_whoever_ends_the_process_can_have_all_written(self, speaker: logging.Logger) -> None:
        stream = Written()
        handler = gathered(speaker, stream)
        speaker.info("first")
        handler.close()
        assert stream.text == "first\n"
        speaker.info("second")
        assert stream.text == "first\nsecond\n"

    def test_its_thread_ends_with_it(self, moment: Moment, speaker: logging.Logger) -> None:
        handler = gathered(speaker, Written())
        speaker.info("first")
        moment.wait()
        handler.close()
        moment.end()
        assert handler._thread is not None
        handler._thread.join(30)
        assert not handler._thread.is_alive()

    def test_lines_of_many_threads_are_there_once_each_in_its_order(self, speaker: logging.Logger) -> None:
        stream = Written()
        handler = gathered(speaker, stream)

        def talk(name: int) -> None:
            for number in range(200):
                speaker.log(logging.WARNING if number % 50 == 49 else logging.INFO, "%s:%s", name, number)

        threads = [threading.Thread(target=talk, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        handler.flush()
        said = [tuple(map(int, line.split(":"))) for line in stream.text.splitlines()]
        assert len(said) == 8 * 200
        for name in range(8):
            assert [number for who, number in said if who == name] == list(range(200))

    @given(st.lists(st.text(max_size=9) | st.integers(1, 9000).map(lambda size: "é" * size), max_size=60))
    def test_no_write_is_more_than_a_pipe_takes_whole(self, texts: list[str]) -> None:
        stream = Written()
        handler = GatheringHandler(stream)
        handler.close()
        for text in texts:
            handler._keep(f"{text}\n", 1000)
        handler.flush()
        assert stream.text == "".join(f"{text}\n" for text in texts)
        for written in stream.writes:
            assert len(written.encode(errors="backslashreplace")) <= PORTION_BYTES

    @pytest.mark.usefixtures("moment")
    def test_lines_stay_whole_where_they_fit(self, speaker: logging.Logger) -> None:
        stream = Written()
        handler = gathered(speaker, stream)
        for _ in range(100):
            speaker.info("x" * 300)
        handler.flush()
        assert len(stream.writes) > 1
        assert all(written.endswith("\n") for written in stream.writes)


class TestStandardLibrary:
    def test_filters_are_asked(self, speaker: logging.Logger) -> None:
        stream = Written()
        gathered(speaker, stream).addFilter(lambda record: "secret" not in record.getMessage())
        speaker.warning("a secret")
        speaker.warning("a word")
        assert stream.text == "a word\n"

    def test_a_record_that_can_not_be_shown_breaks_nothing(
        self, speaker: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stream = Written()
        handler = gathered(speaker, stream)
        handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",), "levelno": logging.WARNING}))
        speaker.warning("a word")
        assert stream.text == "a word\n"
        assert "Logging error" in capsys.readouterr().err

    @pytest.mark.usefixtures("moment")
    def test_where_no_thread_can_be_had_lines_are_written_at_once(
        self, speaker: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refused)
        stream = Written()
        gathered(speaker, stream)
        speaker.info("first")
        speaker.info("second")
        assert stream.text == "first\nsecond\n"


@pytest.mark.usefixtures("impatient")
class TestTroubleWithTheStream:
    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, TextIO]]:
        """A pipe's two ends. The reader's descriptor is the test's to close."""
        reader, writer = os.pipe()
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            yield reader, stream

    def test_a_reader_that_does_not_read_stops_nobody(
        self, speaker: logging.Logger, pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gathering, "MOST_LINES", 50)
        monkeypatch.setattr(gathering, "MOST_URGENT_LINES", 60)
        reader, stream = pipe
        handler = gathered(speaker, stream)
        count = 2000
        for number in range(count):
            speaker.log(logging.WARNING if number % 100 == 99 else logging.INFO, "%05d%s", number, "x" * 200)
        assert len(handler._lines) <= 60
        text = ""
        while "missing here" not in text:
            text += os.read(reader, 1 << 16).decode()
        os.close(reader)
        *lines, notice = text.splitlines()
        numbers = [int(line[:5]) for line in lines]
        assert numbers == sorted(set(numbers))
        assert notice == f"{count - len(numbers)} log lines are missing here: they could not be written"
        assert len(numbers) < count

    def test_what_found_no_room_is_written_when_there_is_some(
        self, speaker: logging.Logger, pipe: tuple[int, TextIO], moment: Moment
    ) -> None:
        reader, stream = pipe
        os.set_blocking(stream.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(stream.fileno(), b"." * gathering.PORTION_BYTES)
        os.set_blocking(stream.fileno(), True)
        gathered(speaker, stream)
        speaker.warning("heard")
        for _ in range(3):  # it is tried again and again
            moment.wait()
            moment.end()
        text = ""
        while "heard\n" not in text:
            moment.end()
            text += os.read(reader, 1 << 16).decode()
        os.close(reader)

    def test_warnings_have_room_where_others_have_none(
        self, speaker: logging.Logger, pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gathering, "MOST_LINES", 10)
        monkeypatch.setattr(gathering, "MOST_URGENT_LINES", 20)
        reader, stream = pipe
        gathered(speaker, stream)
        for _ in range(1000):
            speaker.info("x" * 300)
        speaker.error("heard")
        text = ""
        while "missing here" not in text:
            text += os.read(reader, 1 << 16).decode()
        os.close(reader)
        assert text.splitlines()[-2] == "heard"

    def test_where_nobody_reads_any_more_nothing_is_kept(
        self, speaker: logging.Logger, pipe: tuple[int, TextIO]
    ) -> None:
        reader, broken = pipe
        os.close(reader)
        handler = gathered(speaker, broken)
        for _ in range(5):
            speaker.info("into the void")
            speaker.warning("into the void")
        assert not handler._lines
        stream = Written()
        handler.stream = stream
        speaker.warning("heard again")
        assert stream.text == "heard again\n10 log lines are missing here: they could not be written\n"
        with pytest.raises(BrokenPipeError):
            broken.close()

    def test_a_closed_stream_breaks_nothing(self, speaker: logging.Logger) -> None:
        stream = io.StringIO()
        stream.close()
        gathered(speaker, stream)
        speaker.warning("into the void")


@pytest.mark.usefixtures("impatient")
class TestBeside:
    """What others say to the same stream, as Dramatiq does from its signal handler."""

    @pytest.fixture
    def other(self) -> Iterator[logging.Logger]:
        logger = logging.getLogger("other")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        yield logger
        logger.handlers.clear()

    def test_its_lines_are_written_in_order_with_ours_in_their_own_form(
        self, speaker: logging.Logger, other: logging.Logger
    ) -> None:
        stream, elsewhere = Written(), Written()
        handler = gathered(speaker, stream)
        plain, kept = logging.StreamHandler[TextIO](stream), logging.StreamHandler[TextIO](elsewhere)
        plain.setFormatter(logging.Formatter("[other] %(message)s"))
        plain.addFilter(lambda record: "secret" not in record.getMessage())
        plain.setLevel(logging.INFO)
        other.handlers[:] = [kept, plain]
        beside(handler, other)
        assert other.handlers[0] is kept, "another stream's is not touched"
        speaker.info("first")
        other.debug("too low")
        other.info("second")
        other.info("a secret")
        speaker.warning("third")
        assert stream.writes == ["first\n[other] second\nthird\n"]
        assert "second" in elsewhere.text
        handler.close()
        other.info("fourth")
        assert stream.text.endswith("[other] fourth\n"), "at once, when ours are"

    def test_what_can_not_be_shown_breaks_nothing(
        self, speaker: logging.Logger, other: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stream = Written()
        other.handlers[:] = [logging.StreamHandler(stream)]
        beside(gathered(speaker, stream), other)
        other.warning("%d", "no number")
        other.warning("a word")
        assert stream.text == "a word\n"
        assert "Logging error" in capsys.readouterr().err

    def test_a_reader_that_does_not_read_keeps_no_worker_process_waiting(self) -> None:
        """Dramatiq's handler is there before our code is, on the stream that is standard error by then."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * gathering.PORTION_BYTES)
        os.set_blocking(writer, True)
        root, ours = logging.getLogger(), logging.getLogger(ROOT)
        before = root.handlers[:], root.level, ours.handlers[:], ours.level, ours.propagate
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            root.handlers[:] = [logging.StreamHandler(stream)]
            root.setLevel(logging.INFO)
            configure("human", "INFO", stream=stream, gathered=True)
            try:
                Lifecycle().after_process_boot(StubBroker())
                said = logging.getLogger("dramatiq").info
                speaking = threading.Thread(target=said, args=("Stopping worker process...",), daemon=True)
                speaking.start()
                speaking.join(20)
                assert not speaking.is_alive(), "it waits for the reader"
                text = ""
                while "Stopping worker process..." not in text:
                    text += os.read(reader, 1 << 16).decode()
            finally:
                stop_gathering()
                root.handlers[:], root.level, ours.handlers[:], ours.level, ours.propagate = before
                os.close(reader)


class TestConfigured:
    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        logger = logging.getLogger(ROOT)
        before = logger.handlers[:], logger.level, logger.propagate
        yield
        stop_gathering()
        logger.handlers[:], logger.level, logger.propagate = before

    @pytest.mark.usefixtures("moment")
    def test_for_a_person_each_line_is_written_by_itself(self) -> None:
        stream = Written()
        configure("human", "INFO", stream=stream)
        say.info("hello")
        assert "hello" in stream.text

    @pytest.mark.usefixtures("moment")
    def test_another_configuration_loses_no_line(self) -> None:
        stream, other = Written(), Written()
        configure("human", "INFO", stream=stream, gathered=True)
        say.info("first")
        configure("human", "INFO", stream=other, gathered=True)
        say.info("second")
        stop_gathering()
        assert stream.text.endswith("first\n")
        assert other.text.endswith("second\n")
        assert "first" not in other.text

    def test_what_is_missing_is_said_in_the_same_form(self) -> None:
        stream = Written()
        configure("json", "INFO", stream=stream, gathered=True)
        (handler,) = logging.getLogger(ROOT).handlers
        assert isinstance(handler, GatheringHandler)
        handler._lose(3)
        say.warning("hello")
        assert '"event": "3 log lines are missing here: they could not be written"' in stream.writes[1]
        assert '"logger": "axisor_executor.observe.gathering"' in stream.writes[1]


START = """
import logging, os, sys, threading
from axisor_executor.observe import gathering
from axisor_executor.observe.logs import ROOT, configure, say, stop_gathering
configure("human", "INFO", gathered=True)
"""


def script(code: str) -> subprocess.Popen[str]:
    """Start a process that gathers its lines, and may fork beside its threads, of which Python 3.12 on warns."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", START + code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(code: str) -> list[str]:
    """Return what a process says until its end."""
    with script(code) as process:
        _, text = process.communicate(timeout=60)
    return [line.rpartition(" - ")[2] for line in text.splitlines()]


class TestProcesses:
    @pytest.mark.parametrize(
        "end",
        ["", "raise SystemExit(3)", "stop_gathering(); os._exit(0)", "logging.shutdown(); os._exit(0)"],
        ids=["returns", "raises", "stopped", "shut down"],
    )
    def test_an_orderly_end_loses_nothing(self, end: str) -> None:
        assert said(f"gathering.GATHER_SECONDS = 60; say.info('first'); say.info('second'); {end}") == [
            "first",
            "second",
        ]

    def test_an_error_is_out_before_a_sudden_end(self) -> None:
        code = "gathering.GATHER_SECONDS = 60; say.info('first'); say.error('second'); say.info('third'); os._exit(0)"
        assert said(code) == ["first", "second"]

    def test_a_forked_process_writes_its_own_lines_and_no_others(self) -> None:
        code = """
say.info("before")
if os.fork() == 0:
    say.info("child")
    sys.stdin.readline()  # until the test has read that
    os._exit(0)
os.wait()
say.info("parent")
"""
        with script(code) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            lines: list[str] = []
            while not lines or "child" not in lines[-1]:
                lines.append(process.stderr.readline())
            process.stdin.write("\n")
            process.stdin.flush()
            lines += process.stderr.readlines()
        assert sorted(line.split(" - ")[1].strip() for line in lines) == ["before", "child", "parent"]

    def test_what_a_stream_still_holds_is_not_forked(self) -> None:
        code = """
class Slow:
    held = ""
    def write(self, text):
        self.held = text
        entered.set()
        release.wait()
    def flush(self):
        os.write(2, self.held.encode())
        self.held = ""
entered, release = threading.Event(), threading.Event()
gathering.PATIENCE_SECONDS = 60
stream = Slow()
configure("human", "INFO", stream=stream, gathered=True)
say.info("once")
entered.wait()
threading.Timer(0.2, release.set).start()
if os.fork() == 0:
    stream.flush()
    os._exit(0)
os.wait()
"""
        assert said(code) == ["once"]
