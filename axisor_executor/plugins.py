"""Plugins: discover -> load -> check -> registry. One broken plugin never takes another down.

Discovery is our own rather than pluggy's: that one stops at the first entry point that fails to import, and skips
the second of a name without a word.
"""

from __future__ import annotations

import decimal
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pluggy

from axisor_executor import hook_api, hookspecs
from axisor_executor.automation import AutomationConfig, AutomationHandler
from axisor_executor.errors import PluginError, UnknownAutomationType
from axisor_executor.exchange.base import ClientFactory
from axisor_executor.exchange.simulation import SimulationFactory
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.observe.logs import message_of, say
from axisor_executor.observe.telling import Teller

GROUP = hookspecs.PROJECT
PREFIX = "axisor_"
State = Literal["loaded", "disabled", "failed"]

_SPECIFIED = frozenset(name for name in vars(hookspecs) if name.startswith(PREFIX))
_SPECIFIED_NAMES = ", ".join(sorted(_SPECIFIED))
_RUN_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point that was discovered: nothing of it has been imported. ``module`` is where its code is."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    module: str = ""

    @property
    def display_name(self) -> str:
        """``distribution version [entry]``, as every error about it starts."""
        return f"{self.distribution} {self.version} [{self.name}]"


@dataclass(frozen=True, slots=True)
class Plugin:
    """What became of a discovered plugin.

    ``reason`` says why it is not loaded, ``hook_api`` for which hook API it says it was built.
    """

    found: Found
    state: State
    reason: str | None = None
    types: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    simulations: tuple[str, ...] = ()
    hook_api: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A handler, and the plugin that it came from."""

    handler: AutomationHandler[Any]
    found: Found


@dataclass(frozen=True)
class Registry:
    """Everything that plugins contribute, fixed once they are loaded."""

    plugins: tuple[Plugin, ...]
    handlers: Mapping[str, Registered]
    exchanges: Mapping[str, ClientFactory]
    simulations: Mapping[str, SimulationFactory]
    manager: pluggy.PluginManager
    _tellers: dict[str, Teller] = field(default_factory=dict, repr=False, compare=False)

    def handler(self, automation_type: str) -> Registered:
        """Return the handler of a type.

        Raises:
            UnknownAutomationType: no loaded plugin has it; the message names the types that are there, and the
                plugins that failed to load.
        """
        found = self.handlers.get(automation_type)
        if found is not None:
            return found
        failed = [plugin.found.display_name for plugin in self.plugins if plugin.state == "failed"]
        installed = ", ".join(sorted(self.handlers)) or "none"
        raise UnknownAutomationType(
            f"Unsupported automation type: {automation_type}; installed: {installed}"
            + (f"; failed to load: {', '.join(failed)}" if failed else "")
        )

    def tell_finished(self, finished: Finished) -> None:
        """Have every ``axisor_execution_finished`` called, without waiting for it."""
        self._tell("axisor_execution_finished", finished=finished)

    def tell_alert(self, alert: Alert) -> None:
        """Have every ``axisor_alert`` called, without waiting for it."""
        self._tell("axisor_alert", urgent=alert.severity == "critical", alert=alert)

    def alert_observers(self) -> list[tuple[str, Callable[[Alert], object]]]:
        """Return every ``axisor_alert`` with its plugin's name, to be called directly."""
        return [
            (one.plugin_name, partial(_call_with, one.function, one.argnames))
            for one in self.manager.hook.axisor_alert.get_hookimpls()
        ]

    def flush(self, seconds: float = 5.0) -> None:
        """Wait until observers have heard what they were told so far, or the time is over."""
        for teller in self._tellers.values():
            teller.flush(seconds)

    def _tell(self, hook: str, *, urgent: bool = False, **facts: Any) -> None:
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            teller = self._tellers.setdefault(name, Teller(name))
            chosen = {argument: facts[argument] for argument in implementation.argnames}
            teller.tell(hook, partial(implementation.function, **chosen), urgent=urgent)


def _call_with(function: Callable[..., object], names: Iterable[str], alert: Alert) -> object:
    return function(**dict.fromkeys(names, alert))


def discover() -> list[Found]:
    """Return the installed plugins' entry points, sorted, without importing any."""
    points = importlib.metadata.entry_points(group=GROUP)
    found = [
        Found(
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "0",
            load=point.load,
            module=re.split(r"[^\w.]", point.value, maxsplit=1)[0],  # `point.module` raises for what names none
        )
        for point in points
    ]
    return sorted(found, key=lambda one: (one.distribution, one.name))


