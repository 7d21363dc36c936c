"""What an exchange says of an account's keys: whose they are, what they may read, and whether the clocks agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axisor_executor.errors import CredentialsError, Rejected, SettingsError
from axisor_executor.exchange.networks import address_of
from axisor_executor.run.acting import Acting
from axisor_executor.runtime import Runtime
from axisor_executor.storage import account_rows
from axisor_executor.storage.accounts import Account


@dataclass(frozen=True)
class KeysTested:
    """What the exchange says of an account's keys. ``problems``: errors, the first of a kind that refuses them."""

    told: dict[str, Any]
    problems: list[dict[str, Any]]
    is_usable: bool
    exchange_user_id: str | None


def ask_of_keys(parts: Runtime, account: Account) -> KeysTested:
    """Make the reads that every run makes, and nothing else. The right to trade can't be asked for without trading.

    Raises:
        Unavailable: the exchange did not answer.
    """
    try:
        acting = parts.opener.open(account, "", "protect")
        owner = acting.client.account().value
    except (CredentialsError, Rejected) as error:
        return KeysTested({}, [error.as_dict()], is_usable=False, exchange_user_id=None)
    problems, may_read = [], {"account": True}
    for name, read in (
        ("runningTrades", acting.client.running_trades),
        ("openOrders", acting.client.open_trades),
        ("crossPosition", acting.client.cross_position),
    ):
        try:
            read()
        except Rejected as error:
            problems.append(error.as_dict())
            may_read[name] = False
        else:
            may_read[name] = True
    skew = getattr(acting.client, "last_skew_seconds", None)
    if skew is not None and abs(skew) > parts.settings.max_clock_skew_seconds:
        message = f"this machine's clock is off by {skew:+.1f} s against the exchange's: nothing would be sent"
        problems.append({"status": 503, "code": "clock_skew", "message": message})
    told = {
        "exchangeUser": {"id": owner.id, "username": owner.username},
        "network": _network(acting),
        "balance": owner.balance,
        "feeTier": owner.fee_tier,
        "clockSkewSeconds": None if skew is None else round(skew, 3),
        "mayRead": may_read,
    }
    return KeysTested(told, problems, is_usable=all(may_read.values()), exchange_user_id=owner.id)


def owner_of(parts: Runtime, account: Account) -> str | None:
    """Return the exchange user of an account's present keys; where they are refused, the one for whom it last acted.

    Raises:
        Unavailable: the exchange did not answer.
    """
    try:
        return parts.opener.open(account, "", "protect").owner()
    except (CredentialsError, Rejected):
        return account_rows.last_exchange_user(parts.storage, account.id)


def _network(acting: Acting) -> str:
    options = getattr(acting.client, "options", None)
    try:
        return "other" if options is None else address_of(options.base_url).network
    except SettingsError:
        return "other"
