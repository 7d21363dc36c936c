"""What happens in the demo: positions that users open by hand, and jobs with what is expected of each.

The positions are opened at 50 000 USD; the price then falls to 47 000 and the jobs come in. A long at 10x (liquidation
about 45 450) has then used up two thirds of its way to the liquidation, one at 3x a quarter, a cross long nearly half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from axisor_executor.exchange.base import Side

OPENING_PRICE = 50_000
PRICE = 47_000

CROSS_MARGIN = 300  # sats in the cross wallet for each USD of the position

Kind = Literal["open", "close", "add_margin", "set_takeprofit", "set_stoploss", "cross_order", "cross_close"]


@dataclass(frozen=True)
class Position:
    """A trade, or an account's cross position, that a user opens by hand; ``name`` is how the jobs below call it."""

    name: str
    account: str
    side: Side = "buy"
    leverage: int = 10
    quantity: int = 100
    margin_mode: Literal["isolated", "cross"] = "isolated"


@dataclass(frozen=True)
class Change:
    """One change on the exchange: to a position, or (``None``) the opening of a new trade.

    ``value`` is the sats that are added, the price (USD) that is set, or the quantity (USD) that is opened, or is
    taken from a cross position.
    """

    kind: Kind
    position: str | None = None
    value: int | None = None
    side: Side | None = None


def _opens(side: Side, quantity: int) -> Change:
    return Change("open", value=quantity, side=side)


@dataclass(frozen=True)
class Case:
    """An automation, the job that is enqueued for it, and what must come of that.

    Attributes:
        title: how the table calls it.
        account: the account that the automation is bound to.
        type: the automation's type.
        config: its config; a text ``trade:<name>`` in it becomes that position's trade id.
        position: the position that the job names as ``tradeId``.
        action: the job's own action.
        asked_by: the account whose user sends the job; by default the automation's own.
        is_on: whether the automation is switched on.
        times: how often the job is enqueued with one idempotency key.
        foreign: put on the queue as a plain message by another producer, without :func:`enqueue`.
        status, code: how the execution must end, and with which error.
        changes: what must change on the exchange; nothing else may.
        logged: the status of each row that the monolith's TradeLog must get.
    """

    title: str
    account: str
    type: str
    config: Mapping[str, Any]
    position: str | None = None
    action: str | None = None
    asked_by: str | None = None
    is_on: bool = True
    times: int = 1
    foreign: bool = False
    status: str = "completed"
    code: str | None = None
    changes: tuple[Change, ...] = ()
    logged: tuple[str, ...] = field(default=("success",))

    @property
    def result_account(self) -> str | None:
        """The account that the result must name: none where the job is not the automation's user's."""
        return self.account if self.asked_by is None else None


POSITIONS = (
    Position("falling", "Alice Main"),
    Position("halved", "Alice Main"),
    Position("topped-up", "Alice Main"),
    Position("calm", "Alice Main", leverage=3),
    Position("target", "Alice Main", leverage=4),
    Position("floor", "Alice Main", leverage=4),
    Position("once", "Alice Main", leverage=5),
    Position("seed", "Alice Main", leverage=5),
    Position("asleep", "Alice Savings", leverage=3),
    Position("in-danger", "Alice Savings"),
    Position("untouched", "Alice Savings", leverage=3),
    Position("short", "Bob Main", side="sell"),
    Position("losing", "Bob Main", leverage=5),
    Position("waiting", "Bob Main", leverage=5),
    Position("chosen", "Bob Main"),
    Position("chosen-calm", "Bob Main", leverage=3),
    Position("bobs-own", "Bob Main"),
    Position("only-one", "Bob Trial", leverage=4),
    Position("cross-long", "Alice Main", quantity=200, margin_mode="cross"),
    Position("cross-short", "Bob Main", side="sell", quantity=150, margin_mode="cross"),
    Position("cross-untouched", "Bob Trial", margin_mode="cross"),
)

