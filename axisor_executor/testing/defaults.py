"""The values that are taken where a test names none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from axisor_executor.automation import AccountInfo

Price = Decimal | int | str

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The time at which a handler decides, and since when trades run."""
LAST_PRICE = Decimal(50_000)
"""The last price, and what trades were entered at: USD per BTC."""
BALANCE = 1_000_000
"""The free balance: sats."""
ACCOUNT = AccountInfo(id="account-1", name="Main Account", user_id="user-1", exchange="lnmarkets")
"""Whose the automation is."""
