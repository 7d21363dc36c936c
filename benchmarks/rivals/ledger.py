"""The ledger alone: ``dramatiq ledger``. This software's queue and transactions with one request between them.

What exactly once takes by itself: the claim, the plan with its ``sending``, the outcome with the end. There are no
plugins, limits, breakers, logs or metrics, and nobody settles what is not known: no promise is kept here.
"""

from __future__ import annotations

import json
import time
import uuid
from decimal import Decimal
from typing import Any

import dramatiq
from account import BASE, RUNNING, TICKER, TRADE, Keys, headers, is_at_risk, keys_of, order
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from axisor_executor.automation import ClosePosition, OpenPosition, act
from axisor_executor.automation.actions import Action
from axisor_executor.broker import make_broker
from axisor_executor.lanes import ACTORS
from axisor_executor.settings import load_settings
from axisor_executor.storage import accounts, actions, claiming, executions, sending
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Next
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.sending import Sending
from axisor_executor.storage.tradelog import Entry

LEASE_SECONDS = 30.0

settings = load_settings()
storage = Storage(settings.require_database())
dramatiq.set_broker(make_broker(settings))
_adapter = HTTPAdapter(pool_connections=1, pool_maxsize=settings.db_pool)


@dramatiq.actor(actor_name=ACTORS["protect"], queue_name="protect")
def run_protect(execution_id: str) -> None:
    """Close a trade that is at risk."""
    _run(execution_id)


@dramatiq.actor(actor_name=ACTORS["default"], queue_name="default")
def run_default(execution_id: str) -> None:
    """Open a trade at the market."""
    _run(execution_id)


def _run(execution_id: str) -> None:
    with storage.connection():
        following = _carry_out(execution_id)
        while following is not None:
            following = _carry_out(following.id)


def _carry_out(execution_id: str) -> Next | None:
    claimed = claiming.claim(storage, execution_id, worker_id="ledger", lease_seconds=LEASE_SECONDS)
    if claimed is None:
        return None  # it stands in line, and is returned to whoever holds the account
    run = claimed.run
    found = claimed.automation or accounts.automation(storage, run.automation_id)
    assert found is not None
    assert found.account is not None
    config, credentials = json.loads(found.config_text or ""), json.loads(found.account.credentials)
    keys = keys_of(found.account.id, credentials)
    action, path, body = _decided(keys, config, run.trade_id)
    plan = Plan(storage, run, act(action), {}, [], config_text=found.config_text)
    about = Sending(int(time.time() * 1000), {}, exchange_user_id="", key_fingerprint="")
    sent = sending.begin(storage, run, plan.actions[0], about, account=found.account, plan=plan)
    trade = _ask("POST", path, keys, body)
    plan.confirmed(sent, trade, trade["id"] if isinstance(action, OpenPosition) else None)
    assert plan.owed is not None
    price = Decimal(str(trade["exitPrice"] or trade["entryPrice"]))
    entry = Entry(
        run.user_id, run.automation_id, trade["id"], "success", action.kind, trade["pl"], trade["margin"], price
    )
    return executions.finish(
        storage,
        run,
        "completed",
        result={"status": "completed", "tradeId": trade["id"]},
        lease_seconds=LEASE_SECONDS,
        trade_log=(entry,),
        behind=(actions.settlement_at_end(run, plan.owed, "completed"),),
    )


def _decided(keys: Keys, config: dict[str, Any], trade_id: str | None) -> tuple[Action, str, str]:
    if trade_id is None:
        opening = OpenPosition("buy", config["quantity"], Decimal(config["leverage"]))
        return opening, TRADE, order(config, str(uuid.uuid4()))
    trade = next(one for one in _ask("GET", RUNNING, keys) if one["id"] == trade_id)
    price = _ask("GET", TICKER, keys)["lastPrice"]
    assert is_at_risk(trade, price, config["margin_threshold"])
    return ClosePosition(trade_id), f"{TRADE}/close", f'{{"id":"{trade_id}"}}'


def _ask(method: str, path: str, keys: Keys, body: str = "") -> Any:
    # Filled by hand, which is the least that requests can do.
    request = PreparedRequest()
    request.method, request.url, request.body = method, BASE + path, body or None
    request.headers = CaseInsensitiveDict(headers(keys, method, path, body))
    if body:
        request.headers["Content-Length"] = str(len(body))
    answer = _adapter.send(request, timeout=10)
    answer.raise_for_status()
    return json.loads(answer.content)
