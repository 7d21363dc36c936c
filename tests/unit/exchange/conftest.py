"""One trader with a million sats for the tests against the paper exchange."""

from __future__ import annotations

import pytest

from axisor_executor.exchange import LNMarketsClient, clock
from tests.harness.paper import PaperAccount, PaperExchange
from tests.unit.exchange.trader import client_of


@pytest.fixture(autouse=True)
def nothing_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's client has compared the clocks."""
    monkeypatch.setattr(clock, "_compared", {})


@pytest.fixture
def account(paper: PaperExchange) -> PaperAccount:
    """The trader's account."""
    return paper.create_account("trader", balance=1_000_000)


@pytest.fixture
def client(paper: PaperExchange, account: PaperAccount) -> LNMarketsClient:
    """The trader's client."""
    return client_of(paper, account)
