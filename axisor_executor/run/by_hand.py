"""What a person's word on something that was sent is held against: how long it lives, and what the exchange shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from axisor_executor.errors import AxisorError, CircuitOpen, SettingsError, StorageError, Unavailable
from axisor_executor.observe.logs import say
from axisor_executor.reconcile import SignedRequest, judge
from axisor_executor.run.acting import Accounts
from axisor_executor.run.settle import observe
from axisor_executor.storage import accounts
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import BROKEN


@dataclass(frozen=True, slots=True)
class Shown:
    """What the exchange shows of something that was sent with a client id.

    ``ids``: of the trades (or cross orders) that carry it. ``gap``: why there may be one, though none does; ``None``
    where there can't.
    """

    ids: tuple[str, ...] = ()
    gap: str | None = None


def lives_until(opener: Accounts, sent: LedgerAction) -> datetime:
    """Return up to when a request may be carried out, by the database's clock.

    As reconciling reckons it by the exchange's; from when the database had it, as a pause does: the signature has the
    clock of a machine that is not asked here.
    """
    at = sent.sent_at or datetime.fromtimestamp((sent.timestamp_ms or 0) / 1000, UTC)
    request = _request(opener, int(at.timestamp() * 1000))
    return request.lives_until + request.tolerance


def look(opener: Accounts, sent: LedgerAction) -> Shown:
    """Look for what was sent by its client id, with the keys of the account that it was sent for.

    What can't be asked for as things are (account or keys are gone, or are another exchange user's) is a gap.

    Raises:
        Unavailable: the exchange does not answer now.
        SettingsError: this process has no key for the account's credentials; another one has.
    """
    try:
        return _look(opener, sent)
    except CircuitOpen as error:
        if error.code != "account_circuit_open":  # keys that are refused stay so until somebody renews them
            raise
        return Shown(gap=str(error))
    except (Unavailable, SettingsError, StorageError, *BROKEN):
        raise
    except AxisorError as error:
        return Shown(gap=str(error))
    except Exception as error:  # noqa: BLE001  whatever a client trips over, a person must be able to settle it
        say.crash(f"What became of {sent.action.kind} on account {sent.account_id} can't be read")
        return Shown(gap=f"the client failed: {type(error).__name__}")


def _look(opener: Accounts, sent: LedgerAction) -> Shown:
    account = accounts.account(opener.storage, sent.account_id)
    if account is None:
        return Shown(gap=f"account {sent.account_id} is not there any more")
    acting = opener.open(account, sent.automation_id, "protect")
    if acting.owner() != sent.exchange_user_id:
        return Shown(gap="the account's key belongs to another exchange user now")
    seen = observe(sent, acting)
    orders = [order.id for order in seen.orders if order.client_id == sent.client_id]
    ids = (*(trade.id for trade in seen.matches), *orders)
    if ids:
        return Shown(ids)
    # Whether the request is dead is not for the look to say: what would prove something if it were?
    later = replace(seen, server_time=datetime.max.replace(tzinfo=UTC))
    request = _request(opener, sent.timestamp_ms or 0)
    verdict = judge(sent.action, sent.baseline or {}, later, request, client_id=sent.client_id)
    return Shown(gap=None if verdict.outcome == "not_executed" else verdict.reason)


def _request(opener: Accounts, timestamp_ms: int) -> SignedRequest:
    return SignedRequest(
        timestamp_ms,
        window=opener.settings.signature_window_seconds,
        margin=opener.settings.signature_margin_seconds,
        max_skew=opener.settings.max_clock_skew_seconds,
    )
