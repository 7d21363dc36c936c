"""The folder that a stack's state is in: database, encryption key, the paper exchange's state, logs, and a lock.

Everything in it is for its owner only. What survives a restart is here; Redis is not, because nothing in it is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

from axisor_executor.errors import AxisorError

Mode = Literal["paper", "live"]

DEFAULT: Final = Path("axisor-data")
_VERSION = 1
_POLL_SECONDS = 0.05


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Put into words what the system says of a file or folder in the block.

    Raises:
        AxisorError: it can't be used (``folder_unusable``), such as another user's.
    """
    try:
        yield
    except OSError as error:
        raise AxisorError(f"{path} can't be used: {error.strerror or error}", code="folder_unusable") from None


class StackFolder:
    """A stack's folder at ``path``; nothing is made or read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "axisor.db"
        self.paper_state = self.path / "paper-exchange.state"
        self.environment_file = self.path / "environment"
        self.logs = self.path / "logs"
        self._key = self.path / "encryption-key"
        self._redis_password = self.path / "redis-password"
        self._memory = self.path / "stack.json"
        self._running = self.path / "running.json"
        self._lock = self.path / "lock"

    @property
    def is_stack(self) -> bool:
        """Whether there is a stack in this folder.

        Raises:
            AxisorError: it can't be looked into (``folder_unusable``).
        """
        with usable(self.path):
            return self._memory.exists()

    def make(self) -> None:
        """Make the folder, for its owner only, where it is not there.

        Raises:
            AxisorError: it holds something else (``folder_in_use``), or can't be made (``folder_unusable``).
        """
        with usable(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.is_stack and not self._lock.exists() and any(self.path.iterdir()):
                raise AxisorError(
                    f"{self.path} is not empty and holds no stack; choose another with --dir", code="folder_in_use"
                )
            self.path.chmod(0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)

    # -- what it remembers

    def remembered(self) -> dict[str, Any]:
        """Return what a run has noted for the next: ``mode``, ``ports``, and what was set up.

        Raises:
            AxisorError: it can't be read (``folder_unusable``).
        """
        found = _read(self._memory)
        if found.get("v", _VERSION) != _VERSION:
            raise AxisorError(f"{self._memory} is of another version of axisor-executor", code="folder_unusable")
        return found

    def remember(self, **facts: Any) -> None:
        """Note something for the next run.

        Raises:
            AxisorError: it can't be written (``folder_unusable``).
        """
        _write(self._memory, {"v": _VERSION, **self.remembered(), **facts})

    def encryption_key(self) -> str:
        """Return the key of this folder, made at the first call.

        Raises:
            AxisorError: there is a database whose key is gone, or the file is empty (``key_lost``); or it can't be read
                or written (``folder_unusable``).
        """
        with usable(self._key), suppress(FileNotFoundError):
            if key := self._key.read_text(encoding="utf-8").strip():
                return key
        if self.database.exists() or self._key.exists():
            raise AxisorError(
                f"{self._key} is {'empty' if self._key.exists() else 'gone'}, and credentials in the database can't be "
                "read without it: bring it back from a backup, or begin anew with another --dir",
                code="key_lost",
            )
        key = secrets.token_urlsafe(32)
        _replace(self._key, f"{key}\n")
        return key

    def redis_password(self) -> str:
        """Return the password of this folder's private Redis, made at the first call.

        It stays, as its port does: a shell that has read the environment goes on working after the next start.

        Raises:
            AxisorError: it can't be read or written (``folder_unusable``).
        """
        with usable(self._redis_password), suppress(FileNotFoundError):
            if password := self._redis_password.read_text(encoding="utf-8").strip():
                return password
        password = secrets.token_urlsafe(32)
        _replace(self._redis_password, f"{password}\n")
        return password

    @property
    def has_key(self) -> bool:
        """Whether a key was made here.

        Raises:
            AxisorError: that can't be seen (``folder_unusable``).
        """
        with usable(self._key):
            return self._key.exists()

    def write_environment(self, variables: dict[str, str]) -> None:
        """Write the file that a shell reads to use this stack; a key that was made here stays where it is.

        Raises:
            AxisorError: it can't be written (``folder_unusable``).
        """
        shown = {name: shlex.quote(value) for name, value in variables.items()}
        if self.has_key:
            shown["ENCRYPTION_KEY"] = f'"$(cat {shlex.quote(str(self._key))})"'
        _replace(self.environment_file, "".join(f"export {name}={value}\n" for name, value in shown.items()))

    def variables(self) -> dict[str, str]:
        """Return what :meth:`write_environment` wrote: the settings of the last run, or nothing before the first.

        Raises:
            AxisorError: it can't be read (``folder_unusable``).
        """
        with usable(self.environment_file):
            try:
                words = shlex.split(self.environment_file.read_text(encoding="utf-8"))
            except FileNotFoundError:
                return {}
        found = dict(word.split("=", 1) for word in words if word != "export")
        return {**found, "ENCRYPTION_KEY": self.encryption_key()} if self.has_key else found

    # -- who runs it

    def lock(self, *, wait: float, told: Callable[[], None]) -> int:
        """Take the folder for this process and return what holds it: a file descriptor, to be kept open.

        Where a run was killed, its guard still holds the folder until everything of it has ended; that is waited for.

        Args:
            wait: for how many seconds.
            told: called once before waiting.

        Raises:
            AxisorError: another run has it (``already_running``), and the message names its process id; or it can't be
                written (``folder_unusable``).
        """
        with usable(self._lock):
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait
        waiting = False
        while not _flock(descriptor):
            pid = _pid_in(descriptor)
            if pid is None or _lives(pid) or time.monotonic() > deadline:
                os.close(descriptor)
                raise AxisorError(
                    f"a stack runs on {self.path} already: process {pid or 'unknown'}; stop it with: "
                    f"axisor-executor down --dir {self.path}",
                    code="already_running",
                )
            if not waiting:
                told()
                waiting = True
            time.sleep(_POLL_SECONDS)
        with usable(self.path):
            self._running.unlink(missing_ok=True)  # else the last run's parts would pass for this one's
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def holder(self) -> int | None:
        """Return the process id of the run that has the folder; it may have been killed, and its guard be at work.

        Raises:
            AxisorError: that can't be seen (``folder_unusable``).
        """
        with usable(self.path):
            try:
                descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        try:
            return None if _flock(descriptor) else _pid_in(descriptor)
        finally:
            os.close(descriptor)

    def wait_until_free(self, timeout: float) -> bool:
        """Wait until no run has the folder; ``False`` where one still has after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.holder() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def write_running(self, facts: dict[str, Any]) -> None:
        """Note how the run that has the folder stands.

        Raises:
            AxisorError: it can't be written (``folder_unusable``).
        """
        _write(self._running, facts)

    def running(self) -> dict[str, Any]:
        """Return how the run that has the folder stands, nothing before it has noted that.

        What is noted of one that has ended is nobody's.

        Raises:
            AxisorError: it can't be read (``folder_unusable``).
        """
        return _read(self._running) if self.holder() is not None else {}


def fingerprint(text: str) -> str:
    """Return what a URL can be recognised by, and not read from."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AxisorError(f"{path} can't be read: {error}", code="folder_unusable") from None
    return found if isinstance(found, dict) else {}


def _write(path: Path, facts: dict[str, Any]) -> None:
    _replace(path, json.dumps(facts, indent=2) + "\n")


def _replace(path: Path, text: str) -> None:
    """Write a file, for its owner only, so that a reader finds the old one or the new one, whole."""
    new = path.with_name(f"{path.name}.new")
    with usable(path):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
