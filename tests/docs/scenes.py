"""The runs whose results stand in ``docs/results.md``: each is carried out for real, and told with readable ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from axisor_executor import api
from tests.harness.cross import Owner
from tests.harness.world import Account, World

Scene = Callable[[World], dict[str, Any]]
SCENES: dict[str, Scene] = {}

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRADES = ("trade123", "trade456", "trade789")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def scene(make: Scene) -> Scene:
    """Keep a scene under its name with hyphens, as the page marks it."""
    SCENES[make.__name__.replace("_", "-")] = make
    return make


def play(world: World, name: str) -> dict[str, Any]:
    """Carry a scene out at a last price of 50 000 USD and return its result with readable ids."""
    world.paper.clear_faults()
    world.move_price(50_000)
    return readable(SCENES[name](world))


def readable(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with ids and instants that say what they are."""
    ids = {result["executionId"]: "exec001", result["automationId"]: "auto789", result["accountId"]: "acc456"}
    if old := result.get("result", {}).get("oldTradeId"):
        ids[old] = _TRADES[0]
    if result.get("result", {}).get("marginMode") == "cross":
        ids[result["tradeId"]] = "position123"
    if order := result.get("result", {}).get("orderId"):
        ids[order] = "order123"
    text = json.dumps(result, ensure_ascii=False)
    if twin := result.get("duplicateOf"):
        ids[twin] = "exec000"
    for found in _UUID.findall(text):
        if found not in ids:
            ids[found] = next(name for name in _TRADES if name not in ids.values())
    for found, name in ids.items():
        text = text.replace(str(found), name)
    shown: dict[str, Any] = json.loads(_INSTANT.sub("2026-01-02T03:04:05.678Z", text))
    return shown


def _guarded(world: World, config: dict[str, Any], **trade: Any) -> tuple[Account, str, str]:
    account = world.account()
    return account, world.open_trade(account, **trade), world.automation(account, "margin_guard", config)


# margin_guard


@scene
def margin_guard_close_position(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position"})
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_threshold(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position", "margin_threshold": 80})
    world.move_price(46_000)
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_pending(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position", "margin_threshold": 90})
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_add_margin(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "add_margin", "add_margin_amount": 5000})
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_reduce_position(world: World) -> dict[str, Any]:
    config = {"action": "reduce_position", "reduce_percentage": 50}
    _, trade_id, guard = _guarded(world, config, stoploss=46_000)
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_already_closed(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position"})
    world.run(guard, trade_id=trade_id)
    return world.run(guard, trade_id=trade_id)


@scene
def margin_guard_scope_all(world: World) -> dict[str, Any]:
    config = {"action": "close_position", "scope": "all", "margin_threshold": 80}
    account, _, guard = _guarded(world, config, leverage=10)
    world.open_trade(account, leverage=2)
    world.move_price(46_000)
    return world.run(guard)


@scene
def margin_guard_cross_reduce(world: World) -> dict[str, Any]:
    account = world.account()
    Owner(world, account).hold(100)
    config = {"action": "reduce_position", "reduce_percentage": 50, "margin_mode": "cross"}
    return world.run(world.automation(account, "margin_guard", config))


@scene
def margin_guard_cross_nothing(world: World) -> dict[str, Any]:
    config = {"action": "close_position", "margin_mode": "cross"}
    return world.run(world.automation(world.account(), "margin_guard", config))


@scene
def margin_guard_cooldown(world: World) -> dict[str, Any]:
    config = {"action": "add_margin", "add_margin_amount": 5000, "cooldown_seconds": 300}
    _, trade_id, guard = _guarded(world, config)
    world.run(guard, trade_id=trade_id)
    return world.run(guard, trade_id=trade_id)


# tp_sl


@scene
def tp_sl_update_sl(world: World) -> dict[str, Any]:
    account = world.account()
    trade_id = world.open_trade(account)
    return world.run(
        world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000}), trade_id=trade_id
    )


@scene
def tp_sl_close_tp(world: World) -> dict[str, Any]:
    account = world.account()
    world.open_trade(account)
    world.move_price(55_000)
    return world.run(world.automation(account, "tp_sl", {"action": "close_tp", "trigger_price": 55_000}))


@scene
def tp_sl_already_set(world: World) -> dict[str, Any]:
    account = world.account()
    world.open_trade(account, takeprofit=60_000)
    return world.run(world.automation(account, "tp_sl", {"action": "update_tp", "new_takeprofit": 60_000}))


@scene
def tp_sl_pending(world: World) -> dict[str, Any]:
    account = world.account()
    world.open_trade(account)
    return world.run(world.automation(account, "tp_sl", {"action": "close_sl", "trigger_pnl_percentage": -25}))


# auto_entry


@scene
def auto_entry_market(world: World) -> dict[str, Any]:
    return world.run(world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100}))


