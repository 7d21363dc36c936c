"""The accounts' credentials: read, decrypted, cached and never shown.

:class:`Vault` is the way in. ``ciphers`` knows the two formats, ``keyring`` the keys, ``row`` the shapes that stand in
the database, ``cache`` what is kept, ``secure`` what is handed out.
"""

from __future__ import annotations

from axisor_executor.credentials.cache import CredentialCache
from axisor_executor.credentials.ciphers import Field, Format, format_of
from axisor_executor.credentials.keyring import KeyRing
from axisor_executor.credentials.row import RowJson, StoredCredentials, write_credentials
from axisor_executor.credentials.secure import SecureCredentials
from axisor_executor.credentials.vault import OpenedCredentials, Vault

__all__ = [
    # The way in
    "Vault",
    "OpenedCredentials",
    "SecureCredentials",
    # Rows
    "StoredCredentials",
    "RowJson",
    "write_credentials",
    # Keys and formats
    "KeyRing",
    "Format",
    "Field",
    "format_of",
    # What is kept
    "CredentialCache",
]
