"""The yardstick's worker: what one writes with Dramatiq in an afternoon. Default middleware and retries, no ledger.

Only the waiting is shortened, so that a storm ends soon: the delays of retries (from 15 s on by default), and how
soon a dead worker's messages come back (a minute and a random maintenance call by default).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg2
import requests
from dramatiq.brokers.redis import RedisBroker

from tests.faults import orders

broker = RedisBroker(  # type: ignore[no-untyped-call]
    url=os.environ["REDIS_URL"],
    namespace=os.environ["AXISOR_QUEUE_PREFIX"],
    heartbeat_timeout=2_000,
    maintenance_chance=200_000,
)
dramatiq.set_broker(broker)

URL = os.environ.get("LN_MARKETS_API_URL", "")
DATABASE = os.environ.get("DATABASE_URL", "")
_orders = orders.found()


@dramatiq.actor(queue_name="trades", min_backoff=100, max_backoff=400)
def trade(job: int, user_id: str, keys: dict[str, str], calls: list[list[Any]]) -> None:
    """Make the calls of a job, and log it."""
    _reached("claimed")
    for method, path, body in calls:
        _reached("planned")
        answer = requests.request(method, **_signed(keys, method, path, body), timeout=0.8)
        _reached("answered")
        answer.raise_for_status()
        _reached("settled")
    _log(job, user_id)
    _reached("finished")


def _signed(keys: dict[str, str], method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    data, stamp, target = json.dumps(body), str(int(time.time() * 1000)), f"/v3/futures/isolated{path}"
    digest = hmac.digest(keys["secret"].encode(), f"{stamp}{method.lower()}{target}{data}".encode(), hashlib.sha256)
    headers = {
        "lnm-access-key": keys["key"],
        "lnm-access-passphrase": keys["passphrase"],
        "lnm-access-timestamp": stamp,
        "lnm-access-signature": base64.b64encode(digest).decode(),
        "Content-Type": "application/json",
    }
    return {"url": URL.removesuffix("/v3") + target, "data": data, "headers": headers}


def _log(job: int, user_id: str) -> None:
    values = (str(uuid4()), user_id, f"job-{job}", "success")
    statement = (
        'INSERT INTO "TradeLog" (id, user_id, trade_id, status, created_at) VALUES (?, ?, ?, ?, CURRENT_TIMESTAMP)'
    )
    if DATABASE.startswith("sqlite"):
        with closing(sqlite3.connect(DATABASE.removeprefix("sqlite:///"), timeout=15)) as lite, lite:
            lite.execute(statement, values)
        return
    with closing(psycopg2.connect(DATABASE)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement.replace("?", "%s"), values)


def _reached(point: str) -> None:
    if _orders is not None:
        _orders.reached(point)
