"""Settings: what is read, what is refused and how it is said, and that no secret is shown on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from io import StringIO
from pathlib import Path

import pytest
import rich.console
import rich.traceback
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from axisor_executor.errors import SettingsError
from axisor_executor.settings import (
    RetryPolicy,
    Settings,
    describe_settings,
    load_settings,
    mask_url,
    settings_warnings,
)

# Put together at run time, so that a traceback's lines of source don't show it.
CANARY = "".join(reversed("yranac"))
VARIABLES = [row.variable for row in describe_settings()]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*VARIABLES, *(name for name in os.environ if name.upper().startswith("AXISOR_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **environ: str) -> Settings:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def problems(monkeypatch: pytest.MonkeyPatch, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **environ)
    error = caught.value
    assert (error.code, error.status) == ("invalid_settings", 500)
    assert all(problem in error.message for problem in error.problems)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error.problems


def shown(error: BaseException) -> str:
    out = StringIO()
    trace = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=100_000
    )
    rich.console.Console(file=out, width=1000).print(trace)
    locals_too = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return f"{out.getvalue()}\n{locals_too}\n{vars(error)!r}"


# -- what is read -----------------------------------------------------------------------------------------------------


def test_nothing_set_gives_the_defaults() -> None:
    settings = load_settings()
    assert settings.redis_url == "redis://localhost:6379"
    assert settings.database_url is None
    assert settings.exchange_url == "https://api.lnmarkets.com/v3"
    assert settings.encryption_key is None
    assert settings.ring_keys == ()
    assert settings.credentials_format is None
    assert settings.auto_migrate is True
    assert settings.inactive_accounts == "reduce-only"
    assert (settings.credentials_cache_size, settings.credentials_cache_seconds) == (10_000, 300)
    assert (settings.log_format, settings.log_level) == ("human", "INFO")
    assert settings.max_price_age_seconds == 5
    assert (settings.signature_window_seconds, settings.signature_margin_seconds) == (30, 30)
    assert settings.max_clock_skew_seconds == 5
    assert (settings.request_timeout_seconds, settings.connect_timeout_seconds) == (10, 3)
    assert (settings.private_calls_per_second, settings.public_calls_per_second) == (5, 1)
    assert (settings.source_address, settings.rate_wait_seconds, settings.rate_processes) == (None, 0.25, 4)
    assert (settings.breaker_failures, settings.breaker_refusals) == (5, 2)
    assert (settings.breaker_probe_seconds, settings.breaker_probe_limit_seconds) == (2, 15)
    assert settings.breaker_account_probe_seconds == 300
    assert (settings.plugin_breaker_failures, settings.plugin_breaker_window_seconds) == (5, 300)
    assert settings.plugin_breaker_probe_seconds == 10
    assert (settings.recovery_seconds, settings.lease_seconds) == (2, 6)
    assert (settings.shutdown_seconds, settings.decide_seconds) == (25, 20)
    assert settings.db_pool == 32
    assert settings.disabled_plugins == settings.required_plugins == ()
    assert settings.queue_prefix == "axisor"


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        REDIS_URL="rediss://user:pw@redis:6380/2",
        DATABASE_URL="postgresql://user:pw@host:5432/axisor",
        LN_MARKETS_API_URL="http://127.0.0.1:8080",
        ENCRYPTION_KEY=" the last ",
        AXISOR_ENCRYPTION_KEYS="newest, older",
        AXISOR_CREDENTIALS_FORMAT="sealed",
        AXISOR_MODE="dry_run",
        AXISOR_AUTO_MIGRATE="false",
        AXISOR_INACTIVE_ACCOUNTS="refuse",
        AXISOR_CREDENTIALS_CACHE_SIZE="7",
        AXISOR_CREDENTIALS_CACHE_SECONDS="0.5",
        AXISOR_LOG_FORMAT="json",
        AXISOR_LOG_LEVEL="debug",
        AXISOR_LOG_LEVELS="axisor_executor.exchange=debug, axisor_executor.runs=ERROR",
        AXISOR_LOG_DEBUG_RUNS="0.01",
        AXISOR_TRACING="true",
        AXISOR_ALERT_COOLDOWN_SECONDS="31",
        AXISOR_ALERT_QUEUE_DEPTH="32",
        AXISOR_ALERT_QUEUE_SECONDS="33",
        AXISOR_MAX_PRICE_AGE_SECONDS="1",
        AXISOR_SIGNATURE_WINDOW_SECONDS="2",
        AXISOR_SIGNATURE_MARGIN_SECONDS="3",
        AXISOR_MAX_CLOCK_SKEW_SECONDS="4",
        AXISOR_REQUEST_TIMEOUT_SECONDS="5",
        AXISOR_CONNECT_TIMEOUT_SECONDS="6",
        AXISOR_PRIVATE_CALLS_PER_SECOND="2.5",
        AXISOR_PUBLIC_CALLS_PER_SECOND="0.5",
        AXISOR_SOURCE_ADDRESS="rack-7",
        AXISOR_RATE_WAIT_SECONDS="0.1",
        AXISOR_RATE_PROCESSES="12",
        AXISOR_BREAKER_FAILURES="21",
        AXISOR_BREAKER_REFUSALS="22",
        AXISOR_BREAKER_PROBE_SECONDS="23",
        AXISOR_BREAKER_PROBE_LIMIT_SECONDS="24",
        AXISOR_BREAKER_ACCOUNT_PROBE_SECONDS="25",
        AXISOR_PLUGIN_BREAKER_FAILURES="26",
        AXISOR_PLUGIN_BREAKER_WINDOW_SECONDS="27",
        AXISOR_PLUGIN_BREAKER_PROBE_SECONDS="28",
        AXISOR_RECOVERY_SECONDS="7",
        AXISOR_LEASE_SECONDS="8",
        AXISOR_SHUTDOWN_SECONDS="9",
        AXISOR_DECIDE_SECONDS="10",
        AXISOR_DB_POOL="11",
        AXISOR_HTTP_REQUESTS_PER_MINUTE="12",
        AXISOR_METRICS_PER_ACCOUNT="true",
        AXISOR_DISABLED_PLUGINS="a, b,,a",
        AXISOR_REQUIRED_PLUGINS='["c"]',
        AXISOR_QUEUE_PREFIX="axisor:test",
        AXISOR_RETRIES='{"grid": {"tries": 4}}',
    )
    assert settings.redis_url == "rediss://user:pw@redis:6380/2"
    assert settings.require_database() == "postgresql://user:pw@host:5432/axisor"
    assert settings.exchange_url == "http://127.0.0.1:8080/v3"
    assert [key.get_secret_value() for key in settings.ring_keys] == ["newest", "older", " the last "]
    assert settings.credentials_format == "sealed"
    assert settings.mode == "dry_run"
    assert settings.auto_migrate is False
    assert settings.inactive_accounts == "refuse"
    assert (settings.credentials_cache_size, settings.credentials_cache_seconds) == (7, 0.5)
    assert (settings.log_format, settings.log_level) == ("json", "DEBUG")
    assert settings.log_levels == {"axisor_executor.exchange": "DEBUG", "axisor_executor.runs": "ERROR"}
    assert (settings.log_debug_runs, settings.tracing) == (0.01, True)
    assert [value for name, value in settings if name.startswith("alert_")] == [31, 32, 33]
    seconds = [
        value
        for name, value in settings
        if name.endswith("_seconds") and not re.match("alert|rate|breaker|plugin_breaker|.*cache", name)
    ]
    assert seconds == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (settings.private_calls_per_second, settings.public_calls_per_second) == (2.5, 0.5)
    assert (settings.source_address, settings.rate_wait_seconds, settings.rate_processes) == ("rack-7", 0.1, 12)
    breaker = [value for name, value in settings if name.startswith("breaker_")]
    assert breaker == [21, 22, 23, 24, 25]
    assert [value for name, value in settings if name.startswith("plugin_breaker_")] == [26, 27, 28]
    assert (settings.db_pool, settings.http_requests_per_minute) == (11, 12)
    assert settings.metrics_per_account is True
    assert (settings.disabled_plugins, settings.required_plugins) == (("a", "b"), ("c",))
    assert settings.queue_prefix == "axisor:test"
    assert settings.policy_for("grid").tries == 4
    changed = {name for name, field in Settings.model_fields.items() if getattr(settings, name) != field.default}
    assert changed == set(Settings.model_fields), "a new setting is to be added here"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **dict.fromkeys(VARIABLES, "")) == Settings()


def test_only_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AXISOR_DB_POOL=3\n")
    assert load(monkeypatch, db_pool="4", axisor_db_pool="5", redis_url="redis://stray").db_pool == 32
    assert load_settings().redis_url == "redis://localhost:6379"


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXISOR_DB_POOL", "3")
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    assert Settings(db_pool=4, redis_url="redis://argument").db_pool == 4
    assert Settings(redis_url="redis://argument").redis_url == "redis://argument"
    with pytest.raises(SettingsError, match="db_pol is not a setting"):
        Settings(db_pol=4)  # type: ignore[call-arg]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().db_pool = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        load_settings().policy_for("tp_sl").tries = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.lnmarkets.com", "https://api.lnmarkets.com/v3"),
        ("https://api.lnmarkets.com/", "https://api.lnmarkets.com/v3"),
        ("https://api.lnmarkets.com/v3", "https://api.lnmarkets.com/v3"),
        (" https://api.lnmarkets.com/v3/\n", "https://api.lnmarkets.com/v3"),
        ("https://proxy:8443/ln", "https://proxy:8443/ln/v3"),
        ("http://localhost:8080", "http://localhost:8080/v3"),
        ("http://127.3.2.1", "http://127.3.2.1/v3"),
        ("http://[::1]:8080/v3", "http://[::1]:8080/v3"),
    ],
)
def test_the_exchange_url_ends_on_v3(monkeypatch: pytest.MonkeyPatch, given: str, url: str) -> None:
    assert load(monkeypatch, LN_MARKETS_API_URL=given).exchange_url == url


@pytest.mark.parametrize(
    "url", ["redis://h/1?db=2", "rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem", "unix:///s?db=1", "redis://h?"]
)
def test_what_a_url_of_redis_says_of_the_connection_stands(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert load(monkeypatch, REDIS_URL=url).redis_url == url


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("?schema=public", ""),
        ("?schema=public&connection_limit=5&pool_timeout=0&pgbouncer=true", ""),
        ("?connect_timeout=9&schema=public&sslmode=require", "?connect_timeout=9&sslmode=require"),
        ("?schema=axisor", "?options=-csearch_path%3D%22axisor%22"),
        ("?schema=My%20own%22", "?options=-csearch_path%3D%22My%5C%20own%22%22%22"),
        ("?options=-cjit=off&schema=axisor", "?options=-cjit=off%20-csearch_path%3D%22axisor%22"),
        ("?sslmode=require&application_name=a+b", "?sslmode=require&application_name=a+b"),
    ],
)
def test_a_url_of_the_monolith_is_taken(monkeypatch: pytest.MonkeyPatch, given: str, taken: str) -> None:
    url = "postgresql://user:pw@host:5432/axisor"
    assert load(monkeypatch, DATABASE_URL=url + given).database_url == url + taken


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://api.lnmarkets.com", "unencrypted"),
        ("http://localhost.example.com", "unencrypted"),
        ("http://127.0.0.1.example.com", "unencrypted"),
        ("http://0.0.0.0", "unencrypted"),
        ("http://10.0.0.1/v3", "unencrypted"),
        ("https://api.lnmarkets.com/v2", "another version"),
        ("https://user:canary@api.lnmarkets.com", "credentials belong to the accounts"),
        ("https://api.lnmarkets.com?token=canary", "credentials belong to the accounts"),
        ("ftp://api.lnmarkets.com", "not an http address"),
        ("api.lnmarkets.com", "not an http address"),
        ("https://", "not an http address"),
        ("https://[::1", "not a URL"),
    ],
)
def test_exchange_urls_that_are_refused(monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    (problem,) = problems(monkeypatch, LN_MARKETS_API_URL=given)
    assert problem.startswith("LN_MARKETS_API_URL ")
    assert said in problem
    assert CANARY not in problem


@pytest.mark.parametrize(
    ("variable", "given", "said"),
    [
        ("DATABASE_URL", "mysql://u:canary@h/db", "another scheme"),
        ("DATABASE_URL", "u:canary@h/db", "another scheme"),
        ("DATABASE_URL", "postgresql://u:canary@h", "names no database"),
        ("DATABASE_URL", "postgresql://u:canary@h:port/db", "not a URL"),
        ("DATABASE_URL", "postgresql://u:can#canary@h/db", "percent-encoded"),
        ("DATABASE_URL", "postgresql://u:1/canary@h/db", "percent-encoded"),
        ("DATABASE_URL", "postgresql://u:x?canary@h/db", "percent-encoded"),
        ("DATABASE_URL", "postgresql://u:canary\u2100@h/db", "not a URL"),
        ("DATABASE_URL", "postgresql://u:pa@canary@h/db", "a password, @ too, must be percent-encoded"),
        ("DATABASE_URL", "postgresql://us@er:canary@h/db", "percent-encoded"),
        ("DATABASE_URL", "sqlite://canary.db", "another scheme"),
        ("DATABASE_URL", "sqlite:///", "names no file"),
        ("DATABASE_URL", "sqlite:///:memory:", "in memory"),
        ("DATABASE_URL", "sqlite:///canary.db?mode=ro", "takes no parameters"),
        ("REDIS_URL", "http://u:canary@h", "another scheme"),
        ("REDIS_URL", "redis:canary", "another scheme"),
        ("REDIS_URL", "redis://h/canary", "not a number"),
        ("REDIS_URL", "redis://:canary@h:6379a/0", "not a URL"),
        ("REDIS_URL", "redis://:pa@canary@h/0", "percent-encoded"),
        ("REDIS_URL", "unix://", "names no socket"),
        ("REDIS_URL", "redis://h?family=canary", "can't be used: family"),
        ("REDIS_URL", "redis://h?ssl_cert_reqs=canary", "can't be used: ssl_cert_reqs"),
        ("REDIS_URL", "rediss://h?ssl_cert_reqs=canary", "can't be used: ssl_cert_reqs"),
        ("REDIS_URL", "redis://h/1?db=canary", "can't be used: db"),
        ("REDIS_URL", "redis://h?socket_timeout=canary", "can't be used: socket_timeout"),
        ("REDIS_URL", "redis://h?socket_timeout=0.001", "can't be used: socket_timeout"),
        ("REDIS_URL", "redis://h?decode_responses=True", "can't be used: decode_responses"),
        ("REDIS_URL", "redis://h?protocol=3&password=canary", "can't be used: protocol"),
        ("REDIS_URL", "redis://h?can ary=1", "can't be used: not even a word"),
        ("REDIS_URL", "redis://:1?canary=1@h", "percent-encoded"),
        ("DATABASE_URL", "postgresql://u:p@h/db?sslaccept=canary", "driver does not know: sslaccept"),
        ("DATABASE_URL", "postgresql://u:p@h/db?schema=canary&shema=canary", "driver does not know: shema"),
        ("DATABASE_URL", "postgresql://u/1?canary=@h/db", "percent-encoded"),
        ("ENCRYPTION_KEY", "  ", "is blank"),
        ("ENCRYPTION_KEY", "canary\udcff", "is not UTF-8"),
        ("AXISOR_ENCRYPTION_KEYS", '["canary", ', "JSON list"),
        ("AXISOR_ENCRYPTION_KEYS", '["canary", 5]', "JSON list"),
        ("AXISOR_ENCRYPTION_KEYS", '["canary", " "]', "is blank"),
        ("AXISOR_CREDENTIALS_FORMAT", "plain", "is 'plain'; allowed: monolith, sealed"),
        ("AXISOR_AUTO_MIGRATE", "perhaps", "is 'perhaps'; allowed: true, false"),
        ("AXISOR_INACTIVE_ACCOUNTS", "x" * 500, "allowed: reduce-only, refuse, allow"),
        ("AXISOR_LOG_FORMAT", "xml", "allowed: human, json"),
        ("AXISOR_LOG_LEVEL", "loud", "allowed: DEBUG, INFO"),
        ("AXISOR_QUEUE_PREFIX", "a b", "1 to 64 letters"),
        ("AXISOR_DB_POOL", "1.5", "is '1.5'; allowed: a whole number from 1 to 1000"),
        ("AXISOR_RETRIES", "3x5s", "is not a JSON object"),
        ("AXISOR_LOG_LEVELS", "axisor_executor.exchange=LOUD", "has a value that is not allowed"),
        ("AXISOR_LOG_LEVELS", "axisor_executor.exchange", "has a value that is not allowed"),
        ("AXISOR_LOG_LEVELS", "requests=DEBUG", "names a module that is not of axisor_executor"),
        ("AXISOR_LOG_LEVELS", "=DEBUG", "names a module that is not of axisor_executor"),
        ("AXISOR_LOG_DEBUG_RUNS", "1.1", "allowed: a number from 0 to 1"),
        ("AXISOR_RETRIES", "[1]", "is not a JSON object"),
        ("AXISOR_RETRIES", '{"tp_sl": 3}', "has no JSON object for 'tp_sl'"),
        ("AXISOR_RETRIES", '{"tp_sl": {"tries": 0}}', "tp_sl.tries is 0; allowed: a whole number from 1 to 20"),
        ("AXISOR_RETRIES", '{"tp_sl": {"tryes": 2}}', "tp_sl.tryes is unknown; allowed: tries, first_delay_seconds"),
        ("AXISOR_RETRIES", '{"tp_sl": {"limit_seconds": 2}}', "tp_sl first_delay_seconds exceeds limit_seconds"),
        ("AXISOR_RETRIES", '{"tp_sl": {"tries": []}}', "tp_sl.tries has a value that is not allowed"),
    ],
)
def test_values_that_are_refused(monkeypatch: pytest.MonkeyPatch, variable: str, given: str, said: str) -> None:
    (problem,) = problems(monkeypatch, **{variable: given})
    assert problem.startswith(variable)
    assert "; allowed: " in problem
    assert said in problem
    assert CANARY not in problem
    assert len(problem) < 400


NUMBERS = [row for row in describe_settings() if row.variable.endswith(("_SECONDS", "_PER_SECOND", "_SIZE", "_POOL"))]


@pytest.mark.parametrize("variable", [row.variable for row in NUMBERS])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e12", "five", "5s"])
def test_numbers_have_bounds(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    (problem,) = problems(monkeypatch, **{variable: value})
    assert problem.startswith(f"{variable} is '{value}'; allowed: a ")


def test_every_problem_is_said_at_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(
        monkeypatch,
        AXISOR_LEASE_SECONDS="0",
        DATABASE_URL="x",
        AXISOR_REQUIRED_PLUGINS="a,b",
        AXISOR_DISABLED_PLUGINS="b",
        ENCRYPTION_KEY=" ",
        AXISOR_RETRIES='{"a": {"tries": 0}, "b": {"tries": 99}}',
    )
    assert [problem.split()[0].strip(",") for problem in found] == [
        "DATABASE_URL",
        "ENCRYPTION_KEY",
        "AXISOR_LEASE_SECONDS",
        "AXISOR_REQUIRED_PLUGINS",
        "AXISOR_RETRIES",
        "AXISOR_RETRIES",
    ]
    assert "disables: b" in found[3]


def test_what_is_needed_is_asked_for_when_it_is_needed() -> None:
    settings = load_settings()
    with pytest.raises(SettingsError, match="DATABASE_URL is not set; allowed: postgresql://"):
        settings.require_database()
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY is not set"):
        settings.require_ring_keys()
    assert Settings(encryption_keys="one").require_ring_keys() == (SecretStr("one"),)


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{CANARY}@host:port")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{CANARY}@h")
    monkeypatch.setenv("LN_MARKETS_API_URL", f"https://{CANARY}:{CANARY}@h")
    monkeypatch.setenv("ENCRYPTION_KEY", f"{CANARY}\udcff")
    monkeypatch.setenv("AXISOR_ENCRYPTION_KEYS", f'["{CANARY}"')
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(caught.value.problems) == 5
    assert CANARY not in shown(caught.value)
    with pytest.raises(SettingsError) as caught:
        Settings(encryption_key="".join(("can", "ary\ud800")), encryption_keys=[" "])
    assert CANARY not in shown(caught.value)


def test_settings_show_no_secret() -> None:
    settings = Settings(
        redis_url=f"redis://:{CANARY}@host/0",
        database_url=f"postgresql://user:{CANARY}@host/db?sslpassword={CANARY}",
        encryption_key=SecretStr(CANARY),
        encryption_keys=(SecretStr(f"{CANARY}2"),),
    )
    texts = [repr(settings), str(settings), f"{settings}", repr(settings.model_dump()), settings.model_dump_json()]
    out = StringIO()
    rich.console.Console(file=out, width=1000).print(settings, settings.ring_keys)
    assert not [text for text in [*texts, out.getvalue()] if CANARY in text]
    assert "postgresql://user:***@host/db?sslpassword=***" in repr(settings)
    assert settings.require_database().count(CANARY) == 2, "the value itself is whole"


@given(
    password=st.text(min_size=1).map(lambda text: f"<{text}>"),
    user=st.sampled_from(["", "user", "us@er"]),
    tail=st.sampled_from(["", "/db", ":5432/db?sslmode=require"]),
)
def test_a_url_is_masked_whatever_is_in_its_password(password: str, user: str, tail: str) -> None:
    for url in (f"postgresql://{user}:{password}@host{tail}", f"{user}:{password}@host{tail}"):
        masked = mask_url(url)
        assert password not in masked
        assert masked.endswith(f"***@host{tail}")


def test_what_holds_no_password_is_not_masked() -> None:
    for url in ("redis://localhost:6379/0", "sqlite:////data/a@b.db", "postgresql://h/db?sslmode=require", ""):
        assert mask_url(url) == url


# -- policies, table, warnings ----------------------------------------------------------------------------------------


def test_the_retry_policies() -> None:
    settings = load_settings()
    assert settings.policy_for("margin_guard") == RetryPolicy(3, 5, 60, 600)
    assert settings.policy_for("tp_sl") == RetryPolicy(2, 3, 30, 300)
    assert settings.policy_for("auto_entry") == RetryPolicy(2, 2, 20, 60)
    assert settings.policy_for("anything else") == RetryPolicy(2, 3, 30, 300)


def test_a_part_of_a_policy_is_merged_over_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"margin_guard": {"tries": 5}, "grid": {"max_age_seconds": 30}}
    settings = load(monkeypatch, AXISOR_RETRIES=json.dumps(given))
    assert settings.policy_for("margin_guard") == RetryPolicy(5, 5, 60, 600)
    assert settings.policy_for("grid") == RetryPolicy(2, 3, 30, 30)
    assert settings.policy_for("tp_sl") == RetryPolicy(2, 3, 30, 300)
    again = Settings(retries={"tp_sl": RetryPolicy(1, 1, 1, 1)})
    assert again.policy_for("tp_sl") == RetryPolicy(1, 1, 1, 1)


def test_the_table_describes_every_setting() -> None:
    rows = describe_settings()
    assert len(rows) == len(Settings.model_fields) == len(set(VARIABLES))
    assert rows[0][:2] == ("REDIS_URL", "redis://localhost:6379")
    table = {variable: (default, meaning) for variable, default, meaning in rows}
    assert table["DATABASE_URL"][0] == ""
    assert table["AXISOR_AUTO_MIGRATE"] == (
        "true",
        "Bind an automation without an account to its user's only account (true, false)",
    )
    assert table["AXISOR_LEASE_SECONDS"][0] == "6"
    assert all("in seconds" in row.meaning for row in rows if row.variable.endswith("_SECONDS"))
    assert all(not row.meaning.startswith("None") and row.meaning.endswith(")") for row in rows)


def test_the_defaults_of_the_table_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = load_settings()
    assert load(monkeypatch, **{row.variable: row.default for row in describe_settings()}) == bare


def test_warnings_name_what_was_probably_meant() -> None:
    environ = {
        "AXISOR_LEASE_SECOND": CANARY,
        "axisor_db_pool": CANARY,
        "AXISOR_ZZZ": CANARY,
        "AXISOR_DB_POOL": "3",
        "AXISOR_DISABLED_PLUGINS": "tp-sl, axisor-tp-sl, tp_sl, zzz",
        "ENCRYPTION_KEY": f"{CANARY}\n",
        "PATH": "/bin",
    }
    assert settings_warnings(environ) == [
        "AXISOR_LEASE_SECOND is not a setting and has no effect; did you mean AXISOR_LEASE_SECONDS?",
        "AXISOR_ZZZ is not a setting and has no effect",
        "axisor_db_pool is not a setting and has no effect; did you mean AXISOR_DB_POOL?",
        "AXISOR_DISABLED_PLUGINS names 'tp-sl', which is no plugin here; did you mean tp_sl?",
        "AXISOR_DISABLED_PLUGINS names 'zzz', which is no plugin here",
        "ENCRYPTION_KEY begins or ends with white space, which is taken as part of the key",
    ]
    assert settings_warnings({row.variable: "tp_sl" for row in describe_settings()}) == []


def test_importing_reads_no_environment_and_loads_little() -> None:
    code = (
        "import sys, axisor_executor.settings\n"
        "heavy = {'cryptography', 'requests', 'dramatiq', 'redis', 'peewee', 'psycopg2', 'rich', 'structlog'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environ = {**os.environ, "DATABASE_URL": "nonsense", "AXISOR_DB_POOL": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
