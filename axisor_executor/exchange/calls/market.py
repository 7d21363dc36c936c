"""Public market data. The address may ask once a second, for all accounts together."""

from __future__ import annotations

from datetime import datetime

from axisor_executor.exchange.answers import market as read
from axisor_executor.exchange.answers.fields import page_of
from axisor_executor.exchange.base import Answer, Page, Ticker
from axisor_executor.exchange.calls.caller import Caller
from axisor_executor.exchange.calls.encoding import page_query
from axisor_executor.exchange.records import Candle, CandleRange, FundingSettlement, Leaderboard


class MarketCalls(Caller):
    """What anybody may ask, without a key."""

    def ping(self) -> Answer[str]:
        """Return ``"pong"`` if the exchange is there."""
        return self._read("ping", "/ping", read.pong, public=True)

    def server_time(self) -> Answer[datetime]:
        """Return the exchange's own time in UTC, with milliseconds."""
        return self._read("server_time", "/time", read.time, public=True)

    def ticker(self) -> Answer[Ticker]:
        """Return the market as it is. For a price that is fresh, ask a :class:`SharedTicker` instead."""
        return self._read("ticker", "/futures/ticker", read.ticker, public=True)

    def candles(
        self,
        range: CandleRange = "1m",  # noqa: A002 - the exchange's own word
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[Candle]]:
        """Return one page of candles that each cover a ``range`` of time, of those from ``since`` to ``until``.

        ``limit`` is 1 to 1000 (1000 if left out); the next page is found by this one's ``next_cursor``.
        """
        query = {"range": range, **page_query(since, until, cursor, limit)}
        return self._read("candles", "/futures/candles", page_of(read.candle), query, public=True)

    def funding_settlements(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[FundingSettlement]]:
        """Return one page of funding settlements, paged as :meth:`candles`."""
        query = page_query(since, until, cursor, limit)
        settlements = page_of(read.funding_settlement)
        return self._read("funding_settlements", "/futures/funding-settlements", settlements, query, public=True)

    def leaderboard(self) -> Answer[Leaderboard]:
        """Return the best traders of the day, the week, the month and of all time."""
        return self._read("leaderboard", "/futures/leaderboard", read.leaderboard, public=True)
