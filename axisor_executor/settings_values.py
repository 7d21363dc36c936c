"""How one value of a setting is read and checked. Messages never quote what may be a secret."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.dataclasses import dataclass
from pydantic_settings import NoDecode

from axisor_executor import url_parameters

DAY = 86_400
_MODULE = re.compile(r"axisor_executor(\.\w+)*")


@dataclass(frozen=True, config={"extra": "forbid", "hide_input_in_errors": True})
class RetryPolicy:
    """How often, and how far apart, a run is tried again when the exchange was unavailable.

    ``tries`` counts all of them, the first included. The delay starts at ``first_delay_seconds``, doubles, and never
    exceeds ``limit_seconds``. A job older than ``max_age_seconds`` is not tried again.
    """

    tries: int = Field(ge=1, le=20)
    first_delay_seconds: float = Field(ge=0.1, le=3600, allow_inf_nan=False)
    limit_seconds: float = Field(ge=0.1, le=3600, allow_inf_nan=False)
    max_age_seconds: float = Field(ge=1, le=7 * DAY, allow_inf_nan=False)

    def __post_init__(self) -> None:
        if self.first_delay_seconds > self.limit_seconds:
            raise ValueError("first_delay_seconds exceeds limit_seconds")


OTHER_TYPES = RetryPolicy(tries=2, first_delay_seconds=3, limit_seconds=30, max_age_seconds=300)
RETRIES = {
    "margin_guard": RetryPolicy(tries=3, first_delay_seconds=5, limit_seconds=60, max_age_seconds=600),
    "tp_sl": RetryPolicy(tries=2, first_delay_seconds=3, limit_seconds=30, max_age_seconds=300),
    "auto_entry": RetryPolicy(tries=2, first_delay_seconds=2, limit_seconds=20, max_age_seconds=60),
}


def mask_url(url: str) -> str:
    """Return ``url`` with passwords replaced by ``***``: before the host and in the query.

    Works on malformed URLs too: everything up to the *last* ``@`` counts as user and password, so that one with an
    unescaped ``/``, ``#``, ``?`` or ``@`` in it is covered.
    """
    if url.startswith("sqlite:"):
        return url
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    userinfo, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        place = f"{user}:***@{place}" if colon and re.fullmatch(r"[\w.%-]*", user) else f"***@{place}"
    hidden = re.sub(r"(?i)([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*=)[^&]*", r"\1***", place)
    return f"{scheme}{mark}{hidden}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its message quotes the part it stumbled over, which may be a password
        parts = None
    # With several "@" before the host, drivers don't agree where it begins: libpq takes a password's rest for it.
    if parts is None or parts.fragment or parts.netloc.count("@") > 1 or ("@" in parts.path and parts.scheme != "unix"):
        raise ValueError("is not a URL (special characters in a password, @ too, must be percent-encoded)")
    return parts


def _check_redis_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("names no socket")
    elif parts.scheme not in {"redis", "rediss"} or not url.startswith(f"{parts.scheme}://"):
        raise ValueError("has another scheme")
    elif not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("names a database that is not a number")
    url_parameters.check_redis(url)
    return url


def _check_database_url(url: str) -> str:
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path.strip("/") or ":memory:" in path:
            # Each thread has a connection of its own, and the ledger must outlive the process.
            raise ValueError("names no file (a database in memory can't hold the ledger)")
        if "?" in path:
            raise ValueError("has ? in its path, and an SQLite file takes no parameters")
        return url
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("has another scheme")
    if not _split(url).path.strip("/"):
        raise ValueError("names no database")
    return url_parameters.for_libpq(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _normalise_exchange_url(url: str) -> str:
    parts = _split(url)
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("is not an http address")
    if parts.username is not None or parts.query:
        raise ValueError("carries a user, password or query: credentials belong to the accounts")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("would send credentials unencrypted: plain http is for loopback hosts only")
    path = parts.path.rstrip("/")
    if re.search(r"/v(?!3$)\d+$", path):
        raise ValueError("is of another version of the exchange's API than v3")
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/v3')}/v3"


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def split_list(value: object) -> Any:
    """Read ``a, b`` or a JSON list of texts, which are taken as they stand; each once, in order."""
    if not isinstance(value, str):
        return value
    items: object = [item.strip() for item in value.split(",") if item.strip()]
    if value.lstrip().startswith("["):
        try:
            items = json.loads(value)
        except ValueError:
            items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("starts like a JSON list but is not one of texts")
    return tuple(dict.fromkeys(items))


def _split_levels(value: object) -> object:
    """Read ``module=LEVEL, module=LEVEL``; a module is ``axisor_executor`` or one below it."""
    levels: object = value
    if isinstance(value, str):
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        levels = {name.strip(): level for name, _, level in pairs}
    if not isinstance(levels, Mapping):
        raise ValueError("is not module=LEVEL with commas between")  # noqa: TRY004  pydantic takes only these
    for name in levels:
        if not _MODULE.fullmatch(str(name)):
            raise ValueError("names a module that is not of axisor_executor")
    return levels


def _merge_retries(value: object) -> object:
    """Lay the given policies, whole or in part, over those that the types have anyway."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping):
        raise ValueError("is not a JSON object")  # noqa: TRY004  pydantic collects value errors only
    merged: dict[str, object] = {name: asdict(policy) for name, policy in RETRIES.items()}
    for name, given in value.items():
        part = asdict(given) if isinstance(given, RetryPolicy) else given
        if not isinstance(part, Mapping):
            raise ValueError(f"has no JSON object for {str(name)[:40]!r}")  # noqa: TRY004
        merged[name] = {**asdict(RETRIES.get(name, OTHER_TYPES)), **part}
    return merged


def _check_key(key: SecretStr) -> SecretStr:
    """Refuse what could never have encrypted anything; white space is kept, the monolith derived from it too."""
    text = key.get_secret_value()
    if not text.strip():
        raise ValueError("is blank")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("is not UTF-8")
    return key


RedisUrl = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_check_redis_url)]
DatabaseUrl = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_check_database_url)]
ExchangeUrl = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_normalise_exchange_url)]
Key = Annotated[SecretStr, AfterValidator(_check_key)]
Keys = Annotated[tuple[Key, ...], NoDecode, BeforeValidator(split_list)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Retries = Annotated[dict[str, RetryPolicy], NoDecode, BeforeValidator(_merge_retries)]
Mode = Annotated[Literal["live", "dry_run"], BeforeValidator(_trimmed)]
InactiveAccounts = Annotated[Literal["reduce-only", "refuse", "allow"], BeforeValidator(_trimmed)]
CredentialsFormat = Annotated[Literal["monolith", "sealed"], BeforeValidator(_trimmed)]
LogFormat = Annotated[Literal["human", "json"], BeforeValidator(_trimmed)]
Text = Annotated[str, BeforeValidator(_trimmed)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
LogLevels = Annotated[dict[str, LogLevel], NoDecode, BeforeValidator(_split_levels)]
