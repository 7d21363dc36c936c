"""Proof, sat by sat, that the books are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from axisor_paper_exchange.engine import arithmetic
from axisor_paper_exchange.engine.account import Account
from axisor_paper_exchange.engine.cross import CrossPosition, Resting
from axisor_paper_exchange.engine.exchange import Exchange
from axisor_paper_exchange.engine.exposure import FINE
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
            taken += _taken(trade)
        cross = account.cross
        money += account.balance + cross.exposure.margin
        taken += cross.trading_fees + cross.funding_fees - cross.realized
    if money + taken != exchange.deposits:
        problems.append(f"deposits {exchange.deposits} != all that is held {money} + fees and losses {taken}")
    return problems


def _account(account: Account, last: int) -> Iterator[str]:
    total = sum(entry.amount for entry in account.ledger)
    if total != account.balance:
        yield f"account {account.id}: balance {account.balance}, but its ledger adds up to {total}"
    if account.balance < 0:
        yield f"account {account.id}: balance {account.balance} is negative"
    moved = -sum(entry.amount for entry in account.ledger if entry.kind in {"cross_deposited", "cross_withdrawn"})
    transferred = sum(transfer.amount for transfer in account.cross.transfers.rows())
    if moved != transferred:
        yield f"account {account.id}: its ledger moved {moved} into the cross wallet, its transfers {transferred}"
    yield from _cross(account.cross, transferred, last)
    paid: Counter[str] = Counter()
    for entry in account.ledger:
        if entry.trade_id is not None:
            paid[entry.trade_id] -= entry.amount
    if unknown := paid.keys() - account.trades.keys():
        yield f"account {account.id}: ledger names unknown trades {sorted(unknown)}"
    for trade in account.trades.values():
        yield from _trade(trade, paid[trade.id], last)
    yield from _funding(account)
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


def _taken(trade: Trade) -> int:
    """Return the sats that fees, losses and funding took from a trade's owner, less its profits."""
    fees = trade.opening_fee + trade.closing_fee + trade.sum_funding_fees
    return fees - trade.realized - trade.sum_cash_in_pl


def _liquidations(trade: Trade) -> list[int]:
    """Return the liquidation price that follows from the margin, and that of a trade as it was opened."""
    backings = [trade.margin]
    if trade.margin == trade.entry_margin:
        backings.append(arithmetic.liquidation_margin(trade.quantity, trade.entry_price, trade.leverage))
    return [
        arithmetic.liquidation(trade.side, trade.quantity, trade.entry_price, backing, trade.cashed_profit)
        for backing in backings
    ]


def _trade(trade: Trade, paid: int, last: int) -> Iterator[str]:
    """Check one trade: `paid` is what its owner's ledger says it took, net, in sats."""
    owed = trade.held + _taken(trade)
    if trade.state == "canceled":
        owed = 0
    if paid != owed:
        yield f"trade {trade.id} ({trade.state}): took {paid}, accounts for {owed}"
    if trade.state == "running":
        if trade.margin < 1:
            yield f"trade {trade.id}: running with a margin of {trade.margin}"
        if trade.liquidation not in (expected := _liquidations(trade)):
            yield f"trade {trade.id}: liquidation {trade.liquidation} ticks, should be {expected[0]}"
        if trade.side * last <= trade.side * trade.liquidation:
            yield f"trade {trade.id}: running beyond its liquidation price"
    if trade.state == "closed":
        profit = arithmetic.profit(trade.side, trade.quantity, trade.entry_price, trade.exit_price, trade.cashed_profit)
        if trade.realized != max(profit, -trade.margin):
            yield f"trade {trade.id}: realized {trade.realized}, should be {max(profit, -trade.margin)}"


def _funding(account: Account) -> Iterator[str]:
    """Check that the records of funding fees say what was taken."""
    recorded: Counter[str | None] = Counter()
    for row in account.paid_funding.rows():
        recorded[row.trade_id] += row.fee
    for trade in account.trades.values():
        rows = account.paid_funding_of.get(trade.id)
        listed = sum(row.fee for row in rows.rows()) if rows else 0
        if not recorded[trade.id] == listed == trade.sum_funding_fees:
            yield f"trade {trade.id}: funding fees {trade.sum_funding_fees}, recorded {recorded[trade.id]} and {listed}"


def _cross(position: CrossPosition, transferred: int, last: int) -> Iterator[str]:
    """Check an account's cross wallet and position against its transfers (sats), orders and funding records."""
    where = f"cross position {position.id}"
    exposure = position.exposure
    filled = position.filled.rows()
    sums = {
        "quantity": (exposure.quantity, sum(order.side * order.quantity for order in filled)),
        "realized": (position.realized, sum(order.realized for order in filled)),
        "trading fees": (position.trading_fees, sum(order.trading_fee for order in filled)),
        "funding fees": (position.funding_fees, sum(row.fee for row in position.paid_funding.rows())),
        "margin": (
            exposure.margin,
            transferred + position.realized - position.trading_fees - position.funding_fees,
        ),
    }
    for name, (value, expected) in sums.items():
        if value != expected:
            yield f"{where}: {name} {value}, but its records add up to {expected}"
    if exposure.margin < 0:
        yield f"{where}: margin {exposure.margin} is negative"
    if bool(exposure.quantity) != (exposure.cost > 0):
        yield f"{where}: quantity {exposure.quantity} at a worth of {exposure.cost / FINE}"
    if exposure.is_lost_at(last):
        yield f"{where}: running beyond its liquidation price"
    yield from _cross_orders(position)


def _cross_orders(position: CrossPosition) -> Iterator[str]:
    states = Counter(order.state for order in position.orders.values())
    if states["open"] != len(position.open) or states["filled"] != len(position.filled):
        listed = f"{len(position.open)} open, {len(position.filled)} filled"
        yield f"cross position {position.id}: lists {listed} of {dict(states)}"
    for side, resting in position.resting.items():
        orders = [order for order in position.open.values() if order.side == side]
        total = Resting(sum(order.quantity for order in orders), sum(order.worth for order in orders))
        if resting != total:
            yield f"cross position {position.id}: open orders of side {side} are summed up as {resting}, not {total}"
