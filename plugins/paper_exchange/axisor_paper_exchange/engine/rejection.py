"""What the exchange answers when it says no."""

from __future__ import annotations

from typing import Any

__all__ = ["Rejected", "insufficient_balance"]


class Rejected(Exception):
    """A request that was refused: nothing has changed.

    `status` is the HTTP status, `code` the stable word for programs, `message` the sentence for people, `details`
    what is known beyond that.
    """

    def __init__(
        self, message: str, *, code: str = "BAD_REQUEST", status: int = 400, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.details = details


def insufficient_balance(balance: int, required: int) -> Rejected:
    """Return the refusal of what the balance (sats) does not cover."""
    return Rejected(
        "Insufficient balance", code="INSUFFICIENT_BALANCE", details={"balance": balance, "required": required}
    )
