"""The values that are taken where a test names none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from axisor_executor.automation import AccountInfo

Price = Decimal | int | str

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAST_PRICE = Decimal(50_000)
BALANCE = 1_000_000
ACCOUNT = AccountInfo(id="account-1", name="Main Account", user_id="user-1", exchange="lnmarkets")
