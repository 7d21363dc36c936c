"""What a failed call means: a definite no, definitely not processed, or unknown. By type and status, never by text.

=============================================  ====================  ==============
what happened                                  a call that changes   a read
=============================================  ====================  ==============
nothing was written (DNS, refused, TLS, ...)   Unavailable           Unavailable
429, 503                                       Unavailable           Unavailable
401 while this machine's clock is far off      Unavailable           Unavailable
any other 4xx but 408                          Rejected              Rejected
408, 1xx, 3xx, any other 5xx                   OutcomeUnknown        Unavailable
reset, time-out, truncated, too large          OutcomeUnknown        Unavailable
2xx that can't be read                         OutcomeUnknown        Unavailable
=============================================  ====================  ==============
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from axisor_executor.errors import ExchangeError, OutcomeUnknown, Rejected, Unavailable
from axisor_executor.exchange.clock import server_time
from axisor_executor.exchange.transport import NoReply, Reply

MAX_RETRY_AFTER = 60.0
"""Seconds; a longer wait asked for by the exchange is cut to this: guards, and what is owed, have to try on."""
UNREADABLE = "answer_unreadable"
"""Code of an ``Unavailable`` read that was answered, but not as it should be; does not pass by itself if it stays."""

_NOT_PROCESSED = frozenset({429, 503})
_NO_ANSWER = frozenset({408})
_REJECTION_CODES = {401: "exchange_unauthorized", 403: "exchange_forbidden", 404: "exchange_not_found"}


@dataclass(frozen=True, slots=True)
class Call:
    """Which call it is: ``exchange`` is a slug, ``name`` a method of the client."""

    exchange: str
    name: str
    mutating: bool
    public: bool = False

    def __str__(self) -> str:
        return f"{self.exchange} {self.name}"


def failure_without_reply(call: Call, outcome: NoReply) -> ExchangeError:
    """Return the error for a call that got no complete answer."""
    details = {"cause": outcome.cause}
    if outcome.unsent:
        return Unavailable(f"{call}: the exchange can't be reached ({outcome.cause})", details=details)
    return _open_end(call, f"no complete answer ({outcome.cause})", details)


def failure_by_status(call: Call, reply: Reply, said: Mapping[str, str]) -> ExchangeError:
    """Return the error for the status of an answer that is no success.

    Args:
        call: the call.
        reply: the exchange's answer.
        said: its own ``code`` and ``message``, made fit to be shown.
    """
    status = reply.status
    details: dict[str, Any] = {"httpStatus": status}
    details.update({f"exchange{name.capitalize()}": text for name, text in said.items()})
    shown = f"HTTP {status}" + (f": {said['message']}" if "message" in said else "")
    if status in _NOT_PROCESSED:
        return Unavailable(f"{call}: not processed ({shown})", retry_after=retry_after(reply.headers), details=details)
    if 400 <= status < 500 and status not in _NO_ANSWER:
        code = _REJECTION_CODES.get(status, Rejected.default_code)
        reason = said.get("message") or said.get("code")
        refused = "rejected by the exchange" + (f": {reason}" if reason else "")
        return Rejected(f"{call}: {refused} (HTTP {status})", code=code, status=status, details=details)
    return _open_end(call, shown, details)


def failure_of_clock(call: Call, skew: float) -> ExchangeError:
    """Return the error for a 401 to a machine whose clock is ``skew`` seconds off: it says nothing about the keys."""
    return Unavailable(
        f"{call}: not processed (HTTP 401), this machine's clock is {skew:+.0f} s off", code="clock_skew"
    )


def failure_of_reading(call: Call, reply: Reply, reason: str) -> ExchangeError:
    """Return the error for a 2xx answer that can't be read; ``reason`` names the field, never a value."""
    details = {"httpStatus": reply.status, "cause": reason}
    return _open_end(call, f"the answer can't be read ({reason})", details, read_code=UNREADABLE)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks to wait, 0 to :data:`MAX_RETRY_AFTER`; ``None``: it doesn't say.

    A date counts from the answer's own ``Date``, else from this machine's clock.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text)
        since = server_time(headers) or datetime.now(UTC)
        wait = (until - since).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER)


def _open_end(call: Call, what: str, details: Mapping[str, Any], read_code: str | None = None) -> ExchangeError:
    if call.mutating:
        return OutcomeUnknown(f"{call}: sent, outcome unknown: {what}", details=details)
    return Unavailable(f"{call}: {what}", code=read_code, details=details)
