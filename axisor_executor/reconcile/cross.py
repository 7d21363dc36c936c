"""What became of an action on the cross position whose answer was lost. Pure.

A reduce is an order with our client id. A close has none: it is recognised by what it leaves, a position of 0 after a
market order. The exchange shows the position as it is now and the orders that were filled, so what the position held
after each of them is known by going back from now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from axisor_executor.automation import Action, CloseCrossPosition, ReduceCrossPosition
from axisor_executor.exchange.base import CrossOrder, CrossPosition
from axisor_executor.reconcile.verdict import Observation, SignedRequest, Verdict, nothing_yet


def baseline_of_position(position: CrossPosition) -> dict[str, Any]:
    """Return what must be remembered of the cross position before it is changed, as JSON."""
    return {
        "id": position.id,
        "quantity": position.quantity,
        "entry_price": None if position.entry_price is None else str(position.entry_price),
        "liquidation": None if position.liquidation is None else str(position.liquidation),
        "leverage": str(position.leverage),
        "margin": position.margin,
        "running_margin": position.running_margin,
        "total_pl": position.total_pl,
    }


def judge_cross(
    action: Action,
    baseline: Mapping[str, Any],
    seen: Observation,
    request: SignedRequest,
    *,
    client_id: str | None,
) -> Verdict | None:
    """Say what became of ``action``; ``None`` where it is none on the cross position."""
    dead = request.is_dead(seen.server_time)
    match action:
        case CloseCrossPosition():
            return _judge_close(baseline, seen, request, dead=dead)
        case ReduceCrossPosition():
            return _judge_reduce(action, baseline, seen, request, client_id=client_id, dead=dead)
    return None


@dataclass(frozen=True, slots=True)
class _Fill:
    """A filled order, and what the position held after it (signed USD)."""

    order: CrossOrder
    after: int

    @property
    def at(self) -> datetime:
        return self.order.filled_at or self.order.created_at

    @property
    def before(self) -> int:
        return self.after - _signed(self.order)


def _signed(order: CrossOrder) -> int:
    return order.quantity if order.side == "buy" else -order.quantity


def _fills(held: int, orders: Sequence[CrossOrder]) -> list[_Fill]:
    """Return the filled orders, oldest first, with what the position held after each, going back from ``held``."""
    filled = sorted(
        (order for order in orders if order.state == "filled"), key=lambda order: order.filled_at or order.created_at
    )
    fills: list[_Fill] = []
    for order in reversed(filled):
        fills.append(_Fill(order, held))
        held = fills[-1].before
    return fills[::-1]


def _judge_close(baseline: Mapping[str, Any], seen: Observation, request: SignedRequest, *, dead: bool) -> Verdict:
    """Tell whether a market order without an id left nothing of the position, after the instant of the baseline.

    Somebody's own close at the market looks the same, and is as good: the position that was to be closed is. One from
    when the request was dead is theirs for certain.
    """
    if seen.position is None:
        return _nowhere(dead)
    fills = _fills(seen.position.quantity, seen.orders)
    ends = [index for index, fill in enumerate(fills) if _is_end(fill, request)]
    ours = [index for index in ends if _is_nameless(fills[index].order) and not request.is_dead(fills[index].at)]
    held = int(baseline["quantity"])
    starts = _starts(fills, seen.position.quantity, held, request)
    if ours and (ours[-1] == len(fills) - 1 or (starts and starts[-1] <= ours[-1])):
        nearest = min((fills[index] for index in ours), key=lambda fill: abs(fill.at - request.signed_at))
        return Verdict("executed", "a market order closed the position", nearest.order)
    if seen.position.side is None:
        return _flat(fills, seen.position, dead=dead)
    if starts and not _in_doubt(fills, starts, ends, held, request):
        return nothing_yet(dead, seen, "nothing closed the cross position")
    if not dead:
        return Verdict("unknown", "it can't be told what changed the cross position", seen.position)
    what = "perhaps closed and opened again" if starts else "changed by orders that don't explain what it holds"
    return Verdict("uncertain", f"the cross position was {what} around the request", seen.position)


def _is_nameless(order: CrossOrder) -> bool:
    return order.type == "market" and order.client_id is None


def _is_end(fill: _Fill, request: SignedRequest) -> bool:
    return fill.order.type == "market" and fill.after == 0 and fill.at >= request.signed_at - request.tolerance


def _starts(fills: Sequence[_Fill], now: int, held: int, request: SignedRequest) -> list[int]:
    """Return before which fills the baseline may have been read: where the position held what it shows.

    ``len(fills)`` stands for after all of them. Nothing that was filled certainly after the request is before it.
    """
    path = [*(fill.before for fill in fills), now]
    return [
        index
        for index, quantity in enumerate(path)
        if quantity == held and (index == 0 or fills[index - 1].at <= request.signed_at + request.tolerance)
    ]


def _in_doubt(
    fills: Sequence[_Fill], starts: Sequence[int], ends: Sequence[int], held: int, request: SignedRequest
) -> bool:
    """Whether a close may be ours: one behind a possible baseline, or hidden among orders of one instant.

    Or one over just what was ``held``, whatever it seems to have left: where a list begins with orders that were placed
    after an instant (that is not documented), an older one that was filled since is missing from it.
    """
    if any(start <= index for start in starts for index in ends):
        return True
    recent = [fill for fill in fills if fill.at >= request.signed_at - request.tolerance]
    if any(_is_nameless(fill.order) and _signed(fill.order) == -held for fill in recent):
        return True
    return any(one.at == next_one.at for one, next_one in pairwise(recent))


def _flat(fills: Sequence[_Fill], position: CrossPosition, *, dead: bool) -> Verdict:
    if not dead:
        # Nothing is left to be closed, but what is opened now could be, for as long as the request lives.
        return Verdict("unknown", "others closed the cross position; the request may still be accepted", position)
    if fills and fills[-1].order.type == "liquidation":
        return Verdict("superseded", "the cross position was liquidated", position)
    return Verdict("superseded", "others closed the cross position", position)


def _judge_reduce(
    action: ReduceCrossPosition,
    baseline: Mapping[str, Any],
    seen: Observation,
    request: SignedRequest,
    *,
    client_id: str | None,
    dead: bool,
) -> Verdict:
    ours = {order.id: order for order in seen.orders if client_id is not None and order.client_id == client_id}
    if len(ours) > 1:
        return Verdict("uncertain", f"more than one order carries our client id: {', '.join(sorted(ours))}")
    if not ours:
        if any(_may_be(action, order, request) for order in seen.orders):
            why = "no order carries our client id, but one without any is like ours"
            return Verdict("uncertain" if dead else "unknown", why, seen.position)
        return nothing_yet(dead, seen, "no order carries our client id")
    (order,) = ours.values()
    if order.state == "open":
        return Verdict("unknown", "our order is there and not filled yet", order)
    if seen.position is None:
        return _nowhere(dead)
    fills = _fills(seen.position.quantity, seen.orders)
    after = next((fill.after for fill in fills if fill.order.id == order.id), 0)
    if after * int(baseline["quantity"]) < 0:
        # It came after others had closed the position (a late request, a liquidation), and opened one of its own.
        return Verdict("uncertain", f"our order {order.id} turned the cross position: it held {after} USD after it")
    return Verdict("executed", "an order carries our client id", order)


def _may_be(action: ReduceCrossPosition, order: CrossOrder, request: SignedRequest) -> bool:
    """Whether an order may be ours, though the exchange shows no client id of it: it need not show what it keeps."""
    closes = order.side != action.side and order.quantity == action.quantity
    at = order.filled_at or order.created_at
    return _is_nameless(order) and closes and at >= request.signed_at - request.tolerance and not request.is_dead(at)


def _nowhere(dead: bool) -> Verdict:
    return Verdict("uncertain" if dead else "unknown", "the exchange shows no cross position")
