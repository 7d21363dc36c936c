"""What a call would send, without sending it: a transport that keeps the request, without its signature and keys."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from axisor_executor.exchange.transport import NoReply, Reply, Request, Transport


@dataclass(frozen=True, slots=True)
class UnsentRequest:
    """A request as it would have left: ``path`` with its query, ``body`` the exact text that would be signed."""

    method: str
    host: str
    path: str
    body: str


class Rehearsal(Transport):
    """Takes the transport's place. Calls made through it fail as unsent, which they are."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: UnsentRequest | None = None

    def exchange(self, request: Request, *, timeout: float, connect_timeout: float) -> Reply | NoReply:  # noqa: ARG002
        """Keep the request, but for its headers; send nothing."""
        place = urlsplit(request.url)
        path = f"{place.path}?{place.query}" if place.query else place.path
        self.kept = UnsentRequest(request.method, place.netloc, path, (request.body or b"").decode())
        return NoReply(unsent=True, cause="Rehearsal")
