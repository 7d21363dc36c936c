"""A trader on the paper exchange."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from tests.harness.paper import PaperAccount, PaperExchange


def client_of(paper: PaperExchange, account: PaperAccount, seconds: float = 10.0) -> LNMarketsClient:
    """A client with the account's keys and this deadline."""
    credentials = SecureCredentials(account.key, account.secret, account.passphrase)
    return LNMarketsClient(ExchangeOptions("paper", paper.url, request_timeout=seconds), credentials)


def is_now(instant: datetime) -> bool:
    """Whether it is this machine's time, give or take what a busy machine needs for a test."""
    return abs(datetime.now(UTC) - instant) < timedelta(seconds=30)
