"""The settings: read once from the environment, checked as a whole, and never shown with a secret in them.

Importing this module reads nothing; :func:`load_settings` does. The table in the documentation is derived from the
fields here by :func:`describe_settings`, so a field's ``description`` is written for operators and names its unit.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import (
    AliasGenerator,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from axisor_executor.errors import SettingsError
from axisor_executor.settings_values import (
    DAY,
    OTHER_TYPES,
    RETRIES,
    CredentialsFormat,
    DatabaseUrl,
    ExchangeUrl,
    InactiveAccounts,
    Key,
    Keys,
    LogFormat,
    LogLevel,
    LogLevels,
    Mode,
    Names,
    RedisUrl,
    Retries,
    RetryPolicy,
    Text,
    mask_url,
    split_list,
)

if TYPE_CHECKING:
    from pydantic import ValidationInfo
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

__all__ = [
    "RetryPolicy",
    "SettingRow",
    "Settings",
    "describe_settings",
    "load_settings",
    "mask_url",
    "settings_warnings",
]

PLUGIN_VARIABLES = "axisor_executor.variables"
"""The group of entry points by whose names a plugin's distribution says which variables it reads."""

PLUGINS = "axisor_executor"
"""The group of the plugins themselves."""

_LONGEST_SHOWN = 60
_URLS = ("redis_url", "database_url")


_OWN_NAMES = {
    "redis_url": "REDIS_URL",
    "database_url": "DATABASE_URL",
    "exchange_url": "LN_MARKETS_API_URL",
    "encryption_key": "ENCRYPTION_KEY",
}


def _variable(name: str) -> str:
    """Return the variable of an attribute: ``AXISOR_`` and its name, but for those that are older than we are."""
    return _OWN_NAMES.get(name) or f"AXISOR_{name.upper()}"


def _setting(default: Any, description: str, allowed: str | None = None, **bounds: Any) -> Any:
    """Declare a setting; one that says itself what is ``allowed`` never has its value shown in an error."""
    extra: dict[str, Any] | None = None if allowed is None else {"allowed": allowed}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def _seconds(default: float, low: float, high: float, description: str) -> Any:
    return _setting(default, f"{description}, in seconds", ge=low, le=high, allow_inf_nan=False)


# -- the settings -----------------------------------------------------------------------------------------------------


