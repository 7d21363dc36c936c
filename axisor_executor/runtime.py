"""Everything that a process needs to take and carry out jobs, built once from the settings."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from axisor_executor.broker import Queue
from axisor_executor.credentials import Vault
from axisor_executor.errors import SettingsError
from axisor_executor.executor import Executor
from axisor_executor.intake import Intake
from axisor_executor.limits.breaker import Breakers
from axisor_executor.limits.budget import Budget
from axisor_executor.observe import tracing
from axisor_executor.observe.alert_desk import AlertDesk
from axisor_executor.observe.counting import counts
from axisor_executor.observe.watch import Watch
from axisor_executor.plugins import Registry, discover, load
from axisor_executor.recovery import Recovery
from axisor_executor.run.acting import Accounts
from axisor_executor.settings import Settings, load_settings
from axisor_executor.shared import Shared
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.counts import Flusher
from axisor_executor.storage.schema import migrate
from axisor_executor.workers import Presence

T_co = TypeVar("T_co", covariant=True)


class part(Generic[T_co]):  # noqa: N801  as `property`
    """A part of a runtime, made when it is first used; other threads that want it meanwhile wait.

    From Python 3.12 on, ``functools.cached_property`` lets each of them make one. A part has others made: they share a
    lock, which its thread may take again.
    """

    def __init__(self, make: Callable[[Any], T_co]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, runtime: Runtime, owner: type[Runtime]) -> T_co:
        name = self._make.__name__
        with runtime._lock:
            made = vars(runtime)  # where it is found from now on, without coming here
            if name not in made:
                made[name] = self._make(runtime)
            found: T_co = made[name]
            return found


class Runtime:
    """A process's parts, each made when it is first used."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        registry: Registry | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        if self.settings.tracing:
            tracing.start()
        self._registry = registry
        self._storage = storage
        self._lock = threading.RLock()

    @part
    def storage(self) -> Storage:
        """The database, with our tables brought up to date.

        Raises:
            SettingsError: DATABASE_URL is not set.
            StorageError: it can't be reached, or the monolith's tables are not in it.
        """
        storage = self._storage or Storage(self.settings.require_database(), pool=self.settings.db_pool)
        try:
            migrate(storage)
        except BaseException:
            storage.close()  # nobody else knows of it yet
            raise
        return storage

    @part
    def registry(self) -> Registry:
        """The plugins."""
        if self._registry is not None:
            return self._registry
        return load(discover(), disabled=self.settings.disabled_plugins, required=self.settings.required_plugins)

    @part
    def queue(self) -> Queue:
        """The queue."""
        return Queue(self.settings)

    @part
    def vault(self) -> Vault:
        """The credentials."""
        return Vault.from_settings(self.settings)

    @part
    def opener(self) -> Accounts:
        """Opens accounts."""
        return Accounts(
            self.settings,
            self.storage,
            self.registry,
            self.vault,
            shared=self.shared,
            budget=self.budget,
            breakers=self.breakers,
        )

    @part
    def shared(self) -> Shared:
        """What the processes share in Redis besides the queue."""
        return Shared(self.settings.redis_url, self.settings.queue_prefix)

    @part
    def budget(self) -> Budget:
        """The rates at which the exchanges may be called."""
        return Budget(self.shared, self.settings)

    @part
    def breakers(self) -> Breakers:
        """What holds calls back while an exchange is away or refuses an account's keys."""
        return Breakers(self.shared, self.settings, self.alerts.take)

    @part
    def alerts(self) -> AlertDesk:
        """Takes alerts, and tells the observers."""
        return AlertDesk(self.shared, self.registry.tell_alert, cooldown_seconds=self.settings.alert_cooldown_seconds)

    @part
    def presence(self) -> Presence:
        """This process's sign of life."""
        return Presence(self.storage, lease_seconds=self.settings.lease_seconds, counters=self._counters)

    def _counters(self) -> dict[str, int]:
        cache = self.vault.cache
        return {"cacheHits": cache.hits, "cacheMisses": cache.misses}

    @part
    def flusher(self) -> Flusher:
        """Writes what this process counts for the metrics."""
        return Flusher(self.storage, counts)

    @part
    def intake(self) -> Intake:
        """Takes jobs."""
        return Intake(self.settings, self.storage, self.registry, self.queue)

    @part
    def executor(self) -> Executor:
        """Carries them out."""
        self.flusher.start()
        return Executor(
            self.settings, self.storage, self.registry, self.opener, self.presence, self.intake.wake, self.alerts
        )

    @part
    def recovery(self) -> Recovery:
        """Puts back what was left behind."""
        watch = Watch(self.settings, self.storage, self.alerts)
        return Recovery(self.storage, self.queue, every_seconds=self.settings.recovery_seconds, watch=watch.look)

    def build(self) -> Runtime:
        """Make every part now: whatever is wrong with settings, database or plugins shows at once."""
        _ = (self.executor, self.recovery)
        return self

    def close(self) -> None:
        """Stop the threads and close the connections of the parts that were made."""
        made = vars(self)
        if "recovery" in made:
            self.recovery.stop()
        if "presence" in made:
            self.presence.stop()
        if "alerts" in made:
            self.alerts.flush(2.0)
        if "registry" in made:
            self.registry.flush(2.0)
        if "flusher" in made:
            self.flusher.stop()
        if "shared" in made:
            self.shared.close()
        if "queue" in made:
            self.queue.close()
        if "storage" in made:
            self.storage.close()
        if self.settings.tracing:
            tracing.stop(2.0)


_current: Runtime | None = None
_owner = 0
_was_given = False
_lock = threading.Lock()


def current() -> Runtime:
    """Return this process's runtime, made from the environment at first use (anew after a fork).

    Raises:
        SettingsError: the environment is wrong; or this process was forked from one that was given its runtime.
    """
    global _current, _owner
    with _lock:
        if _current is None or _owner != os.getpid():
            if _was_given:  # the environment may name another database
                raise SettingsError(
                    "this process was forked from one that was given its runtime with runtime.use(); "
                    "call runtime.use() with one of its own here, too"
                )
            _current, _owner = Runtime(), os.getpid()
        return _current


def use(runtime: Runtime | None) -> None:
    """Make ``runtime`` this process's (an application's own settings, a test's), or none.

    It is not that of a process forked later, which can't have its connections: give that one a runtime of its own, in
    a hook of whatever forks. Until then it has none, and one from the environment is no replacement.
    """
    global _current, _owner, _was_given
    with _lock:
        _current, _owner, _was_given = runtime, os.getpid(), runtime is not None
