"""The monolith's ``"TradeLog"``: a display copy of what happened, one row per affected trade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import peewee

from axisor_executor.ids import uuid7
from axisor_executor.observe.logs import say
from axisor_executor.storage.connection import BROKEN, Statement, Storage

TradeLogStatus = Literal["success", "app_error", "exchange_error"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row to write. ``pnl`` and ``amount`` in sats, ``price`` in USD per BTC."""

    user_id: str
    automation_id: str
    trade_id: str
    status: TradeLogStatus
    action: str | None
    pnl: int | None = None
    amount: int | None = None
    price: Decimal | None = None
    error_message: str | None = None


def insertion(entry: Entry) -> Statement:
    """Return what inserts an entry; the monolith's foreign keys may forbid it."""
    now = datetime.now(UTC)
    return (
        (
            'INSERT INTO "TradeLog" (id, user_id, automation_id, trade_id, status, action, pnl, amount, price, '
            "error_message, executed_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
        ),
        uuid7(),
        entry.user_id,
        entry.automation_id,
        entry.trade_id,
        entry.status,
        entry.action,
        entry.pnl,
        entry.amount,
        None if entry.price is None else float(entry.price),
        entry.error_message,
        now,
        now,
    )


def write(storage: Storage, entries: tuple[Entry, ...]) -> None:
    """Insert the entries inside the caller's transaction.

    Where the monolith's foreign keys forbid it (an automation or user that is not there), nothing is written: the
    ledger has the run all the same.
    """
    for entry in entries:
        try:
            storage.attempt(*insertion(entry))
        except peewee.IntegrityError:
            say.debug(f"No TradeLog row: automation {entry.automation_id} or user {entry.user_id} is not there")
        except BROKEN:
            raise
        except (peewee.PeeweeException, ValueError) as error:
            # A display copy must not keep an execution from ending: the ledger has it all.
            say.warning(f"No TradeLog row for automation {entry.automation_id}: {type(error).__name__}")
