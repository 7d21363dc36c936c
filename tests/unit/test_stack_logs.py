"""The logs of `axisor-executor up`: the last lines of some, what is written on, and what can't be read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from axisor_executor.errors import AxisorError
from axisor_executor.stack import logs


def test_the_last_lines_of_some(tmp_path: Path) -> None:
    (tmp_path / "worker-protect.log").write_text("1\n2\n3\n")
    (tmp_path / "worker-default.log").write_text("4\n")
    (tmp_path / "redis.log").write_text("5\n")
    found = list(logs.last_lines(tmp_path, ("worker",), 2))
    assert found == [("worker-default", "4"), ("worker-protect", "2"), ("worker-protect", "3")]


def test_the_last_lines_where_one_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "redis.log").mkdir()
    with pytest.raises(AxisorError, match="Is a directory") as raised:
        list(logs.last_lines(tmp_path, (), 1))
    assert raised.value.code == "folder_unusable"


def test_the_last_lines_where_one_goes_away_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "redis.log").symlink_to("moved-aside")  # it is listed, and not there when it is opened
    (tmp_path / "up.log").write_text("1\n")
    assert list(logs.last_lines(tmp_path, (), 5)) == [("up", "1")]


class TestNewLines:
    @pytest.fixture
    def stop(self) -> threading.Event:
        """Ends the waiting for new lines."""
        return threading.Event()

    def test_they_are_whole_and_survive_a_log_that_was_moved_aside(self, tmp_path: Path, stop: threading.Event) -> None:
        log = tmp_path / "redis.log"
        log.write_text("old\n")
        lines = logs.new_lines(tmp_path, (), stop)

        append(log, "new\nhal")
        assert next(lines) == ("redis", "new")
        append(log, "f\n")
        assert next(lines) == ("redis", "half")
        logs.keep_short(tmp_path, longest=0)
        assert log.stat().st_size == 0
        assert (tmp_path / "redis.log.1").read_text() == "old\nnew\nhalf\n"
        append(log, "x\n")
        assert next(lines) == ("redis", "x")
        stop.set()
        assert list(lines) == []

    def test_one_that_goes_away_meanwhile_is_skipped_until_it_is_there_again(
        self, tmp_path: Path, stop: threading.Event
    ) -> None:
        (tmp_path / "redis.log").symlink_to("moved-aside")  # without what it leads to: listed, and not there
        redis, other = tmp_path / "moved-aside", tmp_path / "up.log"
        append(redis, "of the first\n")
        append(other, "old\n")
        lines = logs.new_lines(tmp_path, (), stop)

        redis.unlink()
        append(other, "new\n")
        assert next(lines) == ("up", "new")
        append(redis, "x\n")
        stop.set()
        assert list(lines) == [("redis", "x")]

    def test_one_that_is_gone_at_the_start(self, tmp_path: Path, stop: threading.Event) -> None:
        (tmp_path / "redis.log").symlink_to("moved-aside")
        lines = logs.new_lines(tmp_path, (), stop)
        append(tmp_path / "moved-aside", "x\n")
        stop.set()
        assert list(lines) == [("redis", "x")]

    def test_one_that_can_not_be_looked_at(self, tmp_path: Path, stop: threading.Event) -> None:
        (tmp_path / "redis.log").symlink_to("redis.log")
        with pytest.raises(AxisorError, match="symbolic links") as raised:
            logs.new_lines(tmp_path, (), stop)
        assert raised.value.code == "folder_unusable"

    def test_one_that_can_not_be_read(self, tmp_path: Path, stop: threading.Event) -> None:
        (tmp_path / "redis.log").mkdir()
        lines = logs.new_lines(tmp_path, (), stop)
        with pytest.raises(AxisorError, match="Is a directory") as raised:
            next(lines)
        assert raised.value.code == "folder_unusable"


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
