"""A runtime of its own: a database file of its own, no Redis, no environment, one exchange, one handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TypeVar

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from axisor_executor.automation import AutomationHandler, Lane
from axisor_executor.broker import Queue
from axisor_executor.errors import PluginError
from axisor_executor.exchange.base import ExchangeClient
from axisor_executor.executor import Executor
from axisor_executor.hookspecs import hookimpl
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.alerts import Alert
from axisor_executor.plugins import Found, Registry, load
from axisor_executor.runtime import Runtime, part
from axisor_executor.settings import Settings
from axisor_executor.settings_values import RetryPolicy
from axisor_executor.shared import Shared
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import MODELS
from axisor_executor.storage.schema import migrate
from axisor_executor.testing.cases import deciders

T = TypeVar("T")

SLUG = "simulated"
_NO_LIMIT = 1_000.0
_ONE_TRY = RetryPolicy(tries=1, first_delay_seconds=1, limit_seconds=1, max_age_seconds=300)


class OwnSettings(Settings):
    """Settings that read no environment: a test must not depend on the machine's."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take keyword arguments alone."""
        del settings_cls
        return (init_settings,)


class Nobody(Shared):
    """A Redis that is away: nothing is shared with other processes, and nothing is looked for."""

    def __init__(self) -> None:
        super().__init__("redis://nobody.invalid", "alone")

    def ask(self, call: Callable[[Any], T]) -> T | None:
        """Return what a Redis that is away answers."""
        del call
        return None


class NoQueue(Queue):
    """A queue without workers."""

    def __init__(self) -> None:
        pass

    def wake(self, execution_id: str, lane: Lane) -> None:
        """Wake nobody."""

    def close(self) -> None:
        """Close nothing."""


class KeptAlerts(AlertDesk):
    """Keeps alerts instead of telling them."""

    def __init__(self) -> None:
        self.kept: list[Alert] = []

    def take(self, alert: Alert) -> None:
        """Keep an alert."""
        self.kept.append(alert)

    def flush(self, seconds: float) -> bool:
        """Everything was kept at once."""
        del seconds
        return True


class Alone(Runtime):
    """The parts of a process that nobody else shares anything with."""

    @part
    def shared(self) -> Shared:
        """No Redis."""
        return Nobody()

    @part
    def queue(self) -> Queue:
        """No queue."""
        return NoQueue()

    @part
    def alerts(self) -> KeptAlerts:
        """The alerts of the runs."""
        return KeptAlerts()

    @part
    def executor(self) -> Executor:
        """The real one, whose thread for decisions is used again by the next."""
        executor = Executor(
            self.settings, self.storage, self.registry, self.opener, self.presence, self.intake.wake, self.alerts
        )
        executor.deciders = deciders
        return executor


@contextmanager
def alone(handler: AutomationHandler[Any], client: ExchangeClient) -> Iterator[Alone]:
    """Give a runtime for one handler, whose accounts of the exchange :data:`SLUG` all have this client.

    Raises:
        PluginError: the core refuses the handler.
    """
    before = [(model, model._meta.database) for model in MODELS]
    with TemporaryDirectory(prefix="axisor-testing-") as folder:
        storage = Storage(f"sqlite:///{Path(folder) / 'ledger.db'}")
        try:
            migrate(storage, create_monolith_tables=True)
            settings = OwnSettings(
                encryption_key="of a test, for nothing else",
                private_calls_per_second=_NO_LIMIT,
                public_calls_per_second=_NO_LIMIT,
                rate_processes=1,
                retries={handler.type: _ONE_TRY},
            )
            parts = Alone(settings, registry=_registry(handler, client), storage=storage)
            try:
                yield parts
            finally:
                parts.close()
        finally:
            storage.close()
            for model, database in before:
                model.bind(database, bind_refs=False, bind_backrefs=False)


def _registry(handler: AutomationHandler[Any], client: ExchangeClient) -> Registry:
    @hookimpl
    def axisor_register_automations(register: Any) -> None:
        register(handler)

    @hookimpl
    def axisor_register_exchanges(register: Any) -> None:
        register(SLUG, lambda *_: client)

    module = SimpleNamespace(
        axisor_register_automations=axisor_register_automations, axisor_register_exchanges=axisor_register_exchanges
    )
    registry = load([Found(handler.type, type(handler).__module__, "under test", lambda: module)])
    if registry.plugins[0].state != "loaded":
        raise PluginError(f"the core refuses the handler: {registry.plugins[0].reason}")
    return registry
