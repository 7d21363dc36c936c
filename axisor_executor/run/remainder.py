"""What was meant for a trade that another execution has closed to reduce it, judged by what that trade has become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from axisor_executor.automation import ClosePosition, SetStopLoss, SetTakeProfit
from axisor_executor.exchange.base import Trade
from axisor_executor.reconcile import Verdict
from axisor_executor.run.patience import is_given_up
from axisor_executor.storage import history, lineage
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage


def judge(
    storage: Storage, look: Callable[[LedgerAction], Verdict], sent: LedgerAction, verdict: Verdict
) -> Verdict | None:
    """Judge what was for a trade that was closed to be reduced; ``None`` for all else.

    What came to nothing is decided again on the remainder, and so is a level that it was opened without. Nothing can
    come of the request itself any more, however long it lives: the trade that it names is gone.

    Args:
        storage: the database.
        look: asks the exchange, and judges what it shows.
        sent: the action.
        verdict: what was found out of it on the trade that it names.

    Raises:
        AxisorError: as ``look``.
    """
    action, trade = sent.action, verdict.evidence
    is_level = isinstance(action, (SetStopLoss, SetTakeProfit))
    if verdict.outcome != "superseded" and not (is_level and verdict.outcome == "executed"):
        return None
    if not (is_level or isinstance(action, ClosePosition)):
        return None
    if not isinstance(trade, Trade) or trade.state != "closed":
        return None
    if verdict.outcome == "superseded" and is_level and _was_set_by_another(sent, trade):
        return None
    # Two reduces of a trade, both of whose closes are not known, would wait for each other.
    owing = lineage.unresolved(storage, sent.account_id, trade.id, but=sent.execution_id, for_certain=not is_level)
    if owing is not None and verdict.outcome == "executed" and is_given_up(sent, storage.now):
        return None  # it did take effect; what the other one makes of it may never be known
    if owing is not None:
        return Verdict("unknown", f"what execution {owing} makes of the trade's remainder is not known yet", trade)
    now = lineage.current_id(storage, sent.account_id, trade.id)
    if now == trade.id:
        return None
    if verdict.outcome == "executed":
        left = _look_at_what_is_left(storage, look, sent, now)
        if left.outcome != "not_executed":
            return left
    return Verdict("not_executed", f"the trade was closed to be reduced, and goes on as {now}", trade)


def _look_at_what_is_left(
    storage: Storage, look: Callable[[LedgerAction], Verdict], sent: LedgerAction, now: str
) -> Verdict:
    """Judge a level that was set before its trade was reduced by what that has become.

    ``not_executed``: neither was it opened with the level, nor was that changed since.
    """
    action = sent.action
    assert isinstance(action, (SetStopLoss, SetTakeProfit))
    name = _level_of(action)
    reopens = history.reopens(storage, sent.account_id, action.trade_id, now)
    opened_with = {reopen.new_trade_id: getattr(reopen.action, name) for reopen in reopens}
    level = action.value if action.value in opened_with.values() else opened_with.get(now)
    as_opened = {name: None if level is None else str(level)}
    # No request of ours is for this trade: what it shows is what it is, as behind one that is dead.
    verdict = look(replace(sent, action=replace(action, trade_id=now), baseline=as_opened, timestamp_ms=0))
    if verdict.evidence is None:
        return Verdict("unknown", f"trade {now}, as which its trade goes on, is in none of the lists right now")
    if isinstance(verdict.evidence, Trade) and verdict.evidence.state == "closed":
        owing = lineage.unresolved(storage, sent.account_id, now, but=sent.execution_id)
        if owing is not None or lineage.current_id(storage, sent.account_id, now) != now:
            return Verdict("unknown", f"trade {now}, as which its trade goes on, is just being reduced")
    return verdict


def _level_of(action: SetStopLoss | SetTakeProfit) -> str:
    return "stoploss" if isinstance(action, SetStopLoss) else "takeprofit"


def _was_set_by_another(sent: LedgerAction, trade: Trade) -> bool:
    """Whether the level that a trade had at its end is neither ours nor the one that it had before."""
    assert isinstance(sent.action, (SetStopLoss, SetTakeProfit))
    name = _level_of(sent.action)
    now, before = getattr(trade, name), (sent.baseline or {}).get(name)
    return now is not None and (before is None or now != Decimal(before))