def load(found: Iterable[Found], *, disabled: Iterable[str] = (), required: Iterable[str] = ()) -> Registry:
    """Import, check and register plugins.

    Args:
        found: from :func:`discover`.
        disabled: entry or distribution names to leave alone.
        required: entry or distribution names that must load.

    Raises:
        PluginError: two plugins have the same automation type, exchange or simulation (naming both), or a required
            one is missing or failed.
    """
    loader = _Loader(frozenset(disabled))
    with decimal.localcontext():  # what a plugin sets at import would hold for all that this thread computes
        plugins = [loader.load(one) for one in found]
    registry = Registry(tuple(plugins), loader.handlers, loader.exchanges, loader.simulations, loader.manager)
    _check_required(plugins, required)
    return registry


class _Loader:
    def __init__(self, disabled: frozenset[str]) -> None:
        self.disabled = disabled
        self.manager = _manager()
        self.handlers: dict[str, Registered] = {}
        self.exchanges: dict[str, ClientFactory] = {}
        self.simulations: dict[str, SimulationFactory] = {}
        self._exchange_of: dict[str, Found] = {}
        self._simulation_of: dict[str, Found] = {}

    def load(self, found: Found) -> Plugin:
        if self.disabled & {found.name, found.distribution}:
            return Plugin(found, "disabled", "AXISOR_DISABLED_PLUGINS")
        if self.manager.has_plugin(found.display_name):
            say.error(f"Plugin {found.display_name} failed to load: another one is called the same")
            return Plugin(found, "failed", "its distribution has another entry point of this name")
        declared: str | None = None
        try:
            module = found.load()
            declared = hook_api.declared(module)
            hook_api.check(module, found.distribution, found.version)
            _check_names(module)
            self.manager.register(module, name=found.display_name)
            self.manager.check_pending()
            handlers = self._collect_handlers(found)
            exchanges: dict[str, ClientFactory] = self._collect_by_slug("exchange", found)
            simulations: dict[str, SimulationFactory] = self._collect_by_slug("simulation", found)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  whatever a plugin does at import stays its own
            if self.manager.has_plugin(found.display_name):
                self.manager.unregister(name=found.display_name)
            reason = f"{type(error).__name__}: {message_of(error)}"
            say.error(f"Plugin {found.display_name} failed to load: {reason}")
            return Plugin(found, "failed", reason, hook_api=declared)
        self._keep(found, handlers, exchanges)
        self._keep_simulations(found, simulations)
        return Plugin(
            found,
            "loaded",
            types=tuple(sorted(handlers)),
            exchanges=tuple(sorted(exchanges)),
            simulations=tuple(sorted(simulations)),
            hook_api=declared,
        )

    def _collect_handlers(self, found: Found) -> dict[str, AutomationHandler[Any]]:
        collected: dict[str, AutomationHandler[Any]] = {}

        def register(handler: AutomationHandler[Any]) -> None:
            _check_handler(handler)
            if handler.type in collected:
                raise PluginError(f"registers automation type {handler.type!r} twice")
            collected[handler.type] = handler

        self._call("axisor_register_automations", found, register)
        return collected

    def _collect_by_slug(self, what: Literal["exchange", "simulation"], found: Found) -> dict[str, Any]:
        collected: dict[str, Any] = {}

        def register(slug: str, factory: Any) -> None:
            if not isinstance(slug, str) or not slug or not callable(factory):
                article = "an" if what == "exchange" else "a"
                raise PluginError(f"{article} {what} needs a slug and a factory, got {slug!r} and {factory!r}")
            if (what, slug) == ("exchange", "lnmarkets"):
                raise PluginError("exchange 'lnmarkets' is the core's own")
            if slug in collected:
                raise PluginError(f"registers {what} {slug!r} twice")
            collected[slug] = factory

        self._call(f"axisor_register_{what}s", found, register)
        return collected

    def _call(self, hook: str, found: Found, register: Callable[..., None]) -> None:
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == found.display_name:
                implementation.function(*([register] if implementation.argnames else []))

    def _keep(
        self, found: Found, handlers: Mapping[str, AutomationHandler[Any]], exchanges: Mapping[str, ClientFactory]
    ) -> None:
        for automation_type, handler in handlers.items():
            other = self.handlers.get(automation_type)
            if other is not None:
                raise _twice(f"automation type {automation_type!r}", other.found, found)
            self.handlers[automation_type] = Registered(handler, found)
        for slug, factory in exchanges.items():
            if slug in self._exchange_of:
                raise _twice(f"exchange {slug!r}", self._exchange_of[slug], found)
            self._exchange_of[slug] = found
            self.exchanges[slug] = factory

    def _keep_simulations(self, found: Found, simulations: Mapping[str, SimulationFactory]) -> None:
        for slug, factory in simulations.items():
            if slug in self._simulation_of:
                raise _twice(f"simulation {slug!r}", self._simulation_of[slug], found)
            self._simulation_of[slug] = found
            self.simulations[slug] = factory


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _twice(what: str, first: Found, second: Found) -> PluginError:
    return PluginError(
        f"{what} is registered by two plugins: {first.display_name} and {second.display_name}; "
        "uninstall one or name it in AXISOR_DISABLED_PLUGINS",
        code="plugin_conflict",
    )


