"""``axisor-executor demo``: every action of every type through the real path, on this machine, and checked."""

from __future__ import annotations

from axisor_executor.demo.play import play

__all__ = ["play"]
