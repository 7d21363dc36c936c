"""An open circuit as one process knows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from axisor_executor.automation import Lane
from axisor_executor.limits.board import Opening


@dataclass(slots=True)
class OpenCircuit:
    """What a process knows of it. Times are monotonic; ``prober`` is a thread's id.

    ``ask_at``: until then nobody here asks for the right to probe. ``free_at``: when a lane may probe, as far as is
    known; that counts only while Redis is away.
    """

    opening: Opening
    ask_at: dict[Lane, float]
    free_at: dict[Lane, float]
    is_shared: bool = False
    prober: int | None = None
    probing_until: float = 0.0

    def wait_until(self, free_at: dict[Lane, float], ask_by: float = math.inf) -> None:
        """Let nobody probe before these times, and nobody here ask for it before them or ``ask_by``."""
        self.free_at = free_at
        self.ask_at = {lane: min(moment, ask_by) for lane, moment in free_at.items()}
        self.prober = None