# Keys that stand in the monolith's rows and that nothing acts on.
_AS_STORED = {"enabled": True, "plan_type": "pro", "notifications": {"email": True}}


def _refused(code: str) -> dict[str, Any]:
    return {"status": "failed", "code": code, "logged": ("app_error",)}


_WAITS: dict[str, Any] = {"status": "pending", "logged": ()}

_MARGIN_GUARD = (
    Case(
        "margin_guard close_position",
        "Alice Main",
        "margin_guard",
        {"action": "close_position", "margin_threshold": 60, **_AS_STORED},
        position="falling",
        changes=(Change("close", "falling"),),
    ),
    Case(
        "margin_guard reduce_position",
        "Alice Main",
        "margin_guard",
        {"action": "reduce_position", "reduce_percentage": 50, "margin_threshold": 60},
        position="halved",
        changes=(Change("close", "halved"), _opens("buy", 50)),
    ),
    Case(
        "margin_guard add_margin",
        "Alice Main",
        "margin_guard",
        {"action": "add_margin", "add_margin_amount": 5_000, "margin_threshold": 60},
        position="topped-up",
        changes=(Change("add_margin", "topped-up", 5_000),),
    ),
    Case(
        "margin_guard, not at risk",
        "Alice Main",
        "margin_guard",
        {"action": "close_position", "margin_threshold": 90},
        position="calm",
        **_WAITS,
    ),
    Case(
        "margin_guard scope all",
        "Alice Savings",
        "margin_guard",
        {"action": "add_margin", "add_margin_amount": 4_000, "margin_threshold": 60, "scope": "all"},
        changes=(Change("add_margin", "in-danger", 4_000),),
    ),
    Case(
        "margin_guard scope selected",
        "Bob Main",
        "margin_guard",
        {
            "action": "close_position",
            "margin_threshold": 60,
            "scope": "selected",
            "selected_positions": ["trade:chosen", "trade:chosen-calm"],
        },
        changes=(Change("close", "chosen"),),
    ),
    Case(
        "margin_guard, inactive account",
        "Alice Savings",
        "margin_guard",
        {"action": "close_position"},
        position="asleep",
        changes=(Change("close", "asleep"),),
    ),
    Case(
        "margin_guard cross, reduce_position",
        "Alice Main",
        "margin_guard",
        {"margin_mode": "cross", "action": "reduce_position", "reduce_percentage": 50, "margin_threshold": 40},
        changes=(Change("cross_order", "cross-long", 100),),
    ),
    Case(
        "margin_guard cross, close_position",
        "Bob Main",
        "margin_guard",
        {"margin_mode": "cross", "action": "close_position"},
        changes=(Change("cross_close", "cross-short", 150),),
    ),
)

_TP_SL = (
    Case(
        "tp_sl update_tp",
        "Alice Main",
        "tp_sl",
        {"action": "update_tp", "new_takeprofit": 55_000},
        position="target",
        changes=(Change("set_takeprofit", "target", 55_000),),
    ),
    Case(
        "tp_sl update_sl",
        "Alice Main",
        "tp_sl",
        {"action": "update_sl", "new_stoploss": 44_000},
        position="floor",
        changes=(Change("set_stoploss", "floor", 44_000),),
    ),
    Case(
        "tp_sl close_tp (short)",
        "Bob Main",
        "tp_sl",
        {"action": "close_tp", "trigger_price": 47_500},
        position="short",
        changes=(Change("close", "short"),),
    ),
    Case(
        "tp_sl close_sl",
        "Bob Main",
        "tp_sl",
        {"action": "close_sl", "trigger_pnl_percentage": -20},
        position="losing",
        changes=(Change("close", "losing"),),
    ),
    Case(
        "tp_sl, price not reached",
        "Bob Main",
        "tp_sl",
        {"action": "close_tp", "trigger_price": 52_000},
        position="waiting",
        **_WAITS,
    ),
    Case(
        "tp_sl, the one running trade",
        "Bob Trial",
        "tp_sl",
        {"action": "close_sl", "trigger_price": 48_000},
        changes=(Change("close", "only-one"),),
    ),
    Case("tp_sl, several running trades", "Bob Main", "tp_sl", {"action": "close_sl"}, **_refused("trade_ambiguous")),
)

