"""Automations: their binding, type and config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axisor_executor.errors import AxisorError
from axisor_executor.integrity.findings import Findings
from axisor_executor.plugins import Registry
from axisor_executor.storage.connection import Storage, document
from axisor_executor.storage.paging import paged

_AUTOMATIONS = """
SELECT a.id, a.user_id, a.type, a.config, a.user_exchange_account_id, u.user_id, u.account_name
FROM "Automation" a LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
WHERE a.id > ? ORDER BY a.id LIMIT ?
"""


def look_at_automations(found: Findings, storage: Storage, registry: Registry | None) -> None:
    """Look at every automation; without ``registry``, types and configs are left out."""
    for automation_id, user_id, type_, config, account_id, owner, account_name in paged(storage, _AUTOMATIONS):
        item = {"automationId": automation_id, "userId": user_id, "type": type_}
        if account_id is None:
            found.note("automation_unbound", item)
        elif owner is None:
            found.note("account_missing", {**item, "message": f"account {account_id}"})
        elif owner != user_id:
            found.note("account_foreign", {**item, "message": f"account {account_name} ({account_id}) of user {owner}"})
        if registry is None:
            continue
        if type_ not in registry.handlers:
            found.note("type_unknown", item)
        elif problem := _config_problem(config, type_, registry):
            found.note("config_invalid", {**item, "message": problem})
    if registry is not None and any(one.kind == "type_unknown" for one in found.problems):
        known = ", ".join(sorted(registry.handlers)) or "none"
        found.state("type_unknown").advice = f"Install its plugin; there are: {known}"


def _config_problem(stored: Any, type_: str, registry: Registry) -> str | None:
    handler = registry.handlers[type_].handler
    try:  # PostgreSQL hands a JSON text over without its quotes
        config = document(stored)
    except ValueError:
        config = None
    if not isinstance(config, Mapping):
        return "config: must be a JSON object"
    try:
        handler.parse_config(config, handler.choose_action(None, config))
    except AxisorError as error:
        return error.message
    except Exception as error:  # noqa: BLE001  a plugin's code: what it trips over is that automation's problem only
        return f"the plugin failed on it: {type(error).__name__}"
    return None