def _check_names(module: Any) -> None:
    """Refuse hooks that would be passed over in silence, or of which nothing would run."""
    implemented = False
    for name, member in inspect.getmembers(module, inspect.isroutine):
        marker = getattr(member, f"{hookspecs.PROJECT}_impl", None) or {}
        implemented = implemented or bool(marker)
        if marker.get("wrapper") or marker.get("hookwrapper"):
            raise PluginError(f"{name} is a wrapper: hooks are called one by one, so there is nothing to wrap")
        if marker and any(later(member) for later in _RUN_LATER):
            raise PluginError(f"{name} is async or has a yield: a hook is a plain function, or nothing of it would run")
        if marker and inspect.isclass(module) and inspect.isfunction(inspect.getattr_static(module, name)):
            raise PluginError(f"{name} is a method of a class: the entry point must name a module or an instance")
        if not name.startswith(PREFIX):
            continue
        if name not in _SPECIFIED:
            raise PluginError(f"{name} is no hook of axisor_executor; there are: {_SPECIFIED_NAMES}")
        if not hasattr(member, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(f"{name} lacks the @hookimpl marker, so it would never be called")
    if not implemented:
        raise PluginError(f"what its entry point names implements no hook; there are: {_SPECIFIED_NAMES}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_MUST_BE: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "type": ("a text", _is_text),
    "title": ("a text", _is_text),
    "actions": ("a mapping of names to lanes", lambda given: isinstance(given, Mapping) and all(map(_is_text, given))),
    "entries": (
        "a set of actions' names",  # which a text is not, though it is a collection
        lambda given: isinstance(given, Collection) and not _is_text(given) and all(map(_is_text, given)),
    ),
    "collapses": ("True or False", lambda given: isinstance(given, bool)),
    "config_model": (
        "a subclass of AutomationConfig",
        lambda given: isinstance(given, type) and issubclass(given, AutomationConfig),
    ),
    "config_version": ("a whole number from 1 on", lambda given: type(given) is int and given >= 1),
}


def _check_handler(handler: Any) -> None:
    if not isinstance(handler, AutomationHandler):
        raise PluginError(f"register() takes an instance of AutomationHandler, got {handler!r}")
    named = type(handler).__name__
    for name in ("type", "title", "actions", "config_model"):
        if not getattr(handler, name, None):
            raise PluginError(f"{named} must set {name}")
    for name, (allowed, fits) in _MUST_BE.items():
        given = getattr(handler, name)
        if not fits(given):
            raise PluginError(f"{named}.{name} must be {allowed}, got {given!r:.100}")
    for action, lane in handler.actions.items():
        if lane not in ("protect", "default"):
            raise PluginError(f"{named}.actions[{action!r}]: lane must be protect or default")
    unknown = sorted(set(handler.entries) - set(handler.actions))
    if unknown:
        there = ", ".join(sorted(handler.actions))
        raise PluginError(f"{named}.entries has {unknown}, which are none of its actions: {there}")


def _check_required(plugins: Iterable[Plugin], required: Iterable[str]) -> None:
    plugins = list(plugins)
    for name in required:
        matches = [plugin for plugin in plugins if name in (plugin.found.name, plugin.found.distribution)]
        if not any(plugin.state == "loaded" for plugin in matches):
            reason = matches[0].reason if matches else "not installed"
            raise PluginError(f"required plugin {name} is not loaded: {reason}", code="plugin_required")
