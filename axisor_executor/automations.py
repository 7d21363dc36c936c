"""What is done with automations by hand: add, list, show, switch on and off. Configs are checked before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from axisor_executor import accounts, explain
from axisor_executor.automation import versions
from axisor_executor.configs import Checked, Checker
from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.observe.logs import say, timestamp
from axisor_executor.runtime import Runtime
from axisor_executor.storage import automation_rows
from axisor_executor.storage.accounts import as_stored, id_text, maybe_id_text
from axisor_executor.storage.automation_rows import AutomationRecord

MOST_NAMED = 5
RECENT = 5


def find(parts: Runtime, reference: str | UUID) -> AutomationRecord:
    """Return the automation of this id, or the only one whose UUID begins so.

    Raises:
        NotFound: there is none (``automation_not_found``).
        AxisorError: there are several (``ambiguous_id``); the message names some.
        InvalidJob: it is neither a text nor a UUID.
    """
    reference = id_text(reference)
    with parts.storage.connection():
        found = automation_rows.by_id(parts.storage, reference, MOST_NAMED + 1) if reference else []
    if not found:
        raise NotFound(f"no automation has the id {reference!r}, or a UUID that begins so", code="automation_not_found")
    if len(found) > 1:
        names = ", ".join(one.automation.id for one in found[:MOST_NAMED])
        raise AxisorError(f"several automations begin with {reference!r}: {names}", code="ambiguous_id", status=400)
    return found[0]


def listed(
    parts: Runtime,
    *,
    user_id: str | UUID | None = None,
    account_id: str | UUID | None = None,
    type: str | None = None,  # noqa: A002  the column's name
    is_active: bool | None = None,
) -> list[dict[str, Any]]:
    """Return automations as :func:`shown`; what is left out does not matter."""
    with parts.storage.connection():
        found = automation_rows.listed(
            parts.storage,
            user_id=maybe_id_text(user_id),
            account_id=maybe_id_text(account_id),
            type=type,
            is_active=is_active,
        )
    return [shown(record) for record in found]


def shown(record: AutomationRecord) -> dict[str, Any]:
    """Return an automation as JSON; ``account`` is ``None`` where it is bound to none."""
    automation, account = record.automation, record.automation.account
    bound = None
    if account is not None:
        bound = {
            "id": account.id,
            "name": account.name,
            "exchange": account.exchange_slug,
            "isActive": account.is_active,
        }
    return {
        "id": automation.id,
        "userId": automation.user_id,
        "type": automation.type,
        "isActive": automation.is_active,
        "riskLevel": automation.risk_level,
        "account": bound,
        "config": automation.config,
        "createdAt": timestamp(record.created_at),
        "updatedAt": timestamp(record.updated_at),
    }


def explained(parts: Runtime, reference: str | UUID) -> dict[str, Any]:
    """Return an automation with what is wrong with its config, what nothing acts on, and its last executions."""
    record = find(parts, reference)
    problem, ignored = None, list[str]()
    try:
        ignored = list(check_config(parts, record.automation.type, record.automation.config).ignored)
    except AxisorError as error:
        problem = error.as_dict()
    wanted = explain.Wanted(automation=record.automation.id)
    with parts.storage.connection():
        last = [explain.summary(one) for one in explain.select(parts.storage, wanted, limit=RECENT)]
    return {**shown(record), "problem": problem, "ignored": ignored, "executions": last}


def check_config(parts: Runtime, type: str, config: Any) -> Checked:  # noqa: A002  the column's name
    """Have the handler of the type check a config.

    Raises:
        UnknownAutomationType, InvalidConfig, PluginError: as :meth:`axisor_executor.configs.Checker.check`.
    """
    return Checker(parts.registry, parts.executor.deciders, parts.settings.decide_seconds).check(type, config)


def add(
    parts: Runtime,
    *,
    user_id: str | UUID,
    account: str | UUID,
    type: str,  # noqa: A002  the column's name
    config: Mapping[str, Any],
    automation_id: str | UUID | None = None,
    is_active: bool = True,
    risk_level: str = "medium",
) -> tuple[dict[str, Any], bool]:
    """Add an automation and return it with ``True``; or the one that has this id and is the same, ``False``.

    Args:
        parts: the runtime.
        user_id: whose it is.
        account: the id of the account that it acts on, or its beginning; of the same user.
        type: its type, of an installed plugin.
        config: checked before anything is written; of the handler's version, unless it names another one itself.
        automation_id: an id of one's own; a UUID is made where it is left out.
        is_active: whether it is switched on.
        risk_level: what the monolith shows.

    Raises:
        NotFound: this user has no such account (``account_not_found``).
        UnknownAutomationType, InvalidConfig: nothing could be decided for it.
        AxisorError: the id is another one's (409, ``automation_exists``), or the tables refuse the row.
    """
    config = _stamped(parts, type, config)
    check_config(parts, type, config)
    bound = accounts.find(parts, account).account
    user_id = as_stored(parts.storage, "user", id_text(user_id))
    if bound.user_id != user_id:
        raise NotFound(f"no account of user {user_id} has the id {account!r}", code="account_not_found")
    own_id = as_stored(parts.storage, "automation", id_text(automation_id or uuid4()))
    with parts.storage.write():
        same_id = [one for one in automation_rows.by_id(parts.storage, own_id, 1) if one.automation.id == own_id]
        if same_id:
            before = same_id[0].automation
            if (before.user_id, before.account_id, before.type, before.config) == (
                user_id,
                bound.id,
                type,
                dict(config),
            ):
                return shown(same_id[0]), False
            raise AxisorError(f"automation {own_id} is there already", code="automation_exists", status=409)
        automation_rows.add(
            parts.storage,
            automation_id=own_id,
            user_id=user_id,
            account_id=bound.id,
            type=type,
            config=config,
            is_active=is_active,
            risk_level=risk_level,
        )
        added = find(parts, own_id)
    say.success(f"Automation {own_id} was added for account {bound.name}")
    return shown(added), True


def _stamped(parts: Runtime, type: str, config: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: A002
    """Return a config with its version in it, where it would else be taken for one of the first."""
    newest = parts.registry.handler(type).handler.config_version
    return config if newest == 1 or config.get(versions.KEY) is not None else {**config, versions.KEY: newest}


def set_active(parts: Runtime, reference: str | UUID, is_active: bool) -> tuple[dict[str, Any], bool]:
    """Switch an automation on or off; return it, and whether that changed anything.

    One whose config can't be used is not switched on: its runs would only fail.

    Raises:
        NotFound, AxisorError: as :func:`find`.
        UnknownAutomationType, InvalidConfig: what keeps it from being switched on.
    """
    automation = find(parts, reference).automation
    if is_active:
        check_config(parts, automation.type, automation.config)
    changed = automation.is_active != is_active
    if changed:
        with parts.storage.write():
            automation_rows.set_active(parts.storage, automation.id, is_active)
    return shown(find(parts, automation.id)), changed
