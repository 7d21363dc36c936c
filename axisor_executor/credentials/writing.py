"""In which format credentials are written where nobody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axisor_executor.credentials.ciphers import Format
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import owns_monolith_tables

if TYPE_CHECKING:
    from axisor_executor.settings import Settings


def format_to_write(settings: Settings, storage: Storage) -> Format:
    """Return ``AXISOR_CREDENTIALS_FORMAT``; not set: what those can read who use the database.

    The monolith reads its own format only; in a database whose tables we made, nobody else reads at all.
    """
    if settings.credentials_format is not None:
        return settings.credentials_format
    ours = "axisor_schema" in storage.tables and owns_monolith_tables(storage)
    return "sealed" if ours else "monolith"
