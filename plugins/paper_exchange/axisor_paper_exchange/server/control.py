"""The control surface: `/paper/...`, for tests and people, never for trading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from aiohttp import web

from axisor_paper_exchange.engine import Rejected, audit
from axisor_paper_exchange.server import commands
from axisor_paper_exchange.server import control_bodies as bodies
from axisor_paper_exchange.server.answer import Answer, error, ok, rejected
from axisor_paper_exchange.server.clock import system_time
from axisor_paper_exchange.server.control_accounts import AccountControl
from axisor_paper_exchange.server.control_market import MarketControl
from axisor_paper_exchange.server.control_route import ControlRoutes, find
from axisor_paper_exchange.server.delivery import json_response
from axisor_paper_exchange.server.fields import Fields, parse_body, parse_query
from axisor_paper_exchange.server.living import Living
from axisor_paper_exchange.server.world import World

__all__ = ["PREFIX", "Control"]

PREFIX = "/paper/"


class _Row(Protocol):
    def json(self) -> dict[str, Any]: ...


class Control:
    """The control surface of one world."""

    def __init__(self, world: World, living: Living | None = None) -> None:
        self._world = world
        self._living = living or Living(world)
        self.routes: ControlRoutes = {
            **AccountControl(world).routes,
            **MarketControl(world, self._living).routes,
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
        # Not `http.read()`: a CSV of candles is longer than what that allows.
        body = await http.content.read() if http.can_read_body else b""
        return json_response(self._answer(http.method, path.removeprefix(PREFIX), query, body), self._world.clock)

    def _answer(self, method: str, path: str, query: str, body: bytes) -> Answer:
        found = find(self.routes, method, path)
        if found is None:
            return error(404, "NOT_FOUND", "Not found")
        endpoint, arguments = found
        try:
            fields = parse_query(query) if method in {"GET", "DELETE"} else parse_body(body or b"{}")
            return endpoint(fields, *arguments)
        except Rejected as reason:
            return rejected(reason)

    def settings(self, _: Fields) -> Answer:
        """Return the settings."""
        return ok(bodies.settings_json(self._world.settings))

    def change_settings(self, fields: Fields) -> Answer:
        """Change some settings."""
        self._world.do(commands.give_settings, settings=bodies.settings(fields, self._world.settings))
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
        self._world.do(commands.reset, now=system_time())
        self._living.changed.set()
        return ok({"ok": True})


def _rows(rows: Iterable[_Row], limit: int | None) -> Answer:
    shown: list[dict[str, Any]] = []
    for row in rows:
        if limit is not None and len(shown) >= limit:
            break
        shown.append(row.json())
    return ok(shown)
