"""One run's turn with a plugin: held back while the plugin fails again and again, and heard how it ended."""

from __future__ import annotations

from axisor_executor.automation import Lane
from axisor_executor.errors import PluginError
from axisor_executor.limits.breaker import Breakers, PluginRef


class turn_of:  # noqa: N801  it reads as a context manager's name
    """Let a plugin read its config and decide, all of it in this thread.

    Only a :class:`~axisor_executor.errors.PluginError` counts against it, and only what comes to its end for it: an
    error that it raises on purpose, or that the account or the exchange is the cause of, shows nothing.

    Raises:
        CircuitOpen: the plugin is held back (``plugin_circuit_open``).
    """

    def __init__(self, breakers: Breakers, plugin: PluginRef, lane: Lane) -> None:
        self._breakers = breakers
        self._plugin = plugin
        self._lane: Lane = lane

    def __enter__(self) -> None:
        self._breakers.check_plugin(self._plugin, self._lane)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        failure = error if isinstance(error, PluginError) else None
        good = True if error is None else False if failure else None
        self._breakers.report_plugin(self._plugin, good, failure)
