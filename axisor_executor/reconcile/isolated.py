"""What became of an action on an isolated trade whose answer was lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from axisor_executor.automation import (
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    ClosePosition,
    OpenPosition,
    SetStopLoss,
    SetTakeProfit,
)
from axisor_executor.exchange.base import Trade
from axisor_executor.reconcile.verdict import Observation, SignedRequest, Verdict, nothing_yet


def baseline_of_trade(trade: Trade) -> dict[str, Any]:
    """Return what must be remembered of a trade before it is changed, as JSON."""
    return {
        "state": trade.state,
        "quantity": trade.quantity,
        "margin": trade.margin,
        "liquidation": str(trade.liquidation),
        "stoploss": None if trade.stoploss is None else str(trade.stoploss),
        "stoploss_trails": trade.stoploss_trailing_distance is not None,
        "takeprofit": None if trade.takeprofit is None else str(trade.takeprofit),
        "sum_funding_fees": trade.sum_funding_fees,
        "sum_cash_in": trade.sum_cash_in,
        "sum_cash_in_margin": trade.sum_cash_in_margin,
    }


def judge_trade(
    action: Action, baseline: Mapping[str, Any], seen: Observation, request: SignedRequest
) -> Verdict | None:
    """Say what became of ``action``; ``None`` where it is none on an isolated trade."""
    dead = request.is_dead(seen.server_time)
    match action:
        case OpenPosition():
            return _judge_open(action, seen, request, dead=dead)
        case ClosePosition():
            return _judge_close(baseline, seen, request, dead=dead)
        case CancelOrder():
            return _judge_cancel(seen, dead=dead)
        case SetTakeProfit(value=value):
            return _judge_level("takeprofit", value, baseline, seen, dead=dead)
        case SetStopLoss(value=value):
            return _judge_level("stoploss", value, baseline, seen, dead=dead)
        case AddMargin(amount=amount):
            return _judge_margin(amount, baseline, seen, dead=dead)
        case CashIn(amount=amount):
            return _judge_cash_in(amount, baseline, seen, dead=dead)
    return None


def _gone(dead: bool) -> Verdict:
    if not dead:
        return Verdict("unknown", "the trade is in none of the lists right now")
    return Verdict("uncertain", "the trade is in none of the exchange's lists any more")


def _judge_open(action: OpenPosition, seen: Observation, request: SignedRequest, *, dead: bool) -> Verdict:
    if len(seen.matches) > 1:
        ids = ", ".join(trade.id for trade in seen.matches)
        return Verdict("uncertain", f"more than one trade carries our client id: {ids}")
    if seen.matches:
        return Verdict("executed", "a trade carries our client id", seen.matches[0])
    alike = [trade.id for trade in seen.nameless if _may_be(action, trade, request)]
    if alike:
        why = f"no trade carries our client id, but without any there is one like ours: {', '.join(alike)}"
        return Verdict("uncertain" if dead else "unknown", why)
    return nothing_yet(dead, seen, "no trade carries our client id")


def _may_be(action: OpenPosition, trade: Trade, request: SignedRequest) -> bool:
    """Whether a trade may be ours, though the exchange shows no client id of it: it need not show what it keeps.

    Only what stays as it was asked for is compared: margin that is added changes the leverage, and anybody the levels.
    """
    is_like = (trade.type, trade.side, trade.quantity) == (action.type, action.side, action.quantity)
    at = trade.created_at
    return is_like and at >= request.signed_at - request.tolerance and not request.is_dead(at)


def _judge_close(baseline: Mapping[str, Any], seen: Observation, request: SignedRequest, *, dead: bool) -> Verdict:
    """Tell our close from others': at another time, a liquidation, a stop loss. No remainder may follow those."""
    trade = seen.trade
    if trade is None:
        return _gone(dead)
    if trade.state == "canceled":
        return Verdict("superseded", "the order was canceled", trade)
    if trade.state != "closed":
        return nothing_yet(dead, seen, f"the trade is still {trade.state}")
    other = _other_end(trade, baseline, request)
    if other is not None:
        return Verdict("superseded", other, trade)
    if trade.closed_at is None or trade.closed_at < request.signed_at - request.tolerance:
        return Verdict("uncertain" if dead else "unknown", "it can't be told whether our request closed it", trade)
    return Verdict("executed", "the trade is closed", trade)


