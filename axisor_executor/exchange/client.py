"""The client of LN Markets REST v3: one account's view of the exchange."""

from __future__ import annotations

from axisor_executor.exchange.calls.account import AccountCalls
from axisor_executor.exchange.calls.cross import CrossCalls
from axisor_executor.exchange.calls.isolated import IsolatedCalls
from axisor_executor.exchange.calls.market import MarketCalls


class LNMarketsClient(MarketCalls, AccountCalls, IsolatedCalls, CrossCalls):
    """One account on LN Markets v3, or with no credentials, its public market data.

    Cheap to make, one per job. Connections belong to the thread that calls, not to the client.

    Every method may raise :class:`~axisor_executor.errors.Unavailable` (not processed, or only a read) and
    :class:`~axisor_executor.errors.Rejected` (a definite no; ``status`` is the exchange's); private ones also
    :class:`~axisor_executor.errors.CredentialsError` (none given, unusable, or of another network: nothing was sent).
    Those that change something are sent at most once and raise :class:`~axisor_executor.errors.OutcomeUnknown`
    whenever they may have been carried out without a clear answer. Amounts are sats, quantities USD, prices USD per
    BTC.

    An answer's ``server_time`` is its ``Date`` header, of a private one less its ``Age``. A read without a ``Date``
    is ``Unavailable``. A change that was answered in full but without one is done, which is what matters: its
    ``server_time`` is then the instant it was signed with, which can't prove any deadline past.

    Attributes:
        options: where and how long.
        last_skew_seconds: by how much this machine's clock was certainly ahead of the exchange's (below 0: behind).
    """
