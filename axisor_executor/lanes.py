"""The lanes: one queue each, with an actor of its own."""

from __future__ import annotations

from axisor_executor.automation import Lane

ACTORS: dict[Lane, str] = {"protect": "run_protect", "default": "run_default"}
"""The actor of each lane; its queue has the lane's name."""