def _other_end(trade: Trade, baseline: Mapping[str, Any], request: SignedRequest) -> str | None:
    """Say what closed the trade, if that can't have been our request."""
    if _passed(trade, trade.liquidation, up=not trade.is_long):
        return "the trade was liquidated"
    # A level that trails, or was moved since, is another one than before; on a closed trade it may be shown no more.
    if _passed(trade, trade.stoploss or _level(baseline, "stoploss"), up=not trade.is_long):
        return "the stop loss closed the trade"
    if _passed(trade, trade.takeprofit or _level(baseline, "takeprofit"), up=trade.is_long):
        return "the take profit closed the trade"
    if trade.closed_at is not None and request.is_early(trade.closed_at):
        return "the trade was closed before our request"
    if trade.closed_at is not None and request.is_dead(trade.closed_at):
        return "the trade was closed after our request had expired"
    return None


def _passed(trade: Trade, level: Decimal | None, *, up: bool) -> bool:
    """Whether the trade ended at or beyond a level (USD), above it (``up``) or below."""
    if trade.exit_price is None or level is None:
        return False
    return trade.exit_price >= level if up else trade.exit_price <= level


def _level(baseline: Mapping[str, Any], name: str) -> Decimal | None:
    return None if baseline.get(name) is None else Decimal(baseline[name])


def _judge_cancel(seen: Observation, *, dead: bool) -> Verdict:
    trade = seen.trade
    if trade is None:
        return _gone(dead)
    if trade.state == "canceled":
        return Verdict("executed", "the order is canceled", trade)
    if trade.state != "open":
        return Verdict("superseded", f"the order was filled and is {trade.state}", trade)
    return nothing_yet(dead, seen, "the order is still open")


def _judge_level(
    name: Literal["takeprofit", "stoploss"],
    target: Decimal,
    baseline: Mapping[str, Any],
    seen: Observation,
    *,
    dead: bool,
) -> Verdict:
    if seen.trade is None:
        return _gone(dead)
    now: Decimal | None = getattr(seen.trade, name)
    trails = name == "stoploss" and seen.trade.stoploss_trailing_distance is not None
    if now == target and not trails:
        return Verdict("executed", f"the {name} is {target}", seen.trade)
    if seen.trade.state in ("closed", "canceled"):
        return Verdict("superseded", f"the trade is {seen.trade.state}", seen.trade)
    if trails and baseline.get("stoploss_trails"):
        # It moves by itself, perhaps to our very value; ours would have fixed it.
        return nothing_yet(dead, seen, "the stoploss is still trailing")
    if now == _level(baseline, name) and not trails:
        return nothing_yet(dead, seen, f"the {name} is still {now}")
    if not dead:
        return Verdict(
            "unknown", f"someone else set the {name} to {now}; the request may still be accepted", seen.trade
        )
    return Verdict("superseded", f"someone else set the {name} to {now}", seen.trade)


def _judge_margin(amount: int, baseline: Mapping[str, Any], seen: Observation, *, dead: bool) -> Verdict:
    if seen.trade is None:
        return _gone(dead)
    change = seen.trade.margin - int(baseline["margin"])
    funding = seen.trade.sum_funding_fees - int(baseline["sum_funding_fees"])
    name = "sum_cash_in_margin" if "sum_cash_in_margin" in baseline else "sum_cash_in"  # of versions before
    cashed = getattr(seen.trade, name) - int(baseline[name])
    what = "margin, but for what was cashed in," if cashed else "margin"
    return _judge_amount(what, amount, change + cashed, {0, -funding}, seen, dead=dead)


def _judge_cash_in(amount: int, baseline: Mapping[str, Any], seen: Observation, *, dead: bool) -> Verdict:
    if seen.trade is None:
        return _gone(dead)
    change = seen.trade.sum_cash_in - int(baseline["sum_cash_in"])
    return _judge_amount("cashed-in total", amount, change, {0}, seen, dead=dead)


def _judge_amount(what: str, amount: int, change: int, drifts: set[int], seen: Observation, *, dead: bool) -> Verdict:
    """``drifts`` are the changes (sats) that funding may have caused meanwhile: it is not always the margin's."""
    executed = any(change == amount + drift for drift in drifts)
    untouched = change in drifts
    if executed and not untouched:
        return Verdict("executed", f"the {what} changed by {change} sats", seen.trade)
    if untouched and not executed:
        return nothing_yet(dead, seen, f"the {what} did not change by the amount")
    if not dead:
        return Verdict("unknown", f"the {what} changed by {change} sats, which proves nothing yet", seen.trade)
    return Verdict("uncertain", f"the {what} changed by {change} sats instead of {amount} or 0", seen.trade)
