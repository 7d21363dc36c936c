"""A stack without its parts: what is left of a start that fails, what ends nothing, and its database's errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from axisor_executor import accounts, runtime
from axisor_executor.errors import AxisorError, StorageError
from axisor_executor.runtime import Runtime
from axisor_executor.stack import paper_world, run
from axisor_executor.stack.folder import Mode, StackFolder
from axisor_executor.stack.plan import Wanted, make_plan
from axisor_executor.stack.run import Stack
from axisor_executor.storage import tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

NOBODYS_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting out of the environment but a Redis, so that none is started."""
    for name in list(os.environ):
        if name.startswith("AXISOR_") or name in ("DATABASE_URL", "ENCRYPTION_KEY", "LN_MARKETS_API_URL"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("REDIS_URL", NOBODYS_REDIS)


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder(tmp_path / "data")
    made.make()
    return made


def stack_on(folder: StackFolder, mode: Mode = "live", *, stop: threading.Event | None = None, lock: int = -1) -> Stack:
    return Stack(make_plan(folder, mode, Wanted(port=0)), lock, lambda _: None, stop or threading.Event())


class TestStart:
    @pytest.fixture
    def stack(self, folder: StackFolder) -> Iterator[Stack]:
        """One that is told to stop before its first part."""
        stop = threading.Event()
        stop.set()
        lock = folder.lock(wait=0, told=lambda: None)
        made = stack_on(folder, stop=stop, lock=lock)
        yield made
        made.stop()
        os.close(lock)

    def test_what_is_remembered_is_a_stack(self, stack: Stack, folder: StackFolder) -> None:
        stack.start()
        assert folder.is_stack
        assert folder.remembered()["mode"] == "live"
        assert folder.variables()["REDIS_URL"] == NOBODYS_REDIS

    def test_nothing_is_a_stack_whose_environment_no_command_can_read(self, stack: Stack, folder: StackFolder) -> None:
        """Else the next command would take it for one, without its settings."""
        folder.environment_file.mkdir()
        with pytest.raises(AxisorError, match=folder.environment_file.name) as raised:
            stack.start()
        assert raised.value.code == "folder_unusable"
        assert not folder.is_stack


class TestWhatIsNoReasonToStop:
    def test_a_full_disk(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        stack = stack_on(folder)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AxisorError, match="No space left"):
            folder.write_running({})
        stack._note()

    @pytest.mark.parametrize("problem", ["a log's", "the folder's"])
    def test_logs_that_can_not_be_kept_short(
        self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch, problem: str
    ) -> None:
        if problem == "a log's":
            (folder.logs / "redis.log").symlink_to("redis.log")
        else:
            folder.logs.rmdir()
            folder.logs.touch()
        looks = []

        class Third(threading.Event):
            """Is set at the third look."""

            def wait(self, timeout: float | None = None) -> bool:
                looks.append(timeout)
                return len(looks) == 3

        stack_on(folder, stop=Third()).run()
        assert looks == [run.LOOK_SECONDS] * 3


class TestADatabaseThatFails:
    @pytest.fixture
    def stack(self, folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
        """A paper stack on a database of its user's."""
        url = f"sqlite:///{folder.path / 'theirs.db'}"
        storage = Storage(url)
        migrate(storage, create_monolith_tables=True)
        storage.close()
        monkeypatch.setenv("DATABASE_URL", url)
        made = stack_on(folder, "paper")
        yield made
        made.stop()
        runtime.use(None)  # which a start that failed has left

    def dying(self, *_: Any, **__: Any) -> None:
        raise peewee.OperationalError("disk I/O error")

    @pytest.mark.parametrize(
        ("use", "asked"),
        [(Stack.first_token, (tokens, "listed")), (Stack.has_accounts, (accounts, "listed"))],
        ids=["first_token", "has_accounts"],
    )
    def test_while_it_runs(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, use: Callable[[Stack], object], asked: tuple[Any, str]
    ) -> None:
        stack._runtime = Runtime(stack.plan.settings)
        assert use(stack) is not None
        monkeypatch.setattr(*asked, self.dying)
        with pytest.raises(StorageError, match="the database failed: disk I/O error"):
            use(stack)

    @pytest.mark.parametrize(
        "asked", [(accounts, "listed"), (paper_world, "write_rows")], ids=["whose it is", "the first users"]
    )
    def test_while_it_starts(self, stack: Stack, monkeypatch: pytest.MonkeyPatch, asked: tuple[Any, str]) -> None:
        monkeypatch.setattr(paper_world, "open_on_exchange", lambda *_: None)
        monkeypatch.setattr(*asked, self.dying)
        with pytest.raises(StorageError, match="the database failed: disk I/O error"):
            stack._prepared()
        runtime.current().close()