_AUTO_ENTRY = (
    Case(
        "auto_entry market",
        "Alice Main",
        "auto_entry",
        {"side": "b", "quantity": 100, "stoploss": 44_000, "takeprofit": 52_000},
        changes=(_opens("buy", 100),),
    ),
    Case(
        "auto_entry sell side",
        "Bob Main",
        "auto_entry",
        {"side": "s", "quantity": 50, "leverage": 5, "market": "btcusd"},
        changes=(_opens("sell", 50),),
    ),
    Case(
        "auto_entry limit",
        "Bob Main",
        "auto_entry",
        {"side": "buy", "quantity": 80, "trigger_price": 45_000, "trigger_type": "limit"},
        changes=(_opens("buy", 80),),
    ),
    Case(
        "auto_entry, price not reached",
        "Bob Main",
        "auto_entry",
        {"side": "b", "quantity": 100, "trigger_price": 40_000},
        **_WAITS,
    ),
    Case(
        "auto_entry, inactive account",
        "Alice Savings",
        "auto_entry",
        {"side": "b", "quantity": 100},
        **_refused("account_inactive"),
    ),
)

_MUST_NOT = (
    Case(
        "Alice's job, Bob's automation",
        "Bob Main",
        "margin_guard",
        {"action": "close_position"},
        position="bobs-own",
        asked_by="Alice Main",
        status="failed",
        code="automation_not_found",
        logged=(),  # her failure is nothing that the automation's owner should see
    ),
    Case(
        "a trade of her other account",
        "Alice Main",
        "margin_guard",
        {"action": "close_position"},
        position="untouched",
        **_refused("trade_not_found"),
    ),
    Case(
        "a trade of another user",
        "Alice Main",
        "margin_guard",
        {"action": "close_position"},
        position="bobs-own",
        **_refused("trade_not_found"),
    ),
    Case(
        "bad config",
        "Alice Main",
        "margin_guard",
        {"action": "close_position", "margin_threshold": 0.85},
        position="calm",
        **_refused("invalid_config"),
    ),
    Case(
        "unknown type", "Alice Main", "grid_bot", {"levels": 5}, position="calm", **_refused("unknown_automation_type")
    ),
    Case(
        "unknown action",
        "Alice Main",
        "margin_guard",
        {"action": "close_position"},
        position="calm",
        action="liquidate",
        **_refused("unknown_action"),
    ),
    Case(
        "automation switched off",
        "Alice Main",
        "margin_guard",
        {"action": "close_position"},
        position="calm",
        is_on=False,
        status="cancelled",
        logged=(),
    ),
)

_DELIVERY = (
    Case(
        "enqueued twice, one key",
        "Alice Main",
        "margin_guard",
        {"action": "add_margin", "add_margin_amount": 1_000},
        position="once",
        times=2,
        changes=(Change("add_margin", "once", 1_000),),
    ),
    Case(
        "message of another producer",
        "Alice Main",
        "margin_guard",
        {"action": "close_position"},
        position="seed",
        action="margin_guard",
        foreign=True,
        changes=(Change("close", "seed"),),
    ),
)

CASES = (*_MARGIN_GUARD, *_TP_SL, *_AUTO_ENTRY, *_MUST_NOT, *_DELIVERY)
TYPES = ("margin_guard", "tp_sl", "auto_entry")


def filled(value: Any, trade_ids: Mapping[str, str]) -> Any:
    """Return a config with its ``trade:<name>`` texts replaced by trade ids."""
    if isinstance(value, str) and value.startswith("trade:"):
        return trade_ids[value.removeprefix("trade:")]
    if isinstance(value, Mapping):
        return {key: filled(item, trade_ids) for key, item in value.items()}
    return [filled(item, trade_ids) for item in value] if isinstance(value, list) else value
