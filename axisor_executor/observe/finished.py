"""What observers are told when a run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finished:
    """An execution that is over. ``result`` is what :func:`axisor_executor.get_result` returns.

    ``duration_seconds`` is the time of its last run, without waiting.
    """

    execution_id: str
    user_id: str
    automation_id: str
    automation_type: str | None
    account_id: str | None
    account_name: str | None
    status: str
    result: Mapping[str, Any]
    duration_seconds: float
