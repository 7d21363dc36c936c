"""What the URLs of Redis and PostgreSQL say behind their ``?``. Messages name a parameter, never its value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

_OF_REDIS = re.compile(
    "db|username|password|client_name|socket_keepalive|health_check_interval|"
    "ssl_(keyfile|certfile|cert_reqs|ca_certs|ca_path|ca_data|check_hostname|password|ciphers)"
)
"""What belongs to a connection. Time-outs and retries are ours, and others change answers (``decode_responses``)."""

_OF_PRISMA_ALONE = {
    "connection_limit",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "pool_timeout",
    "single_use_connections",
    "socket_timeout",
    "statement_cache_size",
}
"""What the monolith's client does with its connections; ours are AXISOR_DB_POOL's. None of them is about encryption."""


def check_redis(url: str) -> None:
    """Refuse parameters with which no connection can be made, or one that answers in another way.

    Raises:
        ValueError: there is one.
    """
    server = url.partition("?")[0]
    for name, value in _pairs(url):
        if not _OF_REDIS.fullmatch(name) or not _can_be_made(f"{server}?{name}={value}"):
            raise ValueError(f"has a parameter that can't be used: {_named(name)}")


def for_libpq(url: str) -> str:
    """Return a PostgreSQL URL as the driver takes it, which may have Prisma's parameters: the monolith's has.

    ``schema`` becomes the search path, by ``options``, but for ``public``, where the server looks anyway: poolers
    refuse ``options``. What else only Prisma knows is left out.

    Raises:
        ValueError: it has a parameter that nobody knows.
    """
    pairs = list(_pairs(url))
    kept = [(name, value) for name, value in pairs if name != "schema" and name not in _OF_PRISMA_ALONE]
    for name, _ in kept:
        if not _is_libpqs(name):
            raise ValueError(f"has a parameter that PostgreSQL's driver does not know: {_named(name)}")
    if len(kept) == len(pairs):
        return url
    schema = unquote(dict(pairs).get("schema", ""))
    if schema not in {"", "public"}:
        identifier = '"{}"'.format(schema.replace('"', '""'))
        path = "-csearch_path=" + re.sub(r"([\\\s])", r"\\\1", identifier)
        options = [value for name, value in kept if name == "options"]
        kept = [pair for pair in kept if pair[0] != "options"]
        kept.append(("options", "%20".join([*options, quote(path, safe="")])))
    query = "&".join(f"{name}={value}" for name, value in kept)
    return url.partition("?")[0] + (f"?{query}" if query else "")


def _pairs(url: str) -> Iterator[tuple[str, str]]:
    """Return names and values as they stand: Python reads a plus as a space, libpq doesn't."""
    query = url.partition("?")[2]
    if "@" in query:  # then it is the rest of a password
        raise ValueError("is not a URL (special characters in a password, @ too, must be percent-encoded)")
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        yield name, value


def _named(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w{0,39}", name) else "not even a word"


def _can_be_made(url: str) -> bool:
    from redis import ConnectionPool, RedisError  # takes a while, and most URLs have no parameters

    try:
        ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, RedisError):
        return False
    return True


def _is_libpqs(name: str) -> bool:
    try:
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn
    except ImportError:
        return True  # without a driver there are no connections either
    try:
        parse_dsn(f"postgresql:///?{name}=")
    except ProgrammingError:
        return False
    return True
