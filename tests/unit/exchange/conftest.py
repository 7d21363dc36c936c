"""One trader with a million sats for the tests against the paper exchange."""

from __future__ import annotations

import pytest

from axisor_executor.exchange import LNMarketsClient
from tests.harness.paper import PaperAccount, PaperExchange
from tests.unit.exchange.trader import client_of


@pytest.fixture
def account(paper: PaperExchange) -> PaperAccount:
    """The trader's account."""
    return paper.create_account("trader", balance=1_000_000)


@pytest.fixture
def client(paper: PaperExchange, account: PaperAccount) -> LNMarketsClient:
    """The trader's client."""
    return client_of(paper, account)
