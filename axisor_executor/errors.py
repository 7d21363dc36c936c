"""Every error of the executor: what it means, its HTTP-like status and its stable code.

::

    AxisorError
    ├── InvalidJob                 400  the job itself is malformed
    ├── NotFound                   404  automation, account or trade (or not the user's)
    ├── InvalidConfig              400  the automation's config
    ├── UnknownAutomationType      400  no installed plugin handles the type
    ├── Refused                    400  a handler or a check says: this must not be done
    ├── AccountInactive            400  the account is switched off and the policy refuses
    ├── CredentialsError           400  credentials missing or unreadable
    ├── IdempotencyConflict        409  the key was used for another job
    ├── StaleData                  503  price, trade or balance unknown, missing or too old
    ├── ExchangeError
    │   ├── Rejected               400  the exchange definitely said no; nothing happened
    │   ├── Unavailable            503  definitely not processed; may be tried again
    │   │   ├── Throttled          503  our own rate budget has no room; nothing was sent
    │   │   └── CircuitOpen        503  exchange, account's keys or plugin fail; nothing was sent
    │   └── OutcomeUnknown         504  sent, and nobody knows yet whether it happened
    ├── PluginError                500  a plugin raised, returned junk or is broken
    ├── LeaseLost                  503  another run holds the account now
    ├── Held                       503  a switch or an unresolved action holds this action
    ├── Changed                    503  automation, account, keys or exchange were changed since the decision
    ├── SettingsError              500  the environment's settings
    ├── StorageError               500  the database is not as it must be
    └── EmbeddedServerError        500  a private server could not be started

Messages are made for people and never carry a secret, a ciphertext or an exchange's raw request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID


class AxisorError(Exception):
    """Base of all errors of this library.

    Attributes:
        status (int): HTTP-like status (400 the caller's, 404 not there, 500 ours, 503 try later).
        code (str): stable machine-readable code; part of the public interface.
        account_id (str | None): the exchange account concerned, if one is.
        account_name (str | None): what its owner calls it.
        details (dict[str, Any]): JSON-able facts (never a secret).
    """

    default_status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        account_id: str | None = None,
        account_name: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.status = status or self.default_status
        self.account_id = account_id
        self.account_name = account_name
        self.details = dict(details or {})

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"status", "code", "message", ...}`` as stored in results and shown to callers."""
        shown: dict[str, Any] = {"status": self.status, "code": self.code, "message": self.message}
        if self.account_id is not None:
            shown["accountId"] = self.account_id
        if self.account_name is not None:
            shown["accountName"] = self.account_name
        if self.details:
            shown["details"] = self.details
        stored: dict[str, Any] = _storable(shown)
        return stored


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except Exception:  # noqa: BLE001  its class is a third party's
        return False
    return True


def _storable(value: Any, depth: int = 5) -> Any:
    """Return a value as it is; as texts what of it is no JSON, which a third party's error may carry."""
    if _is_json(value):
        return value
    if depth and type(value) is dict:
        return {_text(key): _storable(item, depth - 1) for key, item in value.items()}
    if depth and type(value) in (list, tuple, set, frozenset):
        return [_storable(item, depth - 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    """Return a key, or a value that is no JSON, as a text; of what may be anything, keys among it, its class alone."""
    try:
        return str(value) if isinstance(value, _TELLING) else f"({type(value).__name__})"
    except Exception:  # noqa: BLE001  its class is a third party's, or it is a number of too many digits
        return f"({type(value).__name__})"


_TELLING = (str, int, float, Decimal, Enum, UUID, date, time, timedelta)


class InvalidJob(AxisorError):
    """The job can't be understood; nothing was recorded or sent. Correct it and enqueue again."""

    default_status = 400
    default_code = "invalid_job"


class NotFound(AxisorError):
    """An automation, account, trade or execution is not there, or is not this user's (never told apart)."""

    default_status = 404
    default_code = "not_found"


class InvalidConfig(AxisorError):
    """The automation's config is refused; nothing was sent. Correct the automation's row."""

    default_status = 400
    default_code = "invalid_config"


class UnknownAutomationType(AxisorError):
    """No installed plugin handles this automation type; the message names those that are."""

    default_status = 400
    default_code = "unknown_automation_type"


class Refused(AxisorError):
    """Acting would be wrong on what is known (unaffordable, ambiguous, a bound exceeded); nothing was sent."""

    default_status = 400
    default_code = "refused"


class AccountInactive(AxisorError):
    """The account is switched off and ``AXISOR_INACTIVE_ACCOUNTS`` refuses this action; nothing was sent."""

    default_status = 400
    default_code = "account_inactive"


class CredentialsError(AxisorError):
    """The account's exchange keys are missing, blank or can't be decrypted; nothing was sent."""

    default_status = 400
    default_code = "credentials_invalid"


class IdempotencyConflict(AxisorError):
    """The idempotency key belongs to another job of this user; the first one stands."""

    default_status = 409
    default_code = "idempotency_conflict"


class StaleData(AxisorError):
    """Price, trade or balance is missing, not positive or too old; nothing is decided on it."""

    default_status = 503
    default_code = "stale_data"


class ExchangeError(AxisorError):
    """Base of what can go wrong with a call to the exchange."""

    default_status = 503
    default_code = "exchange_error"


class Rejected(ExchangeError):
    """The exchange definitely said no: nothing happened, and the same request would be refused again."""

    default_status = 400
    default_code = "exchange_rejected"


class Unavailable(ExchangeError):
    """The request was definitely not processed (or was only a read); it may be tried again."""

    default_status = 503
    default_code = "exchange_unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None, **more: Any) -> None:
        """Store ``retry_after``: seconds after which the exchange asked to be called again, if it did."""
        super().__init__(message, **more)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """The rate budget has no room for this call within the time that a thread may wait; nothing was sent.

    ``retry_after`` says in how many seconds there will be. It costs an execution no try.
    """

    default_code = "rate_limited"


class CircuitOpen(Unavailable):
    """The exchange, this account's keys on it, or the plugin failed so often that it is left alone; nothing was sent.

    Code ``exchange_circuit_open`` (the exchange is away), ``account_circuit_open`` (it refuses the account's keys) or
    ``plugin_circuit_open`` (the automation's plugin fails). ``retry_after`` says in how many seconds a probe may go
    through. It costs an execution no try.
    """

    default_code = "exchange_circuit_open"


class OutcomeUnknown(ExchangeError):
    """The request left and no readable answer came: it may have been carried out. Never send it again blindly."""

    default_status = 504
    default_code = "outcome_unknown"


class PluginError(AxisorError):
    """A plugin raised, hung, returned junk or could not be loaded; its own jobs fail, no others.

    The message starts with the plugin's ``distribution version``.
    """

    default_status = 500
    default_code = "plugin_error"


class LeaseLost(AxisorError):
    """This run no longer holds the account's lease: it must send nothing more."""

    default_status = 503
    default_code = "lease_lost"


class Held(AxisorError):
    """A switch, or an earlier action whose outcome is not known, holds this action back; nothing was sent."""

    default_status = 503
    default_code = "held"


class Changed(AxisorError):
    """Automation, account, keys or exchange were changed since the decision; nothing was sent, it is decided again."""

    default_status = 503
    default_code = "changed_meanwhile"


class SettingsError(AxisorError):
    """The settings are unusable; the message lists every problem, with secrets masked."""

    default_status = 500
    default_code = "invalid_settings"

    def __init__(self, message: str, *, problems: Sequence[str] = (), **more: Any) -> None:
        """Store ``problems``: one sentence each, in the order of the variables."""
        super().__init__(message, **more)
        self.problems = tuple(problems)


class StorageError(AxisorError):
    """The database can't be used as it is (unreachable, tables missing, schema too new)."""

    default_status = 500
    default_code = "storage_error"


class EmbeddedServerError(AxisorError):
    """A private server or process could not be started; the message says what to install or free."""

    default_status = 500
    default_code = "embedded_server_error"
