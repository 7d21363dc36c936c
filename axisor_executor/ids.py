"""Time-ordered ids (UUIDv7, RFC 9562): rows that are written together lie together in an index."""

from __future__ import annotations

import secrets
import time
import uuid

_NS = 1_000_000  # nanoseconds in a millisecond


def uuid7() -> str:
    """Return a new UUIDv7 as text: 48 bits of milliseconds, 12 of their fraction, then randomness.

    The fraction (RFC 9562, 6.2, method 3) keeps the order of what was taken within one millisecond: an account's line
    is served by it.
    """
    milliseconds, rest = divmod(time.time_ns(), _NS)
    fraction = rest * 4096 // _NS
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
