"""One call of an API endpoint, and what a route is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from axisor_paper_exchange.engine import Account, CrossOrder, CrossPosition, Exchange, Trade
from axisor_paper_exchange.server.answer import Answer
from axisor_paper_exchange.server.auth import Permission
from axisor_paper_exchange.server.fields import Fields, parse_body, parse_query
from axisor_paper_exchange.server.journal import Request
from axisor_paper_exchange.server.world import World

__all__ = ["Call", "Route", "Routes"]


class Call:
    """What an endpoint is given: the world, the request, who asks and when (milliseconds since the epoch)."""

    __slots__ = ("_account", "at", "exchange", "request", "world")

    def __init__(self, world: World, request: Request, account: Account | None) -> None:
        self.world = world
        self.exchange: Exchange = world.exchange
        self.request = request
        self._account = account
        self.at = request.at

    @property
    def account(self) -> Account:
        """The account that signed the request; private endpoints have one."""
        assert self._account is not None
        return self._account

    def body(self) -> Fields:
        """Return the fields of the JSON body."""
        return parse_body(self.request.body)

    def query(self) -> Fields:
        """Return the fields of the query string."""
        return parse_query(self.request.query)

    def effect(
        self,
        kind: str,
        trade: Trade | CrossOrder | CrossPosition,
        *,
        amount: int | None = None,
        value: float | None = None,
    ) -> None:
        """Write down that the request changed a trade, a cross order, or a cross position itself."""
        self.world.journal.effect(
            self.request,
            at=self.at,
            kind=kind,
            trade_id=trade.id,
            client_id=None if isinstance(trade, CrossPosition) else trade.client_id,
            amount=amount,
            value=value,
        )


class Route(NamedTuple):
    """An endpoint: `private` ones must be signed, with a key that has the `permission`.

    Where it names none, a GET needs "read" and anything else "trade".
    """

    endpoint: Callable[[Call], Answer]
    private: bool = True
    permission: Permission | None = None

    def needs(self, method: str) -> Permission:
        """Return the permission that a request of this method needs."""
        return self.permission or ("read" if method == "GET" else "trade")


Routes = Mapping[tuple[str, str], Route]
"""Endpoints by method and path; the path without the `/v3` in front."""
