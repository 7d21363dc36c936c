"""The simulated exchange itself: pure, no I/O, no clock; the server is one way to use it, a backtest another."""

from axisor_paper_exchange.engine.account import Account, LedgerEntry
from axisor_paper_exchange.engine.arithmetic import LONG, MAX_PRICE, SATS_PER_BTC, SHORT, ticks, usd
from axisor_paper_exchange.engine.audit import audit
from axisor_paper_exchange.engine.cross import CrossOrder, CrossPosition, CrossTransfer, NewCrossOrder
from axisor_paper_exchange.engine.exchange import Exchange
from axisor_paper_exchange.engine.exposure import Exposure
from axisor_paper_exchange.engine.fired import Fired, Funded
from axisor_paper_exchange.engine.funding import FUNDING_PERIOD, FundingFee, Settlement
from axisor_paper_exchange.engine.history import History
from axisor_paper_exchange.engine.ids import seeded_ids
from axisor_paper_exchange.engine.rejection import Rejected
from axisor_paper_exchange.engine.trade import NewTrade, Trade

__all__ = [
    "FUNDING_PERIOD",
    "LONG",
    "MAX_PRICE",
    "SATS_PER_BTC",
    "SHORT",
    "Account",
    "CrossOrder",
    "CrossPosition",
    "CrossTransfer",
    "Exchange",
    "Exposure",
    "Fired",
    "Funded",
    "FundingFee",
    "History",
    "LedgerEntry",
    "NewCrossOrder",
    "NewTrade",
    "Rejected",
    "Settlement",
    "Trade",
    "audit",
    "seeded_ids",
    "ticks",
    "usd",
]
