"""From a job to everything a handler needs: automation, account, exchange, handler, action, config.

Used twice: when a job is taken (to know lane and account) and when it runs (everything may have changed since).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cachetools import LRUCache

from axisor_executor.automation import AutomationConfig, AutomationHandler, Lane
from axisor_executor.automation.fields import quoted
from axisor_executor.automation.versions import upgraded, version_of
from axisor_executor.errors import AxisorError, InvalidConfig, NotFound
from axisor_executor.jobs import Job
from axisor_executor.observe.logs import say
from axisor_executor.plugins import Registered, Registry
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.flow import Stop
from axisor_executor.run.plain import Guards
from axisor_executor.run.reading import KeptConfigs, read
from axisor_executor.storage import accounts
from axisor_executor.storage.accounts import Account, Automation
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import json_text

LANE_SECONDS = 2.0
"""How long a plugin's own choice of the action may hold up whoever hands a job over."""

_warned: LRUCache[tuple[str, tuple[str, ...]], bool] = LRUCache(10_000)
_warning = threading.Lock()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A job that may run: whose, where, by which handler, and with which validated config.

    ``config_version`` and ``config_hash`` are the row's; ``config`` is of the handler's version, ``guards`` are its
    spend guards.
    """

    automation: Automation
    account: Account
    registered: Registered
    action: str
    config: AutomationConfig
    config_version: int
    config_hash: str
    guards: Guards


def find(storage: Storage, job: Job, *, auto_migrate: bool, known: Automation | None = None) -> Automation:
    """Return the job's automation, bound to an account; an unbound one of a one-account user is bound first.

    ``known``: the automation, where it was just read.

    Raises:
        NotFound: automation or account are not there, or are another user's (never told apart).
        AxisorError: the automation has no account (400, ``account_missing``).
    """
    say.debug(f"Getting automation {job.automation_id} for user {job.user_id}")
    found = known or accounts.automation(storage, job.automation_id)
    if found is None or found.user_id != job.user_id:
        raise NotFound(f"Automation {job.automation_id} not found", code="automation_not_found")
    if found.account_id is None and auto_migrate:
        found = _bind_to_only_account(storage, found)
    if found.account_id is None:
        raise AxisorError(f"Automation {found.id} has no associated account", code="account_missing", status=400)
    if found.account is None or found.account.user_id != job.user_id:
        raise NotFound(
            f"The account of automation {found.id} was not found", code="account_not_found", account_id=found.account_id
        )
    return found


def _bind_to_only_account(storage: Storage, found: Automation) -> Automation:
    own = accounts.accounts_of(storage, found.user_id)
    if len(own) == 1 and accounts.bind(storage, found.id, own[0].id):
        say.warning(f"Automation {found.id} had no account and was bound to {own[0].name}, its user's only one")
    return accounts.automation(storage, found.id) or found


def check_switched_on(found: Automation) -> None:
    """Raise where the automation or its exchange is switched off.

    Raises:
        Stop: cancelled, reason ``disabled``.
    """
    assert found.account is not None
    if not found.is_active:
        raise Stop("cancelled", "disabled", f"Automation {found.id} is switched off")
    if not found.account.exchange_active:
        raise Stop("cancelled", "disabled", f"Exchange {found.account.exchange_name} is switched off")


def resolve(
    registry: Registry,
    found: Automation,
    account: Account,
    job: Job,
    deciders: Deciders,
    seconds: float,
    kept: KeptConfigs | None = None,
) -> Resolved:
    """Choose handler and action, and validate the config for that action (a plugin's code, within ``seconds``).

    Nothing of it is done again for a config that is among the ``kept`` ones.

    Raises:
        UnknownAutomationType, InvalidConfig, InvalidJob: nothing can be decided.
    """
    registered, raw = _registered(registry, found)
    text = found.config_text or json_text(raw)
    known = None if kept is None else kept.get(registered.handler, found.id, job.action, text)
    if known is None:
        reading = partial(read, registered.handler, raw, job.action)
        known = deciders.ask(registered.found, "reading the config", reading, seconds)
        if kept is not None:
            kept.keep(registered.handler, found.id, job.action, text, known)
    if known.ignored and _is_news(found.id, known.ignored):
        say.warning(f"Automation {found.id}: nothing acts on {', '.join(known.ignored)} in its config")
    return Resolved(found, account, registered, known.action, known.config, known.version, known.hash, known.guards)


def _is_news(automation_id: str, ignored: tuple[str, ...]) -> bool:
    with _warning:
        is_news = (automation_id, ignored) not in _warned
        _warned[automation_id, ignored] = True
    return is_news


def is_dry_run(found: Automation) -> bool:
    """Return whether an automation's own config keeps it from sending anything (``dry_run``).

    Read from the row itself, whatever the handler makes of its config.

    Raises:
        InvalidConfig: the key is neither true nor false.
    """
    return isinstance(found.config, Mapping) and is_dry_run_config(found.config)


def is_dry_run_config(config: Mapping[str, Any]) -> bool:
    """Return what a config's ``dry_run`` says; false where it is left out.

    Raises:
        InvalidConfig: it is neither true nor false.
    """
    given = config.get("dry_run")
    if given is None or isinstance(given, bool):
        return bool(given)
    raise InvalidConfig(f"dry_run: must be true or false, got {quoted(given)}")


def lane_of(registry: Registry, found: Automation, job: Job, deciders: Deciders) -> Lane:
    """Return the lane of the action that a job means; ``default`` where that can't be told (it will fail)."""
    try:
        registered, raw = _registered(registry, found)
        handler = registered.handler

        def choose() -> Lane:
            return handler.actions[handler.choose_action(job.action, upgraded(handler, raw).config)]

        ours = type(handler).choose_action is AutomationHandler.choose_action
        if ours and version_of(raw) >= handler.config_version:
            return choose()
        return deciders.ask(registered.found, "choosing the action", choose, LANE_SECONDS)
    except Exception:  # noqa: BLE001  a plugin's code among them: the run tells what is wrong
        return "default"


def collapses(registry: Registry, found: Automation) -> bool:
    """Return whether jobs of this type collapse while one like them waits."""
    registered = registry.handlers.get(found.type)
    return registered is not None and registered.handler.collapses


def _registered(registry: Registry, found: Automation) -> tuple[Registered, Mapping[str, Any]]:
    registered = registry.handler(found.type)
    if not isinstance(found.config, Mapping):
        raise InvalidConfig(f"config: must be a JSON object, got {type(found.config).__name__}")
    return registered, found.config
