"""One run's turn with a plugin: held back while the plugin fails again and again, and heard how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from axisor_executor.automation import Lane
from axisor_executor.errors import PluginError
from axisor_executor.limits.breaker import Breakers, PluginRef


@contextmanager
def turn_of(breakers: Breakers, plugin: PluginRef, lane: Lane) -> Iterator[None]:
    """Let a plugin read its config and decide, all of it in this thread.

    Only a :class:`~axisor_executor.errors.PluginError` counts against it, and only what comes to its end for it: an
    error that it raises on purpose, or that the account or the exchange is the cause of, shows nothing.

    Raises:
        CircuitOpen: the plugin is held back (``plugin_circuit_open``).
    """
    breakers.check_plugin(plugin, lane)
    good: bool | None = None
    failure: PluginError | None = None
    try:
        yield
        good = True
    except PluginError as error:
        good, failure = False, error
        raise
    finally:
        breakers.report_plugin(plugin, good, failure)
