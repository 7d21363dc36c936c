"""What an action would send, as it stands in the ledger of a dry run. Nothing leaves from here, whatever the client."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from axisor_executor.exchange.base import ExchangeClient


def rehearse(client: ExchangeClient, call: Callable[[ExchangeClient], object], timestamp_ms: int) -> dict[str, Any]:
    """Return the request that ``call`` would send through ``client``, signed with ``timestamp_ms``, as JSON.

    ``{"method", "host", "path", "body", "timestampMs"}``: what would be signed and sent, byte for byte. Of a client
    that can't rehearse (see ``LNMarketsClient.rehearse``) it is not known how it asks its exchange: then the call that
    would have been made, ``{"call", "arguments", "timestampMs"}``.

    Raises:
        CredentialsError, Unavailable: it would not have left.
    """
    rehearsing = getattr(client, "rehearse", None)
    if rehearsing is None:
        stand_in = _StandIn()
        call(cast(ExchangeClient, stand_in))
        return {**stand_in.called, "timestampMs": timestamp_ms}
    return {**dataclasses.asdict(rehearsing(call)), "timestampMs": timestamp_ms}


class _StandIn:
    """Takes the place of a client, and keeps which of its methods was called with what."""

    def __init__(self) -> None:
        self.called: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        def keep(*given: Any, timestamp_ms: int) -> None:  # noqa: ARG001  it stands beside the call
            self.called = {"call": name, "arguments": [_shown(one) for one in given]}

        return keep


def _shown(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _shown(one) for name, one in fields.items() if one is not None}
    return str(value) if isinstance(value, Decimal) else value
