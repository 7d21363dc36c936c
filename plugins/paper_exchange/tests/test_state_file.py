"""The state file: what is in it, what is refused, who may read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from axisor_paper_exchange.server.state.file import StateError, StateFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def written(path: Path, *records: Any) -> None:
    file = StateFile(str(path))
    file.replace({"snapshot": 1})
    for record in records:
        file.append(record)
    file.close()


def read(path: Path) -> Any:
    file = StateFile(str(path))
    try:
        return file.read()
    finally:
        file.close()


def test_snapshot_and_records(path: Path) -> None:
    assert read(path) is None
    written(path, ["a"], {"b": "ä\n"})
    contents = read(path)
    assert (contents.snapshot, contents.records, contents.torn) == ({"snapshot": 1}, [["a"], {"b": "ä\n"}], False)
    written(path)
    assert read(path).records == []


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    assert read(path) is None


def test_only_its_owner_may_read_it(path: Path) -> None:
    path.touch(mode=0o644)
    written(path, ["a"])
    for made in path.parent.iterdir():
        assert stat.S_IMODE(made.stat().st_mode) == 0o600, made


def test_sizes(path: Path) -> None:
    file = StateFile(str(path))
    snapshot = file.replace({})
    assert (file.size, snapshot) == (0, path.stat().st_size)
    file.append(["a"])
    assert file.size == path.stat().st_size - snapshot
    file.close()


def test_every_way_to_cut_the_last_record_short(path: Path) -> None:
    written(path, ["first"], ["second"])
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for length in range(begin + 1, len(whole)):
        path.write_bytes(whole[:length])
        contents = read(path)
        assert (contents.records, contents.torn) == ([["first"]], True)
    path.write_bytes(whole[:begin])
    assert (read(path).records, read(path).torn) == ([["first"]], False)


def test_a_broken_last_record_is_left_out(path: Path) -> None:
    written(path, ["first"], ["second"])
    path.write_bytes(path.read_bytes().replace(b"second", b"sicond"))
    assert (read(path).records, read(path).torn) == ([["first"]], True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data.replace(b"first", b"fir5t"), "is damaged at line 3"),
        (lambda data: data.replace(b"snapshot", b"snopshat"), "is damaged at line 2"),
        (lambda data: data[: data.index(b"\n") + 20], "is damaged at line 2"),
        (lambda data: data[:20], "is not a state file"),
        (lambda data: b"x" + data, "is not a state file"),
        (lambda _: b"hello\nworld\n", "is not a state file"),
        (lambda _: os.urandom(500), "is not a state file"),
    ],
)
def test_anything_else_is_refused(path: Path, change: Any, problem: str) -> None:
    written(path, ["first"], ["second"])
    path.write_bytes(change(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(StateError, match=problem):
        read(path)
    assert path.read_bytes() == before


def test_another_format_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axisor_paper_exchange.server.state.file.FORMAT", 99)
    written(path)
    monkeypatch.undo()
    with pytest.raises(StateError, match="has format 99, this program reads 1"):
        read(path)


def test_one_server_at_a_time(path: Path) -> None:
    first = StateFile(str(path))
    with pytest.raises(StateError, match="in use by another server"):
        StateFile(str(path))
    link = path.with_name("link")
    path.touch()
    link.symlink_to(path)
    with pytest.raises(StateError, match="in use by another server"):
        StateFile(str(link))
    first.close()
    StateFile(str(path)).close()


def test_places_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file or directory"):
        StateFile(str(tmp_path / "nowhere" / "state"))
    folder = tmp_path / "folder"
    folder.mkdir()
    file = StateFile(str(folder))
    with pytest.raises(StateError, match=r"can't read .*folder"):
        file.read()
    with pytest.raises(StateError, match=r"can't write .*folder"):
        file.replace({})
    file.close()


def test_a_record_that_does_not_fit_leaves_the_file_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(str(path))
    file.replace({})
    file.append(["first"])
    before = path.read_bytes()
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return real(handle, data[:10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StateError, match="No space left on device"):
        file.append(["second" * 5])
    monkeypatch.undo()
    assert path.read_bytes() == before
    file.close()
