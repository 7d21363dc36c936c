"""The endpoints of funding: settlements, and what they took from whom."""

from __future__ import annotations

from axisor_paper_exchange.engine import FundingFee, History
from axisor_paper_exchange.server.answer import Answer
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.paging import page
from axisor_paper_exchange.server.shapes import funding_fee_json, settlement_json

__all__ = ["routes"]

_NONE: History[FundingFee] = History()


def settlements(call: Call) -> Answer:
    """Return a page of funding settlements, newest first."""
    return page(call, call.exchange.settlements, settlement_json)


def isolated_fees(call: Call) -> Answer:
    """Return a page of the funding fees of isolated trades, newest first: of all, or of one of the account's own."""
    fields, account = call.query(), call.account
    if "tradeId" in fields:
        return page(call, account.paid_funding_of.get(fields.trade_id("tradeId"), _NONE), funding_fee_json)
    return page(call, account.paid_funding, funding_fee_json)


def cross_fees(call: Call) -> Answer:
    """Return a page of the funding fees of the cross position, newest first."""
    return page(call, call.account.cross.paid_funding, funding_fee_json)


routes: Routes = {
    ("GET", "/futures/funding-settlements"): Route(settlements, private=False),
    ("GET", "/futures/isolated/funding-fees"): Route(isolated_fees),
    ("GET", "/futures/cross/funding-fees"): Route(cross_fees),
}
