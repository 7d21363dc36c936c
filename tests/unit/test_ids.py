"""Ids tell the order in which they were made."""

from __future__ import annotations

import time
import uuid

import pytest

from axisor_executor.ids import uuid7

MADE_AT = 1_795_000_000_123_000_000
"""A millisecond, in nanoseconds since 1970."""


@pytest.mark.parametrize("rest", [0, 1, 499_999, 500_000, 999_999])
def test_it_is_a_uuid_of_version_7_and_says_when_it_was_made(monkeypatch: pytest.MonkeyPatch, rest: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: MADE_AT + rest)
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == MADE_AT // 1_000_000
    assert (made.int >> 64 & 0xFFF) / 4096 == pytest.approx(rest / 1_000_000, abs=1 / 4096)


def test_within_one_millisecond_the_older_is_the_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for microsecond in range(1000):
        monkeypatch.setattr(time, "time_ns", lambda now=MADE_AT + microsecond * 1000: now)
        made.append(uuid7())
    assert made == sorted(made)


def test_no_two_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: MADE_AT)
    assert len({uuid7() for _ in range(10_000)}) == 10_000
