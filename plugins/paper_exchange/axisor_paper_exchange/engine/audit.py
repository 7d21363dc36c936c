"""Proof, sat by sat, that the books are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from axisor_paper_exchange.engine import arithmetic
from axisor_paper_exchange.engine.account import Account
from axisor_paper_exchange.engine.exchange import Exchange
from axisor_paper_exchange.engine.trade import Trade

__all__ = ["audit"]


def audit(exchange: Exchange) -> list[str]:
    """Return what does not add up, as sentences; empty when every sat is accounted for."""
    problems: list[str] = []
    money = taken = 0
    for account in exchange.accounts.values():
        problems += _account(account, exchange.market.last)
        for trade in account.trades.values():
            money += trade.held
            taken += trade.opening_fee + trade.closing_fee - trade.realized - trade.sum_cash_in_pl
        money += account.balance
    if money + taken != exchange.deposits:
        problems.append(f"deposits {exchange.deposits} != balances and margins {money} + fees and losses {taken}")
    return problems


def _account(account: Account, last: int) -> Iterator[str]:
    total = sum(entry.amount for entry in account.ledger)
    if total != account.balance:
        yield f"account {account.id}: balance {account.balance}, but its ledger adds up to {total}"
    if account.balance < 0:
        yield f"account {account.id}: balance {account.balance} is negative"
    paid: Counter[str] = Counter()
    for entry in account.ledger:
        if entry.trade_id is not None:
            paid[entry.trade_id] -= entry.amount
    if unknown := paid.keys() - account.trades.keys():
        yield f"account {account.id}: ledger names unknown trades {sorted(unknown)}"
    for trade in account.trades.values():
        yield from _trade(trade, paid[trade.id], last)
    states = Counter(trade.state for trade in account.trades.values())
    sizes = {
        "open": len(account.open),
        "running": len(account.running),
        "closed": len(account.closed),
        "canceled": len(account.canceled),
    }
    for state, size in sizes.items():
        if states[state] != size:  # type: ignore[index]
            yield f"account {account.id}: {states[state]} trades {state}, {size} listed"  # type: ignore[index]


def _trade(trade: Trade, paid: int, last: int) -> Iterator[str]:
    """Check one trade: `paid` is what its owner's ledger says it took, net, in sats."""
    owed = trade.held + trade.opening_fee + trade.closing_fee - trade.realized - trade.sum_cash_in_pl
    if trade.state == "canceled":
        owed = 0
    if paid != owed:
        yield f"trade {trade.id} ({trade.state}): took {paid}, accounts for {owed}"
    if trade.state == "running":
        backing = trade.margin
        if trade.margin == trade.entry_margin and not (trade.sum_cash_in_pl or trade.sum_cash_in_margin):
            backing = arithmetic.liquidation_margin(trade.quantity, trade.entry_price, trade.leverage)
        expected = arithmetic.liquidation(trade.side, trade.quantity, trade.entry_price, backing, trade.cashed_profit)
        if trade.liquidation != expected:
            yield f"trade {trade.id}: liquidation {trade.liquidation} ticks, should be {expected}"
        if trade.side * last <= trade.side * trade.liquidation:
            yield f"trade {trade.id}: running beyond its liquidation price"
    if trade.state == "closed":
        profit = arithmetic.profit(trade.side, trade.quantity, trade.entry_price, trade.exit_price, trade.cashed_profit)
        if trade.realized != max(profit, -trade.margin):
            yield f"trade {trade.id}: realized {trade.realized}, should be {max(profit, -trade.margin)}"