@scene
def auto_entry_limit(world: World) -> dict[str, Any]:
    config = {"side": "buy", "quantity": 100, "trigger_price": 48_000, "trigger_type": "limit"}
    return world.run(world.automation(world.account(), "auto_entry", config))


@scene
def auto_entry_pending(world: World) -> dict[str, Any]:
    config = {"side": "b", "quantity": 100, "trigger_price": 45_000}
    return world.run(world.automation(world.account(), "auto_entry", config))


@scene
def auto_entry_max_open_trades(world: World) -> dict[str, Any]:
    entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100, "max_open_trades": 1})
    world.run(entry)
    return world.run(entry)


# Ends without an effect, and states on the way


@scene
def failed_config(world: World) -> dict[str, Any]:
    return world.run(world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100, "stop_loss": 1}))


@scene
def failed_refused(world: World) -> dict[str, Any]:
    config = {"side": "b", "quantity": 100, "stoploss": 51_000}
    return world.run(world.automation(world.account(), "auto_entry", config))


@scene
def failed_rejected(world: World) -> dict[str, Any]:
    entry = world.automation(world.account(balance=1000), "auto_entry", {"side": "b", "quantity": 100})
    return world.run(entry)


@scene
def cancelled_disabled(world: World) -> dict[str, Any]:
    entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100}, is_active=False)
    return world.run(entry)


@scene
def cancelled_duplicate(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position"})
    api.enqueue(world.job(guard, trade_id=trade_id))
    return api.get_result(api.enqueue(world.job(guard, trade_id=trade_id)))


@scene
def expired(world: World) -> dict[str, Any]:
    entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100})
    execution_id = api.enqueue(world.job(entry))
    world.make_older(execution_id, seconds=120)
    return world.go_on(execution_id)


@scene
def queued(world: World) -> dict[str, Any]:
    entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100})
    return api.get_result(api.enqueue(world.job(entry)))


@scene
def waiting(world: World) -> dict[str, Any]:
    _, trade_id, guard = _guarded(world, {"action": "close_position"})
    world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade/close", status=503)
    return world.run(guard, trade_id=trade_id)


@scene
def uncertain(world: World) -> dict[str, Any]:
    """The answer to a close is lost, and the account's key is replaced by another exchange user's meanwhile."""
    account, trade_id, guard = _guarded(world, {"action": "close_position"})
    world.paper.add_fault("drop_before", route="POST /v3/futures/isolated/trade/close")
    execution_id = world.run(guard, trade_id=trade_id)["executionId"]
    account.paper = world.paper.create_account("another user")
    with world.storage.connection():
        world.storage.run(
            "UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", world.written(account), account.id
        )
    return world.go_on(execution_id)


@scene
def half_done_reduce(world: World) -> dict[str, Any]:
    """The remainder of a reduced position can't be opened again: the exchange refuses it."""
    _, trade_id, guard = _guarded(world, {"action": "reduce_position", "reduce_percentage": 50})
    world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=400, count=1)
    return world.run(guard, trade_id=trade_id)
