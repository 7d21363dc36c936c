"""Dramatiq + peewee + requests: ``dramatiq plain``. A pool, a session per thread, cached credentials; no ledger."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import dramatiq
import requests
from account import BASE, RUNNING, TICKER, TRADE, headers, is_at_risk, keys_of, order
from dramatiq.brokers.redis import RedisBroker
from peewee import BooleanField, CharField, DateTimeField, DoubleField, ForeignKeyField, Model
from playhouse.pool import PooledPostgresqlDatabase
from playhouse.postgres_ext import BinaryJSONField

database = PooledPostgresqlDatabase(os.environ["DATABASE_URL"], max_connections=64, stale_timeout=300)
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
_local = threading.local()


class Row(Model):
    """A table of this database."""

    id = CharField(primary_key=True)

    class Meta:
        database = database


class Exchange(Row):
    """An exchange."""

    slug = CharField()

    class Meta:
        table_name = "exchanges"


class Account(Row):
    """A user's account on an exchange."""

    user_id = CharField()
    exchange = ForeignKeyField(Exchange)
    account_name = CharField()
    credentials = BinaryJSONField()
    is_active = BooleanField()

    class Meta:
        table_name = "user_exchange_accounts"


class Automation(Row):
    """An automation of an account."""

    user_id = CharField()
    account = ForeignKeyField(Account, column_name="user_exchange_account_id")
    type = CharField()
    config = BinaryJSONField()

    class Meta:
        table_name = "Automation"


class TradeLog(Row):
    """What was done."""

    user_id = CharField()
    automation_id = CharField()
    trade_id = CharField()
    status = CharField()
    action = CharField()
    pnl = DoubleField(null=True)
    amount = DoubleField(null=True)
    price = DoubleField(null=True)
    executed_at = DateTimeField()
    created_at = DateTimeField()

    class Meta:
        table_name = "TradeLog"


def _load(user_id: str, automation_id: str) -> Automation:
    return (
        Automation.select(Automation, Account, Exchange)
        .join(Account)
        .join(Exchange)
        .where(Automation.id == automation_id, Automation.user_id == user_id)
        .get()
    )


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    return _local.session


def _ask(method: str, path: str, keys: Any = None, body: str = "") -> Any:
    signed = headers(keys, method, path, body) if keys else {}
    answer = _session().request(method, BASE + path, data=body or None, headers=signed, timeout=10)
    answer.raise_for_status()
    return answer.json()


def _log(automation: Automation, action: str, trade: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    TradeLog.create(
        id=str(uuid.uuid4()),
        user_id=automation.user_id,
        automation_id=automation.id,
        trade_id=trade["id"],
        status="success",
        action=action,
        pnl=trade["pl"],
        amount=trade["margin"],
        price=trade["exitPrice"] or trade["entryPrice"],
        executed_at=now,
        created_at=now,
    )


@dramatiq.actor(queue_name="rival")
def entry(user_id: str, automation_id: str) -> None:
    """Open a trade at the market."""
    with database.connection_context():
        automation = _load(user_id, automation_id)
        keys = keys_of(automation.account.id, automation.account.credentials)
        trade = _ask("POST", TRADE, keys, order(automation.config, str(uuid.uuid4())))
        _log(automation, "auto_entry_executed", trade)


@dramatiq.actor(queue_name="rival")
def guard(user_id: str, automation_id: str, trade_id: str) -> None:
    """Close a trade that is at risk."""
    with database.connection_context():
        automation = _load(user_id, automation_id)
        keys = keys_of(automation.account.id, automation.account.credentials)
        trade = next(one for one in _ask("GET", RUNNING, keys) if one["id"] == trade_id)
        price = _ask("GET", TICKER)["lastPrice"]
        if is_at_risk(trade, price, automation.config["margin_threshold"]):
            closed = _ask("POST", f"{TRADE}/close", keys, f'{{"id":"{trade_id}"}}')
            _log(automation, "close_position", closed)
