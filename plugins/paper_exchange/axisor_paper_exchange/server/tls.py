"""Speaking https, for clients that insist on it."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["TlsError", "key_beside", "tls_context"]


class TlsError(Exception):
    """The certificate can't be used or made; the message says why."""


def key_beside(certificate: Path) -> Path:
    """Return where the key of a certificate is if nothing else is said."""
    return certificate.with_suffix(".key")


def tls_context(certificate: Path, key: Path, host: str) -> ssl.SSLContext:
    """Return what speaks https with a certificate and its key (PEM files), made for `host` if neither is there.

    Raises `TlsError`.
    """
    try:
        if not certificate.exists() and not key.exists():
            _make(certificate, key, host)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # Without a password given, one that the key needs would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise TlsError(f"{certificate} and {key} are no certificate and its key") from error
    except OSError as error:
        raise TlsError(f"can't use {certificate} and {key}: {error.strerror or error}") from error
    return context


def _make(certificate: Path, key: Path, host: str) -> None:
    try:
        from axisor_paper_exchange.server.self_signed import make_certificate
    except ImportError as error:
        raise TlsError(
            f"{certificate} is not there, and to make one takes: pip install 'axisor-paper-exchange[tls]'"
        ) from error
    make_certificate(certificate, key, host)
