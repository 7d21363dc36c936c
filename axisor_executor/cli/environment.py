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

    Raises:
        SettingsError: they can't be used.
    """
    from axisor_executor.observe.logs import configure, say
    from axisor_executor.settings import load_settings, settings_warnings

    settings = load_settings()
    level = settings.log_level if "AXISOR_LOG_LEVEL" in os.environ else least
    configure(settings.log_format, level, levels=settings.log_levels, debug_runs=settings.log_debug_runs)
    for warning in settings_warnings(os.environ):
        say.warning(warning)
    return settings


PATIENCE_SECONDS = 10.0


@contextmanager
def executor(*, patient: bool = False) -> Iterator[Runtime]:
    """Make the parts of this process for the block; the library's functions use the same.

    Where a person waits for what the exchange says, ``patient`` lets calls wait for room in the rate limit: there is
    no job that could be put aside.

    Raises:
        SettingsError: the settings can't be used.
    """
    from axisor_executor import runtime

    settings = read_settings()
    parts = runtime.Runtime(
        settings.model_copy(update={"rate_wait_seconds": PATIENCE_SECONDS}) if patient else settings
    )
    runtime.use(parts)
    try:
        yield parts
    finally:
        runtime.use(None)
        parts.close()


@contextmanager
def database(settings: Settings) -> Iterator[Storage]:
    """Open the database as it is: nothing is migrated.

    Raises:
        SettingsError: DATABASE_URL is not set.
        StorageError: it can't be reached.
    """
    from axisor_executor.storage.connection import Storage

    storage = Storage(settings.require_database(), pool=settings.db_pool)
    try:
        with storage.connection():
            yield storage
    finally:
        storage.close()
