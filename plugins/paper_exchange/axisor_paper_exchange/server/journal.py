"""What was asked of the API, and what it changed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from axisor_paper_exchange.server.clock import iso

__all__ = ["Effect", "Journal", "Request"]


class Request:
    """One request to `/v3`, from its arrival on; no secret, passphrase or signature is kept."""

    __slots__ = (
        "account_id",
        "answer",
        "at",
        "body",
        "effect",
        "fault",
        "key",
        "method",
        "outcome",
        "path",
        "query",
        "seq",
        "status",
        "timestamp",
    )

    def __init__(
        self,
        *,
        seq: int,
        at: int,
        key: str | None,
        method: str,
        path: str,
        query: str,
        body: bytes,
        timestamp: str | None,
    ) -> None:
        self.seq = seq
        self.at = at
        self.key = key
        self.account_id: str | None = None
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.timestamp = timestamp
        self.status: int | None = None
        """The status that was sent, None while or where none was."""
        self.outcome: int | None = None
        """The status of the exchange's own answer, None where it did not act."""
        self.answer: bytes | None = None
        self.fault: str | None = None
        self.effect = False

    def json(self) -> dict[str, Any]:
        """Return the row as `/paper/requests` shows it."""
        return {
            "seq": self.seq,
            "receivedAt": iso(self.at),
            "key": self.key,
            "accountId": self.account_id,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body.decode("utf-8", "replace"),
            "timestamp": self.timestamp,
            "status": self.status,
            "outcome": self.outcome,
            "answer": None if self.answer is None else json.loads(self.answer),
            "fault": self.fault,
            "effect": self.effect,
        }


class Effect(NamedTuple):
    """One change of state that a request caused; `amount` in sats, `value` a price in USD or a fraction."""

    seq: int
    request_seq: int
    at: int
    account_id: str
    kind: str
    trade_id: str
    client_id: str | None
    amount: int | None
    value: float | None

    def json(self) -> dict[str, Any]:
        """Return the row as `/paper/effects` shows it."""
        return {
            "seq": self.seq,
            "requestSeq": self.request_seq,
            "at": iso(self.at),
            "accountId": self.account_id,
            "kind": self.kind,
            "tradeId": self.trade_id,
            "clientId": self.client_id,
            "amount": self.amount,
            "value": self.value,
        }


class Journal:
    """A bounded list of requests and an unbounded list of effects; sequence numbers start at 1."""

    def __init__(self, capacity: int) -> None:
        self._requests: deque[Request] = deque(maxlen=capacity)
        self._effects: list[Effect] = []
        self._last = 0

    def arrive(
        self, *, at: int, key: str | None, method: str, path: str, query: str, body: bytes, timestamp: str | None
    ) -> Request:
        """Write down a request as it arrives."""
        self._last += 1
        request = Request(
            seq=self._last,
            at=at,
            key=key,
            method=method,
            path=path,
            query=query,
            body=body,
            timestamp=timestamp,
        )
        self._requests.append(request)
        return request

    def effect(
        self,
        request: Request,
        *,
        at: int,
        kind: str,
        trade_id: str,
        client_id: str | None,
        amount: int | None = None,
        value: float | None = None,
    ) -> None:
        """Write down a change of state that `request` caused."""
        request.effect = True
        assert request.account_id is not None
        self._effects.append(
            Effect(
                len(self._effects) + 1,
                request.seq,
                at,
                request.account_id,
                kind,
                trade_id,
                client_id,
                amount,
                value,
            )
        )

    @property
    def last(self) -> int:
        """The sequence number of the last request."""
        return self._last

    def resume(self, effects: list[Effect], last: int) -> None:
        """Go on after these effects, and after the request of this sequence number."""
        self._effects = effects
        self._last = last

    @property
    def all_effects(self) -> list[Effect]:
        """Every effect, oldest first."""
        return self._effects

    def requests(self, since: int) -> Iterable[Request]:
        """Return the requests after sequence number `since` that are still kept."""
        first = self._last - len(self._requests)
        return islice(self._requests, max(0, since - first), None)

    def effects(self, since: int) -> Iterator[Effect]:
        """Return the effects after sequence number `since`."""
        return islice(self._effects, max(0, since), None)
