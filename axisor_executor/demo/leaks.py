"""Search for the canaries: every secret of the run, in every place where none may be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from axisor_executor.demo.checks import Check
from axisor_executor.demo.perform import Evidence
from axisor_executor.demo.stack import Stack

_SECRET_COLUMN = ("user_exchange_accounts", "credentials")


def check_leaks(stack: Stack, evidence: Evidence, redis_midway: list[str]) -> list[Check]:
    """Return whether log, Redis, database, files and results are clean; ``redis_midway`` is what it held before."""
    canaries = [secret for holding in evidence.stage.people.values() for secret in holding.secrets]
    canaries.append(stack.encryption_key)
    results = [json.dumps(one.result, ensure_ascii=False) for one in evidence.played]
    places: tuple[tuple[str, Iterable[str], str], ...] = (
        ("the worker's log (debug level)", [stack.worker.text()], "lines"),
        ("Redis, midway and at the end", [*redis_midway, *redis_texts(stack)], "keys and values"),
        ("the database, outside the credentials column", _cells(stack), "cells"),
        ("the database's files, credentials encrypted", _file_texts(stack), "files"),
        ("the results", results, "results"),
    )
    return [_search(name, texts, unit, canaries) for name, texts, unit in places]


def _search(name: str, texts: Iterable[str], unit: str, canaries: list[str]) -> Check:
    looked_at, leaked = 0, 0
    for text in texts:
        looked_at += text.count("\n") if unit == "lines" else 1
        leaked += sum(canary in text for canary in canaries)
    detail = f"{len(canaries)} secrets, {looked_at:,} {unit}"
    if not looked_at:
        return Check(f"No secret in {name}", ok=False, detail="there was nothing to look at")
    return Check(f"No secret in {name}", not leaked, f"{leaked} leaks in {detail}" if leaked else detail)


def redis_texts(stack: Stack) -> Iterator[str]:
    """Return every key and every value that Redis holds now."""
    with redis.Redis.from_url(stack.redis.url) as client:
        for key in client.scan_iter():
            yield _text(key)
            yield _text(_value(client, key))


def _value(client: Any, key: bytes) -> Any:
    """Return the whole value of a key, whatever its type."""
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"stream":
            return client.xrange(key)
        case b"none":
            return ""  # it went while the keys were being looked through
        case kind:
            raise TypeError(f"nobody looks into Redis values of type {kind!r}")


def _text(value: Any) -> str:
    """Return every byte of a value from Redis as text, keys and members included."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return "\n".join(_text(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set)):
        return "\n".join(_text(part) for part in value)
    return str(value)


def _cells(stack: Stack) -> Iterator[str]:
    storage = stack.runtime.storage
    with storage.connection():
        storage.forget_tables()
        for table in sorted(storage.tables):
            columns = [column.name for column in storage.database.get_columns(table)]
            for row in storage.rows(f'SELECT * FROM "{table}"'):  # noqa: S608  the database's own names
                for column, value in zip(columns, row, strict=True):
                    if (table, column) != _SECRET_COLUMN:
                        yield str(value)


def _file_texts(stack: Stack) -> Iterator[str]:
    for path in sorted(stack.folder.glob("axisor.db*")):
        yield path.read_bytes().decode("latin-1")
