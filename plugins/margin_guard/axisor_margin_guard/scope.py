"""The trades of a pass: which are running, and what became of the selected ones that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import AccountContext, Group
from axisor_executor.errors import AxisorError, ExchangeError, Held, NotFound
from axisor_executor.exchange.base import Trade
from axisor_margin_guard.config import MarginGuardConfig

Context = AccountContext[MarginGuardConfig]
MOST_LOOKUPS = 3
"""How many trades a pass with running ones looks for in the history: each may cost dozens of requests, and a decision
that takes too long guards nobody."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A trade that nothing could be decided on."""

    trade_id: str
    error: AxisorError


def in_scope(context: Context) -> tuple[list[Trade], list[str]]:
    """Return the running trades in the config's scope, and the ids of the selected ones that are not running.

    Nothing but the running trades is read: whatever else fails, these are known.
    """
    running = context.running_trades()
    if context.config.scope == "all":
        return list(running), []
    by_id = {trade.id: trade for trade in running}
    wanted = dict.fromkeys(context.current_id(named) for named in context.config.selected_positions)
    return [by_id[one] for one in wanted if one in by_id], [one for one in wanted if one not in by_id]


def look_for(context: Context, trade_ids: Sequence[str], *, guarding: bool) -> tuple[list[Group], list[Failure]]:
    """Return what to list of selected trades that are not running, and those that can't be told about.

    Open orders first, the history for the rest, one by one. An exchange that fails to answer is not asked again in
    this pass, and while there are trades to guard (``guarding``), no more than :data:`MOST_LOOKUPS` are looked for.

    Raises:
        Held: nothing is to be guarded but a trade whose remainder is not known yet: the pass is to wait for it.
    """
    if not trade_ids:
        return [], []
    try:
        orders = {order.id: order for order in context.open_orders()}
    except AxisorError as error:
        return [], [Failure(one, error) for one in trade_ids]
    listed = [_order(context, orders[one]) for one in trade_ids if one in orders]
    rest = [one for one in trade_ids if one not in orders]
    most = MOST_LOOKUPS if guarding else len(rest)
    listed += [_not_looked_for(context, one) for one in rest[most:]]
    failures: list[Failure] = []
    for position, one in enumerate(rest[:most]):
        try:
            listed.append(_finished(context, one))
        except Held as error:
            if not guarding:
                raise  # nobody is held up by a pass that waits
            listed.append(_held(context, one, error))
        except ExchangeError as error:
            failures += [Failure(unanswered, error) for unanswered in rest[position:most]]
            break
        except AxisorError as error:
            failures.append(Failure(one, error))
    return listed, failures


def _finished(context: Context, trade_id: str) -> Group:
    """Return the listing of a selected trade that is over, or was an order until just now.

    Raises:
        NotFound: this account has no such trade.
        Held: it was closed to be reduced, and its remainder is not known yet.
        AxisorError: the history can't be read, or not to its end.
    """
    trade = context.find_trade(trade_id)
    if trade is None:
        raise NotFound(f"Trade {trade_id} not found on account {context.account.name}", code="trade_not_found")
    if trade.state == "running":
        return Group(context.job.action, trade_id=trade.id, status="pending", facts={"reason": "just_filled"})
    facts = {"state": trade.state, "alreadyClosed": True}
    return Group(context.job.action, trade_id=trade.id, status="completed", facts=facts)


def _order(context: Context, order: Trade) -> Group:
    """Return the listing of a selected order that is not filled yet."""
    facts: dict[str, Any] = {"state": order.state, "reason": "trade_not_running"}
    return Group(context.job.action, trade_id=order.id, status="pending", facts=facts)


def _held(context: Context, trade_id: str, error: Held) -> Group:
    """Return the listing of a trade that was closed to be reduced, and of whose remainder nobody knows yet."""
    facts = {"reason": error.code, **error.details}
    return Group(context.job.action, trade_id=trade_id, status="pending", facts=facts)


def _not_looked_for(context: Context, trade_id: str) -> Group:
    """Return the listing of a trade that is neither running nor an order, and of which no more was asked."""
    return Group(context.job.action, trade_id=trade_id, status="pending", facts={"reason": "history_not_searched"})
