"""The executor's parts for one command, made from the environment and taken down behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axisor_executor.runtime import Runtime
    from axisor_executor.settings import Settings
    from axisor_executor.storage.connection import Storage


def read_settings(*, least: str = "WARNING") -> Settings:
    """Return the settings and set the log up: on standard error, from ``least`` on unless AXISOR_LOG_LEVEL is set.

    What is to be warned of in the settings themselves is said also by a command that is silent otherwise.

    Raises:
        SettingsError: they can't be used.
    """
    from axisor_executor.observe.logs import configure, say
    from axisor_executor.settings import load_settings, settings_warnings

    settings = load_settings()
    own = settings.log_level if os.environ.get("AXISOR_LOG_LEVEL") else None
    configure(settings.log_format, own or "WARNING", levels=settings.log_levels)
    for warning in settings_warnings(os.environ):
        say.warning(warning)
    configure(settings.log_format, own or least, levels=settings.log_levels, debug_runs=settings.log_debug_runs)
    return settings


PATIENCE_SECONDS = 10.0


@contextmanager
def executor(*, patient: bool = False) -> Iterator[Runtime]:
    """Make the parts of this process for the block; the library's functions use the same.

    Where a person waits for what the exchange says, ``patient`` lets calls wait for room in the rate limit: there is
    no job that could be put aside.

    Raises:
        SettingsError: the settings can't be used.
        StorageError: the database's file is not there, or it fails in the block, or refuses what that asks.
    """
    import peewee

    from axisor_executor import runtime

    settings = read_settings()
    if settings.database_url:
        _file_is_there(settings.database_url)
    parts = runtime.Runtime(
        settings.model_copy(update={"rate_wait_seconds": PATIENCE_SECONDS}) if patient else settings
    )
    runtime.use(parts)
    try:
        yield parts
    except peewee.PeeweeException as error:  # of the parts' database: there is no other
        raise parts.storage.explanation(error) from None
    finally:
        runtime.use(None)
        parts.close()


@contextmanager
def database(settings: Settings, *, may_be_new: bool = False) -> Iterator[Storage]:
    """Open the database as it is: nothing is migrated, and a file that is not there is made only if it ``may_be_new``.

    Raises:
        SettingsError: DATABASE_URL is not set.
        StorageError: it can't be reached, fails in the block, or refuses what that asks.
    """
    from axisor_executor.storage.connection import Storage

    if not may_be_new:
        _file_is_there(settings.require_database())
    storage = Storage(settings.require_database(), pool=settings.db_pool)
    try:
        with storage.explained(), storage.connection():
            yield storage
    finally:
        storage.close()


def _file_is_there(url: str) -> None:
    """Raise where the file of an SQLite database is not there: it would be made, empty, wherever a slip says."""
    from axisor_executor.errors import StorageError

    scheme, _, file = url.partition(":///")
    if scheme == "sqlite" and not os.path.exists(file):  # noqa: PTH110  as SQLite takes the path
        raise StorageError(f"there is no file {file}; run: axisor-executor db init", code="tables_missing")
