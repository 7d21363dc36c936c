"""Set the stage: accounts, trades opened by hand, the fall of the price, and the automations' rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from axisor_executor.demo.people import Holding, holdings, open_accounts, write_accounts
from axisor_executor.demo.scenario import (
    CASES,
    CROSS_MARGIN,
    OPENING_PRICE,
    POSITIONS,
    PRICE,
    Case,
    Position,
    filled,
)
from axisor_executor.demo.stack import Stack
from axisor_executor.embedded.paper import Row
from axisor_executor.errors import AxisorError
from axisor_executor.exchange import LNMarketsClient, NewCrossOrder, NewTrade
from axisor_executor.storage.models import AutomationRow


@dataclass(frozen=True)
class Cast:
    """A case with its automation's id and the job that is sent for it."""

    case: Case
    automation_id: str
    job: dict[str, Any]


@dataclass
class Stage:
    """The world before the first job.

    Attributes:
        people: the accounts by name.
        exchange_ids: what the exchange calls them.
        trade_ids: the trades and cross positions that were opened by hand, by the position's name.
        casts: the jobs to come.
        before: every trade and cross position as the exchange shows it, by id.
        effects, requests: how many of each the exchange's journal held then.
    """

    people: dict[str, Holding]
    exchange_ids: dict[str, str]
    trade_ids: dict[str, str] = field(default_factory=dict)
    casts: list[Cast] = field(default_factory=list)
    before: dict[str, Row] = field(default_factory=dict)
    effects: int = 0
    requests: int = 0


def set_stage(stack: Stack) -> Stage:
    """Open accounts and trades, let the price fall, and write the rows as the monolith does."""
    people = holdings()
    stage = Stage(people, open_accounts(stack.paper, people))
    write_accounts(stack.runtime.storage, people, stack.runtime.vault.ring)
    _open_positions(stack, stage)
    fired = stack.paper.move_price(PRICE)
    if fired:
        raise AxisorError(f"the price set off {len(fired)} positions before the first job", code="demo")
    stage.casts = [_write_automation(stack, stage, case) for case in CASES]
    stage.before = trades(stack, stage)
    stage.effects, stage.requests = len(stack.paper.effects()), len(stack.paper.requests())
    stack.say(
        f"{len(people)} accounts of 2 users, {len(POSITIONS)} positions opened by hand at {OPENING_PRICE:,} USD, "
        f"price moved to {PRICE:,}, {len(stage.casts)} automations written"
    )
    return stage


def trades(stack: Stack, stage: Stage) -> dict[str, Row]:
    """Return every trade and the cross position of every account as the exchange shows them now, by id."""
    rows = [
        row | {"account": name, "cross": False}
        for name, account_id in stage.exchange_ids.items()
        for row in stack.paper.trades(account_id)
    ]
    rows += [_cross_row(name, holding.client(stack.paper.url)) for name, holding in stage.people.items()]
    return {row["id"]: row for row in rows}


def _cross_row(account: str, client: LNMarketsClient) -> Row:
    """Return an account's cross position in the shape of a trade; one that holds nothing is closed."""
    position = client.cross_position().value
    return {
        "id": position.id,
        "account": account,
        "cross": True,
        "side": position.side,
        "quantity": abs(position.quantity),
        "margin": position.margin,
        "takeprofit": 0,
        "stoploss": 0,
        "open": False,
        "running": position.side is not None,
        "closed": position.side is None,
        "canceled": False,
    }


def _open_positions(stack: Stack, stage: Stage) -> None:
    clients = {name: holding.client(stack.paper.url) for name, holding in stage.people.items()}
    for position in POSITIONS:
        opened = _open_cross if position.margin_mode == "cross" else _open_trade
        stage.trade_ids[position.name] = opened(clients[position.account], position)


def _open_trade(client: LNMarketsClient, position: Position) -> str:
    leverage = Decimal(position.leverage)
    order = NewTrade(type="market", side=position.side, quantity=position.quantity, leverage=leverage)
    return client.open_trade(order).value.id


def _open_cross(client: LNMarketsClient, position: Position) -> str:
    client.deposit_cross(position.quantity * CROSS_MARGIN)
    client.set_cross_leverage(Decimal(position.leverage))
    client.open_cross_order(NewCrossOrder(type="market", side=position.side, quantity=position.quantity))
    return client.cross_position().value.id


def _write_automation(stack: Stack, stage: Stage, case: Case) -> Cast:
    account, now = stage.people[case.account], datetime.now(UTC)
    automation_id = str(uuid4())
    with stack.runtime.storage.write():
        AutomationRow.create(
            id=automation_id,
            user_id=account.owner.id,
            user_exchange_account_id=account.id,
            type=case.type,
            config=filled(case.config, stage.trade_ids),
            is_active=case.is_on,
            status="active",
            risk_level="medium",
            created_at=now,
            updated_at=now,
        )
    job = {
        "userId": stage.people[case.asked_by or case.account].owner.id,
        "automationId": automation_id,
        "action": case.action,
        "tradeId": stage.trade_ids[case.position] if case.position else None,
    }
    return Cast(case, automation_id, {key: value for key, value in job.items() if value is not None})
