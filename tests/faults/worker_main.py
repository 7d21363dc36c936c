"""The broker module of a storm's workers: the real actors, one more plugin, and obedience at the marked points."""

from __future__ import annotations

from axisor_executor import runtime
from axisor_executor.actors import broker
from axisor_executor.plugins import discover, load
from axisor_executor.run import points
from tests.faults import desk, orders
from tests.harness.world import plugin

__all__ = ["broker"]

runtime.use(runtime.Runtime(registry=load([*discover(), plugin("desk", desk)])))
if (_found := orders.found()) is not None:
    points.listeners.append(_found.reached)
