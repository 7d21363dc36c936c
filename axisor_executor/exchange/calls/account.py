"""The account: who it is, what it has, and what the exchange told it."""

from __future__ import annotations

from datetime import datetime

from axisor_executor.exchange.answers import account as read
from axisor_executor.exchange.answers.fields import page_of
from axisor_executor.exchange.base import Answer, ExchangeAccount, Page
from axisor_executor.exchange.calls.caller import Caller
from axisor_executor.exchange.calls.encoding import page_query
from axisor_executor.exchange.records import Notification


class AccountCalls(Caller):
    """What the account's owner may ask about it."""

    def account(self) -> Answer[ExchangeAccount]:
        """Return the exchange's view of the account: user id and free balance in sats."""
        return self._read("account", "/account", read.account)

    def notifications(
        self,
        *,
        is_read: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[Notification]]:
        """Return one page of notifications, of those from ``since`` to ``until``.

        ``is_read`` chooses the read or the unread ones; left out, the exchange chooses (the unread). ``limit`` is 1
        to 1000 (1000 if left out); the next page is found by this one's ``next_cursor``.
        """
        wanted = None if is_read is None else str(is_read).lower()
        query = {"read": wanted, **page_query(since, until, cursor, limit)}
        return self._read("notifications", "/account/notifications", page_of(read.notification), query)
