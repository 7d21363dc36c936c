"""The control surface: `/paper/...`, for tests and people, never for trading."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from aiohttp import web

from axisor_paper_exchange.engine import Rejected, audit
from axisor_paper_exchange.server import control_bodies as bodies
from axisor_paper_exchange.server.answer import Answer, error, ok, rejected
from axisor_paper_exchange.server.auth import Credentials
from axisor_paper_exchange.server.clock import iso
from axisor_paper_exchange.server.delivery import json_response
from axisor_paper_exchange.server.fields import Fields, parse_body, parse_query
from axisor_paper_exchange.server.shapes import price_json, trade_json
from axisor_paper_exchange.server.world import World

__all__ = ["PREFIX", "Control"]

PREFIX = "/paper/"


class _Row(Protocol):
    def json(self) -> dict[str, Any]: ...


class Control:
    """The control surface of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.routes: dict[tuple[str, ...], Callable[..., Answer]] = {
            ("POST", "accounts"): self.open_account,
            ("GET", "accounts"): self.accounts,
            ("GET", "accounts", "*"): self.account,
            ("GET", "accounts", "*", "trades"): self.trades,
            ("POST", "accounts", "*", "keys"): self.add_key,
            ("GET", "price"): self.price,
            ("PUT", "price"): self.move_price,
            ("GET", "settings"): self.settings,
            ("PUT", "settings"): self.change_settings,
            ("GET", "requests"): self.requests,
            ("GET", "effects"): self.effects,
            ("GET", "audit"): self.audit,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.add_fault,
            ("DELETE", "faults"): self.clear_faults,
            ("DELETE", "faults", "*"): self.remove_fault,
            ("POST", "reset"): self.reset,
        }

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/paper/...`."""
        path, _, query = http.raw_path.partition("?")
        first, *rest = path.removeprefix(PREFIX).split("/")
        pattern = (http.method, first, *("*" if at == 0 else part for at, part in enumerate(rest)))
        endpoint = self.routes.get(pattern)
        body = await http.read() if http.can_read_body else b""
        try:
            if endpoint is None:
                answer = error(404, "NOT_FOUND", "Not found")
            else:
                fields = parse_query(query) if http.method in {"GET", "DELETE"} else parse_body(body or b"{}")
                answer = endpoint(fields, *rest[:1])
        except Rejected as reason:
            answer = rejected(reason)
        return json_response(answer, self._world.clock)

    def open_account(self, fields: Fields) -> Answer:
        """Open an account; the only answer that shows its secret and passphrase."""
        asked = bodies.account(fields)
        try:
            made = self._world.open_account(**asked)
        except ValueError as reason:
            return error(409, "KEY_TAKEN", str(reason))
        return ok({**_account(made), "secret": made.secret, "passphrase": made.passphrase}, 201)

    def accounts(self, _: Fields) -> Answer:
        """List the accounts."""
        return ok([_account(made) for made in self._world.credentials.values()])

    def account(self, _: Fields, account_id: str) -> Answer:
        """Return one account with its ledger."""
        made = self._find(account_id)
        ledger = [
            {"at": iso(entry.at), "kind": entry.kind, "amount": entry.amount, "tradeId": entry.trade_id}
            for entry in made.account.ledger
        ]
        return ok({**_account(made), "ledger": ledger})

    def add_key(self, fields: Fields, account_id: str) -> Answer:
        """Give an account one more key; the only answer that shows its secret and passphrase."""
        fields.only()
        made = self._world.add_key(self._find(account_id).account.id)
        return ok({**_account(made), "secret": made.secret, "passphrase": made.passphrase}, 201)

    def trades(self, fields: Fields, account_id: str) -> Answer:
        """List an account's trades in all states, oldest first."""
        client_id = fields.text("clientId")
        last = self._world.exchange.market.last
        return ok(
            [
                {**trade_json(trade, last), "closedBy": trade.closed_by}
                for trade in self._find(account_id).account.trades.values()
                if client_id is None or trade.client_id == client_id
            ]
        )

    def price(self, _: Fields) -> Answer:
        """Return the last price."""
        return ok(self._price())

    def move_price(self, fields: Fields) -> Answer:
        """Move the last price and tell which trades that set off."""
        fields.only("price")
        fired = self._world.move_price(bodies.price(fields))
        triggered = [
            {
                "tradeId": row.trade.id,
                "accountId": row.trade.account.id,
                "what": row.what,
                "price": price_json(row.price),
            }
            for row in fired
        ]
        return ok({**self._price(), "triggered": triggered})

    def settings(self, _: Fields) -> Answer:
        """Return the settings."""
        return ok(bodies.settings_json(self._world.settings))

    def change_settings(self, fields: Fields) -> Answer:
        """Change some settings."""
        self._world.apply(bodies.settings(fields, self._world.settings))
        return ok(bodies.settings_json(self._world.settings))

    def requests(self, fields: Fields) -> Answer:
        """List the requests to `/v3`, oldest first."""
        asked = bodies.Asked(fields)
        rows = self._world.journal.requests(asked.since)
        return _rows(
            (
                row
                for row in rows
                if (asked.account is None or row.account_id == asked.account)
                and (asked.path is None or asked.path in row.path)
                and (not asked.mutating or row.method != "GET")
            ),
            asked.limit,
        )

    def effects(self, fields: Fields) -> Answer:
        """List the changes of state that requests caused, oldest first."""
        asked = bodies.Asked(fields)
        rows = self._world.journal.effects(asked.since)
        return _rows((row for row in rows if asked.account is None or row.account_id == asked.account), asked.limit)

    def audit(self, _: Fields) -> Answer:
        """Check that every sat is accounted for."""
        problems = audit(self._world.exchange)
        return ok({"ok": not problems, "problems": problems})

    def faults(self, _: Fields) -> Answer:
        """List the faults that are set."""
        return ok([fault.json() for fault in self._world.faults.all()])

    def add_fault(self, fields: Fields) -> Answer:
        """Set a fault."""
        return ok(self._world.faults.add(**bodies.fault(fields)).json(), 201)

    def clear_faults(self, _: Fields) -> Answer:
        """Remove all faults."""
        self._world.faults.clear()
        return ok({"ok": True})

    def remove_fault(self, _: Fields, fault_id: str) -> Answer:
        """Remove a fault."""
        if not self._world.faults.remove(fault_id):
            return error(404, "NOT_FOUND", "No such fault")
        return ok({"ok": True})

    def reset(self, _: Fields) -> Answer:
        """Put everything back to the start."""
        self._world.reset()
        return ok({"ok": True})

    def _find(self, account_id: str) -> Credentials:
        made = self._world.credentials.get(account_id)
        if made is None:
            raise Rejected("No such account", code="NOT_FOUND", status=404)
        return made

    def _price(self) -> dict[str, Any]:
        market = self._world.exchange.market
        return {
            "price": price_json(market.last),
            "bid": price_json(market.bid),
            "ask": price_json(market.ask),
            "updatedAt": iso(self._world.price_moved_at),
        }


def _account(made: Credentials) -> dict[str, Any]:
    account = made.account
    return {
        "id": account.id,
        "username": account.username,
        "key": made.key,
        "balance": account.balance,
        "open": len(account.open),
        "running": len(account.running),
        "closed": len(account.closed),
        "canceled": len(account.canceled),
    }


def _rows(rows: Iterable[_Row], limit: int | None) -> Answer:
    shown: list[dict[str, Any]] = []
    for row in rows:
        if limit is not None and len(shown) >= limit:
            break
        shown.append(row.json())
    return ok(shown)
