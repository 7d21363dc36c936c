"""The file that a world is kept in.

Lines of a checksum and JSON: a header, a snapshot, and one record for each command since. A record is handed to the
operating system in one write before its command is answered, so it outlives the process, whatever ends that. (Not a
machine that loses its power: a record is not synced to the disk; a snapshot is.)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from axisor_paper_exchange import __version__

__all__ = ["FORMAT", "Contents", "StateError", "StateFile"]

FORMAT = 1
_NAME = "axisor-paper-exchange state"
_OWNER_ONLY = 0o600
_HEAD_LINES = 2

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class StateError(Exception):
    """A state file that can't be used; the message is for its owner."""


class Contents(NamedTuple):
    """What a file held: `torn` tells that its last record was not whole, and was left out."""

    written_by: str
    snapshot: Any
    records: list[Any]
    torn: bool


class StateFile:
    """A state file, locked against other servers until it is closed. Raises `StateError`."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).resolve()
        self._file = -1
        self._begin = 0
        self.size = 0
        """Bytes written since the snapshot."""
        self._lock = self._open(self._beside(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"{path} is in use by another server") from error

    def read(self) -> Contents | None:
        """Return what is in the file, None when it is empty or not there."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from error
        return self._contents(data) if data else None

    def replace(self, snapshot: Any) -> int:
        """Put a snapshot in the place of everything; return its size. A reader finds the old file or the new one."""
        header = {"format": _NAME, "version": FORMAT, "writtenBy": __version__}
        data = _line(header) + _line(snapshot)
        new = self._beside(".new")
        made = self._open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            os.fchmod(made, _OWNER_ONLY)
            _write(made, data, 0)
            os.fsync(made)
            new.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            os.close(made)
            raise self._error("write", error) from error
        self._release()
        self._file, self._begin, self.size = made, len(data), 0
        return len(data)

    def append(self, record: Any) -> None:
        """Write a record down: when this returns, the operating system has it."""
        data = _line(record)
        try:
            _write(self._file, data, self._begin + self.size)
        except OSError as error:
            raise self._error("write", error) from error
        self.size += len(data)

    def close(self) -> None:
        """Let others have the file."""
        self._release()
        os.close(self._lock)

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _contents(self, data: bytes) -> Contents:
        *lines, rest = data.split(b"\n")
        torn = bool(rest)
        if lines and not torn and len(lines) > _HEAD_LINES and _parse(lines[-1]) is None:
            lines.pop()
            torn = True
        if not lines or (header := _parse(lines[0])) is None or header.get("format") != _NAME:
            raise StateError(f"{self._path} is not a state file of this program")
        if header.get("version") != FORMAT:
            raise StateError(f"{self._path} has format {header.get('version')}, this program reads {FORMAT}")
        parsed = [_parse(line) for line in lines]
        if None in parsed or len(parsed) < _HEAD_LINES:
            raise StateError(f"{self._path} is damaged at line {parsed.index(None) + 1 if None in parsed else 2}")
        return Contents(header["writtenBy"], parsed[1], parsed[_HEAD_LINES:], torn)

    def _open(self, path: Path, flags: int) -> int:
        try:
            return os.open(path, flags, _OWNER_ONLY)
        except OSError as error:
            raise self._error("write", error) from error

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def _error(self, what: str, error: OSError) -> StateError:
        return StateError(f"can't {what} {self._path}: {error.strerror or error}")


def _line(value: Any) -> bytes:
    text = _encode(value).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """Return what a line holds, None when it is damaged."""
    checksum, _, text = line.partition(b" ")
    with contextlib.suppress(ValueError):
        if int(checksum, 16) == zlib.crc32(text):
            return json.loads(text)
    return None


def _write(file: int, data: bytes, before: int) -> None:
    """Write everything, or leave the file as long as it was before, where it lets us."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, before)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
