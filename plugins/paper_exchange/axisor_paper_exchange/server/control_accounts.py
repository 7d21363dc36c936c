"""The control surface's accounts: opening them, their keys, their trades, what they are sent."""

from __future__ import annotations

import secrets
from typing import Any

from axisor_paper_exchange.engine import Account, Rejected
from axisor_paper_exchange.server import commands
from axisor_paper_exchange.server import control_bodies as bodies
from axisor_paper_exchange.server.answer import Answer, error, ok
from axisor_paper_exchange.server.auth import Credentials
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.control_route import ControlRoutes
from axisor_paper_exchange.server.fields import Fields
from axisor_paper_exchange.server.shapes import trade_json
from axisor_paper_exchange.server.world import World

__all__ = ["AccountControl"]


class AccountControl:
    """`/paper/accounts` of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.routes: ControlRoutes = {
            ("POST", "accounts"): self.open_account,
            ("GET", "accounts"): self.accounts,
            ("GET", "accounts", "*"): self.account,
            ("GET", "accounts", "*", "trades"): self.trades,
            ("POST", "accounts", "*", "keys"): self.add_key,
            ("DELETE", "accounts", "*", "keys", "*"): self.revoke_key,
            ("POST", "accounts", "*", "deposits"): self.deposit,
            ("POST", "accounts", "*", "notifications"): self.notify,
        }

    def open_account(self, fields: Fields) -> Answer:
        """Open an account; the only answer that shows its secret and passphrase."""
        world = self._world
        asked = bodies.account(fields)
        if asked.key is not None and asked.key in world.keys:
            return error(409, "KEY_TAKEN", "key is taken")
        made = world.do(
            commands.open_account,
            at=world.clock.now(),
            username=asked.username or f"paper{len(world.exchange.accounts) + 1}",
            balance=asked.balance,
            key=asked.key or secrets.token_urlsafe(24),
            secret=asked.secret or secrets.token_urlsafe(32),
            passphrase=asked.passphrase or secrets.token_urlsafe(12),
            permissions=asked.permissions,
        )
        return ok({**self._summary(made.account), **_secrets(made)}, 201)

    def accounts(self, _: Fields) -> Answer:
        """List the accounts."""
        return ok([self._summary(account) for account in self._world.exchange.accounts.values()])

    def account(self, _: Fields, account_id: str) -> Answer:
        """Return one account with its keys and its ledger."""
        account = self._find(account_id)
        keys = [{"key": made.key, "permissions": made.permissions} for made in self._world.keys_of[account.id]]
        ledger = [
            {"at": iso(entry.at), "kind": entry.kind, "amount": entry.amount, "tradeId": entry.trade_id}
            for entry in account.ledger
        ]
        return ok({**self._summary(account), "keys": keys, "ledger": ledger})

    def add_key(self, fields: Fields, account_id: str) -> Answer:
        """Give an account one more key; the only answer that shows its secret and passphrase."""
        account = self._find(account_id)
        fields.only("permissions")
        made = self._world.do(
            commands.add_key,
            account_id=account.id,
            key=secrets.token_urlsafe(24),
            secret=secrets.token_urlsafe(32),
            passphrase=secrets.token_urlsafe(12),
            permissions=bodies.permissions(fields),
        )
        return ok({**self._summary(account), **_secrets(made)}, 201)

    def revoke_key(self, _: Fields, account_id: str, key: str) -> Answer:
        """Make a key invalid."""
        account = self._find(account_id)
        made = self._world.keys.get(key)
        if made is None or made.account is not account:
            return error(404, "NOT_FOUND", "No such key")
        self._world.do(commands.revoke_key, key=key)
        return ok({"ok": True})

    def deposit(self, fields: Fields, account_id: str) -> Answer:
        """Add sats to an account's balance."""
        account = self._find(account_id)
        method, amount, comment = bodies.deposit(fields)
        made = self._world.do(
            commands.deposit,
            at=self._world.clock.now(),
            account_id=account.id,
            method=method,
            amount=amount,
            comment=comment,
        )
        return ok({"id": made.id, "amount": amount, "balance": account.balance}, 201)

    def notify(self, fields: Fields, account_id: str) -> Answer:
        """Send a notification to an account's owner."""
        account = self._find(account_id)
        event, message = bodies.notification(fields)
        at = self._world.clock.now()
        made = self._world.do(commands.notify, at=at, account_id=account.id, event=event, message=message)
        return ok({"id": made.id}, 201)

    def trades(self, fields: Fields, account_id: str) -> Answer:
        """List an account's trades in all states, oldest first."""
        client_id = fields.text("clientId")
        last = self._world.exchange.market.last
        return ok(
            [
                {**trade_json(trade, last), "closedBy": trade.closed_by}
                for trade in self._find(account_id).trades.values()
                if client_id is None or trade.client_id == client_id
            ]
        )

    def _find(self, account_id: str) -> Account:
        account = self._world.account(account_id)
        if account is None:
            raise Rejected("No such account", code="NOT_FOUND", status=404)
        return account

    def _summary(self, account: Account) -> dict[str, Any]:
        keys = self._world.keys_of[account.id]
        return {
            "id": account.id,
            "username": account.username,
            "key": keys[0].key if keys else None,
            "balance": account.balance,
            "open": len(account.open),
            "running": len(account.running),
            "closed": len(account.closed),
            "canceled": len(account.canceled),
        }


def _secrets(made: Credentials) -> dict[str, Any]:
    return {
        "key": made.key,
        "secret": made.secret,
        "passphrase": made.passphrase,
        "permissions": made.permissions,
    }
