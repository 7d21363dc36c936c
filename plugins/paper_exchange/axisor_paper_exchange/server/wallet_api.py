"""The endpoints of what comes into an account and goes out of it, and of its notifications.

Sats come in through the control surface alone, and none go out: what would move real money is refused with the code
PAPER_MONEY.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

from axisor_paper_exchange.engine import Rejected
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.shapes import page_json
from axisor_paper_exchange.server.wallet import Deposit, DepositMethod, Notification, Wallet

__all__ = ["routes"]

# Addresses of nobody's key on a private test network: no wallet of the real one takes them.
_ADDRESSES = {
    "p2wpkh": "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202",
    "p2tr": "bcrt1pqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqm3usuw",
}
_CONFIRMATIONS = 6
_ON_CHAIN_STATUSES = ("MEMPOOL", "CONFIRMED", "IRREVERSIBLE", "under_review", "not_credited", "on_hold")


class _Dated(Protocol):
    @property
    def at(self) -> int: ...


Row = TypeVar("Row", bound=_Dated)


def notifications(call: Call) -> Answer:
    """Return a page of notifications, newest first: the unread ones unless `read` asks for others."""
    read = call.query().word("read", "true", "false") == "true"
    return _page(call, [row for row in _wallet(call).notifications if row.read == read], _notification)


def read_notifications(call: Call) -> Answer:
    """Mark all notifications as read."""
    for row in _wallet(call).notifications:
        row.read = True
    return ok({})


def lightning_deposits(call: Call) -> Answer:
    """Return a page of lightning deposits, newest first; all of them are settled."""
    if call.query().word("settled", "true", "false") == "false":
        return _page(call, [], _lightning_deposit)
    return _page(call, _deposits(call, "lightning"), _lightning_deposit)


def on_chain_deposits(call: Call) -> Answer:
    """Return a page of on-chain deposits, newest first; all of them are irreversible."""
    status = call.query().word("status", *_ON_CHAIN_STATUSES)
    rows = _deposits(call, "on-chain") if status in {None, "IRREVERSIBLE"} else []
    return _page(call, rows, _on_chain_deposit)


def internal_deposits(call: Call) -> Answer:
    """Return a page of what other users sent, newest first."""
    return _page(call, _deposits(call, "internal"), _internal_deposit)


def nothing(call: Call) -> Answer:
    """Return an empty page: withdrawals, swaps."""
    call.query().page()
    return ok(page_json([], None))


def bitcoin_address(_: Call) -> Answer:
    """Return an address that nobody can pay to."""
    return ok({"address": _ADDRESSES["p2wpkh"]})


def add_bitcoin_address(call: Call) -> Answer:
    """Return an address that nobody can pay to, of the format that is asked for."""
    fields = call.body() if call.request.body else Fields({})
    chosen = fields.choice("format", *_ADDRESSES, default="p2wpkh")
    return ok({"address": _ADDRESSES[chosen], "createdAt": iso(call.at)})


def deposit_lightning(call: Call) -> Answer:
    """Refuse an invoice: nothing could pay it."""
    call.body().amount()
    _refuse("Paper money does not come by an invoice: POST /paper/accounts/{id}/deposits adds it")


def withdraw_lightning(call: Call) -> Answer:
    """Refuse to pay an invoice."""
    if not call.body().text("invoice"):
        raise invalid("invoice", "is required")
    _refuse_to_pay()


def withdraw_on_chain(call: Call) -> Answer:
    """Refuse to pay to an address."""
    fields = call.body()
    fields.amount()
    if not fields.text("address"):
        raise invalid("address", "is required")
    _refuse_to_pay()


def withdraw_internal(call: Call) -> Answer:
    """Refuse to pay another user."""
    fields = call.body()
    fields.amount()
    if not fields.text("toUsername"):
        raise invalid("toUsername", "is required")
    _refuse_to_pay()


def swap(call: Call) -> Answer:
    """Refuse a swap: accounts hold no synthetic USD here."""
    fields = call.body()
    given = fields.choice("inAsset", "BTC", "USD")
    if fields.choice("outAsset", "BTC", "USD") == given:
        raise invalid("outAsset", "must not be inAsset")
    amount = fields.decimal("inAmount")
    if amount is None or amount <= 0:
        raise invalid("inAmount", "must be a positive number")
    raise Rejected("Synthetic USD can't be swapped on paper", code="PAPER_SWAP")


def _refuse_to_pay() -> NoReturn:
    _refuse("Paper money can't leave the paper exchange")


def _refuse(message: str) -> NoReturn:
    raise Rejected(message, code="PAPER_MONEY")


def _wallet(call: Call) -> Wallet:
    return call.world.wallets[call.account.id]


def _deposits(call: Call, method: DepositMethod) -> list[Deposit]:
    return [row for row in _wallet(call).deposits if row.method == method]


def _page(call: Call, rows: Sequence[Row], shown: Callable[[Row], dict[str, Any]]) -> Answer:
    """Return a page of rows that are given oldest first."""
    asked = call.query().page()
    found = [
        (row.at, number, row)
        for number, row in enumerate(rows)
        if (asked.since is None or row.at >= asked.since)
        and (asked.until is None or row.at <= asked.until)
        and (asked.before is None or (row.at, number) < asked.before)
    ]
    page = found[-asked.limit :][::-1]
    cursor = f"{page[-1][0]}_{page[-1][1]}" if len(page) < len(found) else None
    return ok(page_json([shown(row) for _, _, row in page], cursor))


def _notification(row: Notification) -> dict[str, Any]:
    # The official SDKs disagree on these fields: event and data in TypeScript, message, read and type in Python.
    return {
        "id": row.id,
        "createdAt": iso(row.at),
        "event": row.event,
        "data": {"message": row.message},
        "message": row.message,
        "read": row.read,
        "type": row.event,
    }


def _lightning_deposit(row: Deposit) -> dict[str, Any]:
    return {
        "id": row.id,
        "createdAt": iso(row.at),
        "amount": row.amount,
        "comment": row.comment,
        "paymentHash": _hash(row),
        "settledAt": iso(row.at),
    }


def _on_chain_deposit(row: Deposit) -> dict[str, Any]:
    return {
        "id": row.id,
        "createdAt": iso(row.at),
        "amount": row.amount,
        "blockHeight": 1,
        "confirmations": _CONFIRMATIONS,
        "status": "IRREVERSIBLE",
        "txId": _hash(row),
    }


def _internal_deposit(row: Deposit) -> dict[str, Any]:
    return {
        "id": row.id,
        "createdAt": iso(row.at),
        "amount": row.amount,
        "fromUsername": row.comment or "paper",
        "success": True,
    }


def _hash(row: Deposit) -> str:
    """Return 32 bytes in hex that stand for the payment."""
    return hashlib.sha256(row.id.encode()).hexdigest()


_ACCOUNT = "/account"

routes: Routes = {
    ("GET", f"{_ACCOUNT}/notifications"): Route(notifications),
    ("PUT", f"{_ACCOUNT}/notifications"): Route(read_notifications, permission="read"),
    ("GET", f"{_ACCOUNT}/address/bitcoin"): Route(bitcoin_address),
    ("POST", f"{_ACCOUNT}/address/bitcoin"): Route(add_bitcoin_address),
    ("POST", f"{_ACCOUNT}/deposit/lightning"): Route(deposit_lightning),
    ("GET", f"{_ACCOUNT}/deposits/lightning"): Route(lightning_deposits),
    ("GET", f"{_ACCOUNT}/deposits/on-chain"): Route(on_chain_deposits),
    ("GET", f"{_ACCOUNT}/deposits/internal"): Route(internal_deposits),
    ("POST", f"{_ACCOUNT}/withdraw/lightning"): Route(withdraw_lightning, permission="withdraw"),
    ("POST", f"{_ACCOUNT}/withdraw/on-chain"): Route(withdraw_on_chain, permission="withdraw"),
    ("POST", f"{_ACCOUNT}/withdraw/internal"): Route(withdraw_internal, permission="withdraw"),
    ("GET", f"{_ACCOUNT}/withdrawals/lightning"): Route(nothing),
    ("GET", f"{_ACCOUNT}/withdrawals/on-chain"): Route(nothing),
    ("GET", f"{_ACCOUNT}/withdrawals/internal"): Route(nothing),
    ("GET", "/synthetic-usd/swaps"): Route(nothing),
    ("POST", "/synthetic-usd/swap"): Route(swap),
}
