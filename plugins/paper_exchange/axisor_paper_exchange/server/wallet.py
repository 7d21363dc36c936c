"""What an account was sent from outside: deposits and notifications, put there by the control surface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["METHODS", "Deposit", "DepositMethod", "Notification", "Wallet"]

DepositMethod = Literal["lightning", "on-chain", "internal"]
METHODS: tuple[DepositMethod, ...] = get_args(DepositMethod)


@dataclass(frozen=True, slots=True)
class Deposit:
    """Sats that came in, at an instant in milliseconds since the epoch."""

    id: str
    at: int
    method: DepositMethod
    amount: int
    comment: str | None


@dataclass(slots=True)
class Notification:
    """A message to the account's owner, sent at an instant in milliseconds since the epoch."""

    id: str
    at: int
    event: str
    message: str
    read: bool = False


@dataclass(slots=True)
class Wallet:
    """An account's deposits and notifications, oldest first."""

    deposits: list[Deposit] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
