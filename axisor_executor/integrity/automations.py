"""Automations: their binding, type and config."""

from __future__ import annotations

from axisor_executor.configs import Checker
from axisor_executor.errors import AxisorError, UnknownAutomationType
from axisor_executor.integrity.findings import Findings
from axisor_executor.storage.accounts import config_of
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.paging import paged

_AUTOMATIONS = """
SELECT a.id, a.user_id, a.type, CAST(a.config AS TEXT), a.user_exchange_account_id, u.user_id, u.account_name
FROM "Automation" a LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
WHERE {behind} ORDER BY a.id LIMIT ?
"""


def look_at_automations(found: Findings, storage: Storage, checker: Checker | None) -> None:
    """Look at every automation; without ``checker``, types and configs are left out."""
    for automation_id, user_id, type_, config, account_id, owner, account_name in paged(storage, _AUTOMATIONS, "a.id"):
        item = {"automationId": automation_id, "userId": user_id, "type": type_}
        if account_id is None:
            found.note("automation_unbound", item)
        elif owner is None:
            found.note("account_missing", {**item, "message": f"account {account_id}"})
        elif owner != user_id:
            found.note("account_foreign", {**item, "message": f"account {account_name} ({account_id}) of user {owner}"})
        if checker is None:
            continue
        try:
            checker.check(type_, config_of(config))
        except UnknownAutomationType:
            found.note("type_unknown", item)
        except AxisorError as error:
            found.note("config_invalid", {**item, "message": error.message})
    if checker is not None and any(one.kind == "type_unknown" for one in found.problems):
        known = ", ".join(sorted(checker.registry.handlers)) or "none"
        found.state("type_unknown").advice = f"Install its plugin; there are: {known}"
