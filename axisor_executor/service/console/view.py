"""What the console shows, as plain values: of everything, or of the one user that a token is bound to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from axisor_executor import explain
from axisor_executor.observe.logs import timestamp
from axisor_executor.service import health, switches
from axisor_executor.service.console.kept import Kept
from axisor_executor.service.parts import Parts
from axisor_executor.storage import account_rows, account_search, accounts, figures, series
from axisor_executor.storage.account_search import Known
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.switches import Switch
from axisor_executor.storage.tokens import Token

CHART_MINUTES = 60
DAY = 86_400
_MOST_EXECUTIONS = 30
_MOST_ACCOUNTS = 20
_STATUSES: dict[str, tuple[str, ...]] = {
    "all": (),
    "live": ("queued", "running", "waiting"),
    "bad": ("failed", "uncertain", "expired"),
}


class Asked(BaseModel):
    """What the page's forms choose. ``q`` is what to look for among accounts, ``account`` an id or a name."""

    q: str = Field(default="", max_length=200)
    account: str = Field(default="", max_length=200)
    show: Literal["all", "live", "bad"] = "all"


def look(parts: Parts, kept: Kept, token: Token, asked: Asked) -> dict[str, Any]:
    """Return everything that the page shows; figures over many executions may be a little older than the rest."""
    storage, user = parts.storage, token.user_id
    # Before a connection is held: these ask Redis, which may be slow to answer.
    found = health.look(parts) if user is None else None
    breakers = found.breakers if found else [state.as_dict() for state in parts.runtime.breakers.states()]
    with storage.connection():
        set_now = switches.visible(storage, token)
        return {
            "token": token,
            "may_operate": "operate" in token.scopes,
            "asked": asked,
            "at": timestamp(storage.now()),
            "health": found,
            "performance": kept.get(
                ("performance", user), lambda: figures.performance(storage, CHART_MINUTES * 60, user_id=user)
            ),
            "in_hand": account_search.in_hand(storage, user_id=user),
            "minutes": kept.get(("minutes", user), lambda: series.minutes(storage, CHART_MINUTES, user_id=user)),
            "executions": _executions(storage, token, asked),
            "accounts": _accounts(storage, kept, user, asked.q.strip(), set_now),
            "switches": [_named(storage, one) for one in set_now],
            "breakers": breakers if user is None else _own(storage, user, breakers),
            "exchanges": account_rows.exchange_slugs(storage) if user is None else [],
        }


def _executions(storage: Storage, token: Token, asked: Asked) -> dict[str, Any]:
    wanted = explain.Wanted(statuses=_STATUSES[asked.show], account=asked.account or None, user=token.user_id)
    found = explain.select(storage, wanted, limit=_MOST_EXECUTIONS + 1)
    return {
        "rows": [explain.summary(one) for one in found[:_MOST_EXECUTIONS]],
        "has_more": len(found) > _MOST_EXECUTIONS,
    }


def _accounts(storage: Storage, kept: Kept, user: str | None, text: str, set_now: Sequence[Switch]) -> dict[str, Any]:
    """Return the accounts that are looked for; or those with most errors of a day, then others by name."""
    if text:
        known = account_search.matching(storage, text, user_id=user, limit=_MOST_ACCOUNTS + 1)
        told = {one.id: figures.account(storage, one.id, DAY) for one in known[:_MOST_ACCOUNTS]}
    else:
        worst = kept.get(
            ("accounts", user),
            lambda: figures.accounts(storage, DAY, user_id=user, limit=_MOST_ACCOUNTS + 1, worst_first=True),
        )
        told = {one["accountId"]: one for one in worst}
        busy = account_search.by_ids(storage, list(told))
        others = account_search.matching(storage, "", user_id=user, limit=_MOST_ACCOUNTS + 1)
        known = [*busy, *(one for one in others if one.id not in told)]
    modes = {one.scope_id: one.mode for one in set_now if one.scope == "account"}
    return {
        "rows": [_account(one, told.get(one.id), modes.get(one.id)) for one in known[:_MOST_ACCOUNTS]],
        "has_more": len(known) > _MOST_ACCOUNTS,
    }


def _account(one: Known, told: dict[str, Any] | None, mode: str | None) -> dict[str, Any]:
    none = {"executions": 0, "successRate": None, "averageExecutionTime": None, "lastError": None}
    return {"known": one, "mode": mode, **none, **(told or {})}


def _named(storage: Storage, one: Switch) -> dict[str, Any]:
    """Return a switch with what its scope is called."""
    name = one.scope_id
    if one.scope == "account":
        account = accounts.account(storage, one.scope_id)
        name = account.name if account else one.scope_id
    return {
        "scope": one.scope,
        "id": one.scope_id,
        "name": name,
        "mode": one.mode,
        "reason": one.reason,
        "at": timestamp(one.created_at),
    }


def _own(storage: Storage, user: str, breakers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    own = {one.id for one in accounts.accounts_of(storage, user)}
    return [one for one in breakers if one["accountId"] in own]
