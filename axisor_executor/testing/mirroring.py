"""The same situation for a trade of the other side: prices are reflected at the entry, money stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import Act, Action, AutomationHandler, OpenPosition, SetStopLoss, SetTakeProfit
from axisor_executor.errors import AxisorError
from axisor_executor.exchange.base import CrossPosition, Side, Trade
from axisor_executor.testing.cases import Case, Outcome
from axisor_executor.testing.defaults import LAST_PRICE

OTHER: Mapping[str, Side] = {"buy": "sell", "sell": "buy"}
_SIDES = {**OTHER, "b": "s", "s": "b"}
_OF_TRADE = ("price", "entry_price", "exit_price", "liquidation", "stoploss", "takeprofit")


def mirror_config(handler: AutomationHandler[Any], config: Mapping[str, Any], axis: Decimal) -> dict[str, Any]:
    """Return a config with its prices (unit USD per BTC) reflected at ``axis``, and ``side`` the other one."""
    fields = handler.config_model.model_json_schema().get("properties", {})
    mirrored = dict(config)
    for key, value in config.items():
        if key == "side" and value in _SIDES:
            mirrored[key] = _SIDES[value]
        elif "USD per BTC" in _units(fields.get(key, {})) and value is not None:
            mirrored[key] = str(2 * axis - Decimal(str(value)))
    return mirrored


def axis_of(case: Case) -> Decimal:
    """Return the price at which a case is reflected: the entry of its first trade."""
    entries = [trade.entry_price or trade.price for trade in case.exchange.trades.values()]
    if case.exchange.cross is not None and case.exchange.cross.entry_price is not None:
        entries.append(case.exchange.cross.entry_price)
    return entries[0] if entries else LAST_PRICE


def mirror(case: Case, config: Mapping[str, Any], axis: Decimal) -> Case:
    """Return the case on the other side, with its config mirrored already."""
    exchange = case.exchange.copy()
    exchange.price = 2 * axis - exchange.price
    exchange.trades = {trade.id: _mirror_trade(trade, axis) for trade in exchange.trades.values()}
    if exchange.cross is not None:
        exchange.cross = _mirror_cross(exchange.cross, axis)
    return replace(case, config=config, exchange=exchange)


def shape(outcome: Outcome, price: Decimal) -> Any:
    """Return what must be alike on both sides: kinds of actions, whether prices lie in the trade's favour, errors."""
    if isinstance(outcome.error, AxisorError):
        return (type(outcome.error).__name__, outcome.error.code)
    if isinstance(outcome.decision, Act):
        return [
            (group.action, group.status, group.trade_id, [_shape_of(action, price) for action in group.actions])
            for group in outcome.decision.groups
        ]
    return getattr(outcome.decision, "reason", repr(outcome))


def mirror_shape(shape: Any) -> Any:
    """Return the shape that the other side must have."""
    if isinstance(shape, dict):
        return {key: _SWAPPED.get(value, value) if key != "kind" else value for key, value in shape.items()}
    if isinstance(shape, (list, tuple)):
        return type(shape)(mirror_shape(item) for item in shape)
    return shape


_SWAPPED = {"buy": "sell", "sell": "buy", "above": "below", "below": "above"}


def _shape_of(action: Action, price: Decimal) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": type(action).__name__, "target": action.target}
    if side := getattr(action, "side", None):
        shown["side"] = side
    if isinstance(action, (SetStopLoss, SetTakeProfit)):
        shown["value"] = _lies(action.value, price)
    if isinstance(action, OpenPosition):
        for name in ("price", "stoploss", "takeprofit"):
            shown[name] = _lies(getattr(action, name), price)
    return shown


def _lies(value: Decimal | None, price: Decimal) -> str | None:
    return None if value is None else "at" if value == price else "above" if value > price else "below"


def _mirror_trade(trade: Trade, axis: Decimal) -> Trade:
    return replace(trade, side=OTHER[trade.side], **_reflected(trade, _OF_TRADE, axis))


def _mirror_cross(cross: CrossPosition, axis: Decimal) -> CrossPosition:
    return replace(cross, quantity=-cross.quantity, **_reflected(cross, ("entry_price", "liquidation"), axis))


def _reflected(held: Trade | CrossPosition, names: tuple[str, ...], axis: Decimal) -> dict[str, Any]:
    reflect: Callable[[Decimal], Decimal] = lambda value: max(2 * axis - value, Decimal("0.5"))  # noqa: E731
    values = {name: getattr(held, name) for name in names}
    changed: dict[str, Any] = {name: reflect(value) for name, value in values.items() if value is not None}
    if values["liquidation"] == arithmetic.NO_LIQUIDATION:
        changed["liquidation"] = Decimal("0.5")
    return changed


def _units(field: Any) -> set[str]:
    if isinstance(field, Mapping):
        own = {str(field["unit"])} if "unit" in field else set()
        return own.union(*(_units(one) for one in field.values()))
    return set().union(*(_units(one) for one in field)) if isinstance(field, list) else set()