class Settings(BaseSettings):
    """All settings, checked and immutable.

    ``Settings()`` reads the environment, and only that: no file. Keyword arguments, by attribute name, win over it.
    An empty variable counts as not set. Secrets and the passwords in URLs are masked in ``repr`` and in dumps.

    Raises:
        SettingsError: code ``invalid_settings``; the message and ``problems`` name every variable that is wrong,
            what is wrong with it and what is allowed, without a secret. Nothing can run; correct the environment.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=AliasGenerator(validation_alias=_variable),
        populate_by_name=True,  # for keyword arguments; the prefix keeps a stray `redis_url` variable out
        env_prefix="AXISOR_",
        case_sensitive=True,
        env_ignore_empty=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    redis_url: RedisUrl = _setting(
        "redis://localhost:6379",
        "Redis that carries the queue",
        "redis://[user:password@]host[:port][/database], rediss://... or unix:///socket",
    )
    database_url: DatabaseUrl | None = _setting(
        None,
        "Database with the monolith's tables and ours; whatever runs automations needs it",
        "postgresql://user:password@host:5432/axisor, postgres://... or sqlite:///path",
    )
    exchange_url: ExchangeUrl = _setting(
        "https://api.lnmarkets.com",
        "Address of the LN Markets REST API, with or without /v3 at its end",
        "https://host[/path], or http:// on a loopback host",
    )
    encryption_key: Key | None = _setting(
        None,
        "Text from which the key to the accounts' credentials is derived, the monolith's; needed to read them",
        "UTF-8 text that is not blank",
    )
    encryption_keys: Keys = _setting(
        (),
        "More such keys, for rotation: the first writes, all are tried for reading, ENCRYPTION_KEY comes last",
        "keys with commas between, or a JSON list of them",
    )
    credentials_format: CredentialsFormat | None = _setting(
        None,
        "Format in which credentials are written; not set: monolith where its tables were found, else sealed",
    )
    mode: Mode = _setting(
        "live", "Whether requests that change something are sent, or decided and recorded only; of all processes alike"
    )
    auto_migrate: bool = _setting(True, "Bind an automation without an account to its user's only account")
    inactive_accounts: InactiveAccounts = _setting(
        "reduce-only",
        "What automations may do on an account that is switched off: reduce risk, nothing, everything",
    )
    credentials_cache_size: int = _setting(
        10_000, "Accounts whose decrypted credentials a process keeps at most", ge=1, le=1_000_000
    )
    credentials_cache_seconds: float = _seconds(300, 0.1, DAY, "How long decrypted credentials are kept")
    log_format: LogFormat = _setting("human", "Log lines for people or for machines")
    log_level: LogLevel = _setting("INFO", "Least severe level that is logged")
    log_levels: LogLevels = _setting(
        {},
        "Levels of single modules of ours, such as axisor_executor.exchange=DEBUG",
        "module=LEVEL with commas between; modules are axisor_executor and what is below it",
    )
    log_debug_runs: float = _setting(
        0.0, "Share of executions whose debug lines are logged whatever the level", ge=0, le=1, allow_inf_nan=False
    )
    tracing: bool = _setting(False, "Make OpenTelemetry spans; where they go is said by OTEL_ variables (extra otel)")
    alert_cooldown_seconds: float = _seconds(
        300, 0.1, DAY, "How long an alert stands for further ones of its kind and account"
    )
    alert_queue_depth: int = _setting(
        1000, "Queued executions of a lane above which an alert is raised", ge=1, le=1_000_000_000
    )
    alert_queue_seconds: float = _seconds(60, 1, DAY, "Age of the oldest queued execution above which one is raised")
    max_price_age_seconds: float = _seconds(5, 0.1, 300, "Oldest price on which anything is decided")
    signature_window_seconds: float = _seconds(30, 0.1, 600, "How long the exchange takes a signed request")
    signature_margin_seconds: float = _seconds(
        30, 0.1, 3600, "How long after that window a lost request counts as not carried out"
    )
    max_clock_skew_seconds: float = _seconds(5, 0.1, 60, "Clock difference above which nothing is sent")
    request_timeout_seconds: float = _seconds(10, 0.1, 120, "Time for one call to the exchange, all in all")
    connect_timeout_seconds: float = _seconds(3, 0.1, 60, "Time to connect to the exchange")
    breaker_failures: int = _setting(
        5,
        "Calls in a row that fail (of a run's reads that fail alike, the first) before an exchange counts as away and "
        "its calls are held back; three times as many where all are one account's",
        ge=1,
        le=1000,
    )
    breaker_refusals: int = _setting(
        2,
        "Calls in a row (of a run's reads, the first) whose keys the exchange refuses before that account's calls are "
        "held back",
        ge=1,
        le=1000,
    )
    breaker_probe_seconds: float = _seconds(
        2, 0.1, 300, "Time until an exchange that is away is probed first; it doubles, and guards wait a fifth"
    )
    breaker_probe_limit_seconds: float = _seconds(15, 0.1, 3600, "Longest time between two such probes")
    breaker_account_probe_seconds: float = _seconds(
        300, 0.1, DAY, "Time until refused keys are probed first; it doubles to twelve times, and guards wait a fifth"
    )
    plugin_breaker_failures: int = _setting(
        5,
        "Times in a row that a plugin fails (raises, hangs, returns junk) before its automations are held back; "
        "three times as many where all are one automation's",
        ge=1,
        le=1000,
    )
    plugin_breaker_window_seconds: float = _seconds(
        300, 1, DAY, "Time after which such a failure does not count with the next one any more"
    )
    plugin_breaker_probe_seconds: float = _seconds(
        10, 0.1, 3600, "Time until such a plugin is asked first; it doubles to twelve times, and guards wait a fifth"
    )
    private_calls_per_second: float = _setting(
        5.0,
        "Calls a second that the exchange takes for one API key; lower, where something else calls with the same keys",
        ge=0.1,
        le=1000,
        allow_inf_nan=False,
    )
    public_calls_per_second: float = _setting(
        1.0, "Calls a second that it takes without a key from one source address", ge=0.1, le=1000, allow_inf_nan=False
    )
    source_address: Text | None = _setting(
        None,
        "Name of the source address from which this machine calls; all that give the same, or none, share one budget "
        "for calls without a key",
        "1 to 64 letters, digits and . _ : -",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
    )
    rate_wait_seconds: float = _seconds(
        0.25, 0.05, 10, "How long a thread waits for room in the exchange's rate limit before its job is put aside"
    )
    rate_processes: int = _setting(
        4, "Processes that share the rate limits equally while Redis is away", ge=1, le=10_000
    )
    recovery_seconds: float = _seconds(2, 0.1, 300, "Time between two looks for executions left behind")
    lease_seconds: float = _seconds(6, 0.5, 300, "Time after which a dead worker's account is taken over")
    shutdown_seconds: float = _seconds(25, 0.1, 600, "Time a stopping worker has to end its runs")
    decide_seconds: float = _seconds(20, 0.1, 600, "Time a plugin's handler has to decide")
    db_pool: int = _setting(32, "Database connections that a process opens at most", ge=1, le=1000)
    http_requests_per_minute: int = _setting(
        600, "Requests a minute that a process of the HTTP API takes with one token", ge=1, le=1_000_000
    )
    metrics_per_account: bool = _setting(
        False, "Count executions by account, too, for Prometheus: a series for each account, type and status"
    )
    disabled_plugins: Names = _setting((), "Plugins that are not loaded", "names with commas between")
    required_plugins: Names = _setting(
        (), "Plugins without which a worker does not start", "names with commas between, none of them disabled"
    )
    queue_prefix: Text = _setting(
        "axisor",
        "Namespace of our keys in Redis; each installation that shares a Redis needs its own",
        "1 to 64 letters, digits and . _ : -",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
    )
    retries: Retries = _setting(
        RETRIES,
        "Tries of each automation type when the exchange is unavailable, the first included, with the first delay, "
        "the limit to which it doubles and the job's greatest age, in seconds; merged over the default, "
        "and what is left out for another type is 2 tries, 3 s, 30 s, 300 s",
        'such as {"margin_guard": {"tries": 3, "first_delay_seconds": 5, "limit_seconds": 60, '
        '"max_age_seconds": 600}}, each part optional',
    )

    if not TYPE_CHECKING:  # type checkers see the fields as keyword arguments

        def __init__(self, **values: Any) -> None:
            problems: list[str] = []
            try:
                super().__init__(**values)
            except ValidationError as error:
                problems = [_problem(detail) for detail in error.errors(include_url=False)]
            # Raised outside of the `except`, and with the arguments gone, the error takes no value along.
            values.clear()
            if problems:
                raise _settings_error(problems)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read keyword arguments and the environment, no files."""
        return init_settings, env_settings

    @field_validator("required_plugins")
    @classmethod
    def _not_disabled(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        both = sorted(set(names) & set(info.data.get("disabled_plugins", ())))
        if both:
            raise ValueError(f"requires what AXISOR_DISABLED_PLUGINS disables: {', '.join(both)}")
        return names

    @field_serializer(*_URLS)
    def _masked(self, url: str | None) -> str | None:
        return None if url is None else mask_url(url)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, self._masked(value) if name in _URLS else value) for name, value in self.__dict__.items()]

    @property
    def ring_keys(self) -> tuple[SecretStr, ...]:
        """All encryption keys, the one that writes first, each once; empty when none is set."""
        last = () if self.encryption_key is None else (self.encryption_key,)
        return tuple(dict.fromkeys(self.encryption_keys + last))

    def policy_for(self, automation_type: str) -> RetryPolicy:
        """Return the retry policy of an automation type; types without one of their own share one."""
        return self.retries.get(automation_type, OTHER_TYPES)

    def require_database(self) -> str:
        """Return the database's URL.

        Raises:
            SettingsError: ``DATABASE_URL`` is not set.
        """
        if self.database_url is None:
            raise _settings_error([_not_set("database_url")])
        return self.database_url

    def require_ring_keys(self) -> tuple[SecretStr, ...]:
        """Return :attr:`ring_keys`, at least one.

        Raises:
            SettingsError: neither ``ENCRYPTION_KEY`` nor ``AXISOR_ENCRYPTION_KEYS`` is set.
        """
        if not self.ring_keys:
            raise _settings_error([_not_set("encryption_key")])
        return self.ring_keys


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: see :class:`Settings`.
    """
    return Settings()


# -- saying what is wrong ---------------------------------------------------------------------------------------------


def _settings_error(problems: list[str]) -> SettingsError:
    lines = "\n".join(f"- {problem}" for problem in problems)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return SettingsError(f"The settings can't be used ({count}):\n{lines}", problems=problems)


def _not_set(name: str) -> str:
    return f"{_variable(name)} is not set; allowed: {_allowed(Settings.model_fields[name])}"


def _problem(detail: ErrorDetails) -> str:
    """Put one of pydantic's findings into words; the value stands in it only where it can't be a secret."""
    first, *inner = detail["loc"]
    named = {_variable(name): field for name, field in Settings.model_fields.items()}
    field = named.get(str(first)) or Settings.model_fields.get(str(first))
    if field is None:
        return f"{first} is not a setting"
    subject = str(field.validation_alias)
    if field is Settings.model_fields["retries"] and inner:
        subject += f", {'.'.join(str(part) for part in inner)[:_LONGEST_SHOWN]}"
        policy: dict[str, FieldInfo] = RetryPolicy.__pydantic_fields__  # type: ignore[attr-defined]
        if detail["type"] == "unexpected_keyword_argument":
            return f"{subject} is unknown; allowed: {', '.join(policy)}"
        field = policy.get(str(inner[-1]), field)
    allowed = _allowed(field)
    if detail["type"] == "value_error":
        return f"{subject} {detail['ctx']['error']}; allowed: {allowed}"
    if field.json_schema_extra is not None or not isinstance(detail["input"], str | int | float):
        return f"{subject} has a value that is not allowed; allowed: {allowed}"
    shown = repr(detail["input"])
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    return f"{subject} is {shown}; allowed: {allowed}"


def _allowed(field: FieldInfo) -> str:
    """Say what a field takes, derived from its annotation and bounds unless it says so itself."""
    if isinstance(field.json_schema_extra, dict) and "allowed" in field.json_schema_extra:
        return str(field.json_schema_extra["allowed"])
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(choices)
    if field.annotation is bool:
        return "true, false"
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    number = "a whole number" if field.annotation is int else "a number"
    return f"{number} from {_plain(bounds['ge'])} to {_plain(bounds['le'])}"


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((found for part in get_args(annotation) if (found := _choices(part))), ())


def _plain(value: object) -> str:
    """Write a value as it would stand in the environment."""
    match value:
        case None | ():
            return ""
        case dict() if not value:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.12g}"
        case dict():
            return re.sub(r"\.0\b", "", json.dumps({name: asdict(policy) for name, policy in value.items()}))
        case _:
            return str(value)


# -- the table and the warnings ---------------------------------------------------------------------------------------


class SettingRow(NamedTuple):
    """One row of the settings table: the variable, its default as it would be written, what it means."""

    variable: str
    default: str
    meaning: str


def describe_settings() -> list[SettingRow]:
    """Return the rows of the documentation's settings table, in the order of the fields.

    An empty default means "not set". ``meaning`` names the unit and, in parentheses, what is allowed.
    """
    return [
        SettingRow(
            variable=str(field.validation_alias),
            default=_plain(field.default),
            meaning=f"{field.description} ({_allowed(field)})",
        )
        for field in Settings.model_fields.values()
    ]


def settings_warnings(environ: Mapping[str, str]) -> list[str]:
    """Return one sentence for each variable in ``environ`` that looks like a setting but has no effect as meant.

    These are ``AXISOR_`` variables that neither we nor an installed plugin has (with the name probably meant), names in
    ``AXISOR_DISABLED_PLUGINS`` that no plugin has, and an ``ENCRYPTION_KEY`` with white space around it, which is part
    of the key and rarely meant to be. No other value is quoted; nothing fails.
    """
    known = [row.variable for row in describe_settings()]
    of_plugins = {point.name for point in entry_points(group=PLUGIN_VARIABLES)}
    warnings = [
        f"{name} is not a setting and has no effect{_meant(name.upper(), known)}"
        for name in sorted(environ)
        if name.upper().startswith("AXISOR_") and name not in known and name not in of_plugins
    ]
    points = entry_points(group=PLUGINS)
    plugins = {point.name for point in points} | {point.dist.name for point in points if point.dist}
    warnings += [
        f"AXISOR_DISABLED_PLUGINS names {name[:_LONGEST_SHOWN]!r}, which is no plugin here{_meant(name, plugins)}"
        for name in split_list(environ.get("AXISOR_DISABLED_PLUGINS", ""))
        if name not in plugins
    ]
    key = environ.get("ENCRYPTION_KEY", "")
    if key != key.strip():
        warnings.append("ENCRYPTION_KEY begins or ends with white space, which is taken as part of the key")
    return warnings


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""
