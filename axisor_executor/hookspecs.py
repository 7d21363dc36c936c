"""The hook specifications of the ``axisor_executor`` project: the only way in for plugins.

Implement a hook with :data:`hookimpl` in a module that an entry point of group ``axisor_executor`` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from axisor_executor.automation import AutomationHandler
    from axisor_executor.exchange.base import ClientFactory
    from axisor_executor.exchange.simulation import SimulationFactory
    from axisor_executor.observe.alerts import Alert
    from axisor_executor.observe.finished import Finished

PROJECT = "axisor_executor"

HOOK_API_VERSION = (1, 0)
"""Major and minor version of what plugins are built on: the hooks, and all that they are given and give back.

The minor one rises when something is added, the major one when plugins have to be changed. A plugin's module says for
which it was built, ``axisor_hook_api = "1.0"``; one that says nothing counts as built for 1.0.
"""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as an implementation of one of the hooks below."""


@hookspec
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation types of this plugin: call ``register(handler)`` once for each.

    Fires once, when a worker or command loads its plugins. An exception, or a handler that the core refuses, makes this
    plugin fail to load; the others go on. Two plugins for one type: a start-up error naming both. The return value is
    ignored.

    Since 0.1.
    """


@hookspec
def axisor_register_exchanges(register: Callable[[str, ClientFactory], None]) -> None:
    """Register client factories for exchange slugs: call ``register(slug, factory)``.

    The factory is called for each run with :class:`~axisor_executor.exchange.base.ExchangeOptions` and the
    account's credentials, so it must be cheap. ``lnmarkets`` is the core's own and can't be replaced. Fires once,
    after :func:`axisor_register_automations`. The return value is ignored.

    Since 0.1.
    """


@hookspec
def axisor_register_simulations(register: Callable[[str, SimulationFactory], None]) -> None:
    """Register simulated exchanges, for backtests and plugins' tests: call ``register(slug, factory)``.

    The factory is called with :class:`~axisor_executor.exchange.simulation.SimulationOptions` and returns a new
    :class:`~axisor_executor.exchange.simulation.Simulation`. Fires once, after :func:`axisor_register_exchanges`; what
    is slow to import belongs into the factory. Two plugins for one slug: a start-up error naming both. The return value
    is ignored.

    Since 0.1.
    """


@hookspec
def axisor_execution_finished(finished: Finished) -> None:
    """Observe a run that has ended, after its result was committed.

    Called soon after, in a thread of the plugin's own: an exception is logged with the plugin's name, and neither it
    nor a long call changes or delays anything. With 1000 calls waiting, further ones are dropped, with an error in the
    log. The return value is ignored.

    Since 0.1.
    """


@hookspec
def axisor_alert(alert: Alert) -> Mapping[str, str | None] | None:
    """Observe an alert (inactive account, credential failure, uncertain outcome, half-done reduce, ...).

    Called as :func:`axisor_execution_finished`, but that critical alerts go first and have a line of their own, for
    10 000. ``axisor-executor alerts test`` shows what is returned: for each target what went wrong, in words without
    a secret, ``None`` for nothing. Otherwise it is ignored.

    Since 0.1.
    """
