"""The cross position right before something is done to it, and the one client call that does it."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from axisor_executor import arithmetic
from axisor_executor.automation import CloseCrossPosition, ReduceCrossPosition
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import StaleData
from axisor_executor.exchange.base import Answer, CrossOrder, CrossPosition, ExchangeClient, NewCrossOrder, Side
from axisor_executor.storage.actions import LedgerAction


class PositionNow(Protocol):
    """Where the cross position is read as it is now."""

    def cross_position_now(self) -> CrossPosition: ...


def position_for(action: CrossAction, reads: PositionNow) -> CrossPosition:
    """Return the position that is to be changed, as it is before; also where it holds nothing any more.

    The exchange would let an order that is larger than the position turn it.

    Raises:
        StaleData: it is not what was decided on: it was turned, or a reduce was to take from more than is left.
    """
    position = reads.cross_position_now()
    held = abs(position.quantity)
    turned = position.side != action.side or position.id != action.position_id
    if held and (turned or (isinstance(action, ReduceCrossPosition) and held < action.held)):
        raise StaleData(
            f"the cross position is {position.side} {held} USD now, decided on was {action.side} {action.held}",
            code="position_changed",
            details={"positionId": position.id, "side": position.side, "quantity": held},
        )
    return position


def call_cross(
    client: ExchangeClient, action: CrossAction, client_id: str | None, timestamp_ms: int
) -> Answer[CrossOrder]:
    """Make the one client call that carries out ``action``, signed with ``timestamp_ms``."""
    match action:
        case CloseCrossPosition():
            return client.close_cross_position(timestamp_ms=timestamp_ms)
        case ReduceCrossPosition(quantity=quantity):
            opposite: Side = "sell" if action.side == "buy" else "buy"
            order = NewCrossOrder(type="market", side=opposite, quantity=quantity, client_id=client_id)
            return client.open_cross_order(order, timestamp_ms=timestamp_ms)
    raise TypeError(f"no client call carries out {action!r}")


def realised(step: LedgerAction) -> tuple[int | None, int | None]:
    """Return what a confirmed close or reduce has brought: the P&L and the margin that was bound, in sats.

    The exchange's order has neither: the P&L is that from the position's entry to the order's price, before fees;
    the margin is the order's share of what the position bound before.
    """
    before, order = step.baseline or {}, step.answer or {}
    if not isinstance(step.action, CrossAction) or not before.get("quantity") or "quantity" not in order:
        return None, None
    quantity = int(order["quantity"])
    margin = int(before["running_margin"]) * min(quantity, abs(before["quantity"])) // abs(before["quantity"])
    if before["entry_price"] is None or Decimal(order["price"]) <= 0:
        return None, margin
    entry, exit_price = Decimal(before["entry_price"]), Decimal(order["price"])
    return arithmetic.pl(step.action.side, quantity, entry, exit_price), margin
