"""The account and its notifications."""

from __future__ import annotations

from typing import Any

from axisor_executor.exchange.answers.fields import fields_of, flag, if_readable, instant, number, prose, text, whole
from axisor_executor.exchange.base import ExchangeAccount
from axisor_executor.exchange.records import Notification


def account(value: Any) -> ExchangeAccount:
    """Read the account. Only id and balance are needed to trade: the rest is ``None`` where it can't be read."""
    fields = fields_of(value)
    return ExchangeAccount(
        id=text(fields, "id"),
        balance=whole(fields, "balance"),
        username=if_readable(text, fields, "username"),
        email=if_readable(text, fields, "email"),
        synthetic_usd_balance=if_readable(number, fields, "syntheticUsdBalance"),
        fee_tier=if_readable(whole, fields, "feeTier"),
        linking_public_key=if_readable(text, fields, "linkingPublicKey"),
    )


def notification(value: Any) -> Notification:
    """Read a notification."""
    fields = fields_of(value)
    return Notification(
        id=text(fields, "id"),
        created_at=instant(fields, "createdAt"),
        message=prose(fields, "message"),
        type=if_readable(text, fields, "type"),
        is_read=if_readable(flag, fields, "read"),
    )
