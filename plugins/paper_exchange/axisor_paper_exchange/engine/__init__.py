"""The simulated exchange itself: pure, no I/O, no clock; the server is one way to use it, a backtest another."""

from axisor_paper_exchange.engine.account import Account, LedgerEntry
from axisor_paper_exchange.engine.arithmetic import LONG, MAX_PRICE, SATS_PER_BTC, SHORT, ticks, usd
from axisor_paper_exchange.engine.audit import audit
from axisor_paper_exchange.engine.exchange import Exchange, Fired, seeded_ids
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import NewTrade, Trade

__all__ = [
    "LONG",
    "MAX_PRICE",
    "SATS_PER_BTC",
    "SHORT",
    "Account",
    "Exchange",
    "Fired",
    "LedgerEntry",
    "NewTrade",
    "Rejected",
    "Trade",
    "audit",
    "seeded_ids",
    "ticks",
    "usd",
]
