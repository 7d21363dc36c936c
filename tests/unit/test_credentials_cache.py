"""The cache: hits, expiry, changed rows, and stampedes. Threads meet at barriers; nothing sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from axisor_executor.credentials import (
    CredentialCache,
    KeyRing,
    SecureCredentials,
    StoredCredentials,
    Vault,
    write_credentials,
)
from axisor_executor.errors import CredentialsError
from axisor_executor.settings import Settings

WAIT = 30


def row_of(name: str) -> dict[str, str]:
    return {"API Key": f"{name}-key", "API Secret": f"{name}-secret", "Passphrase": f"{name}-passphrase"}


def loads(name: str, log: list[str] | None = None) -> Callable[[], SecureCredentials]:
    def load() -> SecureCredentials:
        if log is not None:
            log.append(name)
        return SecureCredentials(f"{name}-key", f"{name}-secret", f"{name}-passphrase")

    return load


def never() -> SecureCredentials:
    raise AssertionError("nothing was to be loaded")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_hit_and_miss_are_told_and_counted() -> None:
    cache = CredentialCache()
    assert cache.hit_rate == 0.0
    first, was_hit = cache.get("user1", "acc1", row_of("a"), loads("a"))
    assert not was_hit
    again, was_hit = cache.get("user1", "acc1", row_of("a"), never)
    assert was_hit
    assert again is first
    cache.get("user1", "acc1", row_of("a"), never)
    cache.get("user1", "acc2", row_of("b"), loads("b"))
    assert (cache.hits, cache.misses, cache.hit_rate) == (2, 2, 0.5)
    cache.clear()
    assert cache.get("user1", "acc1", row_of("a"), loads("a"))[1] is False


def test_a_changed_row_loads_again_at_once() -> None:
    cache = CredentialCache()
    cache.get("user1", "acc1", row_of("old"), loads("old"))
    credentials, was_hit = cache.get("user1", "acc1", row_of("new"), loads("new"))
    assert (credentials.reveal_key(), was_hit) == ("new-key", False)
    assert cache.get("user1", "acc1", row_of("new"), never)[0].reveal_key() == "new-key"
    # A process that still sees the old row gets what that row holds, and nothing else.
    assert cache.get("user1", "acc1", row_of("old"), loads("old"))[0].reveal_key() == "old-key"


@pytest.mark.parametrize("row", [None, {}, {**row_of("a"), "Passphrase": ""}, "garbage"])
def test_a_deleted_or_broken_row_is_not_answered_from_the_cache(row: Any) -> None:
    cache = CredentialCache()
    cache.get("user1", "acc1", row_of("a"), loads("a"))
    with pytest.raises(CredentialsError):
        cache.get("user1", "acc1", row, never)


def test_entries_expire() -> None:
    clock = Clock()
    cache = CredentialCache(size=10, ttl_seconds=300, clock=clock)
    cache.get("user1", "acc1", row_of("a"), loads("a"))
    clock.now += 299.9
    assert cache.get("user1", "acc1", row_of("a"), never)[1] is True
    clock.now += 0.2
    assert cache.get("user1", "acc1", row_of("a"), loads("a"))[1] is False


def test_the_least_recently_used_goes_first() -> None:
    cache = CredentialCache(size=2)
    cache.get("u", "1", row_of("a"), loads("a"))
    cache.get("u", "2", row_of("b"), loads("b"))
    cache.get("u", "1", row_of("a"), never)
    cache.get("u", "3", row_of("c"), loads("c"))
    cache.get("u", "1", row_of("a"), never)
    assert cache.get("u", "2", row_of("b"), loads("b"))[1] is False


def test_names_that_run_together_are_still_told_apart() -> None:
    cache = CredentialCache()
    cache.get("a-b", "c", row_of("same"), loads("first"))
    assert cache.get("a", "b-c", row_of("same"), loads("second"))[0].reveal_key() == "second-key"


def test_a_failed_load_is_not_kept() -> None:
    cache = CredentialCache()

    def fails() -> SecureCredentials:
        raise CredentialsError("no")

    for _ in range(2):
        with pytest.raises(CredentialsError, match="no"):
            cache.get("user1", "acc1", row_of("a"), fails)
    assert cache.get("user1", "acc1", row_of("a"), loads("a"))[1] is False
    assert (cache.hits, cache.misses) == (0, 3)


class Watched(CredentialCache):
    """Tells when a thread has looked and found nothing: from then on it is part of the stampede."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Semaphore(0)

    def _find(self, name: str, user_id: str, row: StoredCredentials) -> SecureCredentials | None:
        found = super()._find(name, user_id, row)
        if found is None:
            self.looked.release()
        return found

    def wait_for_all(self, threads: int) -> None:
        for _ in range(threads + 1):  # the one that loads looks twice
            assert self.looked.acquire(timeout=WAIT)


def stampede(threads: int, call: Callable[[int], Any]) -> list[Any]:
    barrier = threading.Barrier(threads)

    def one(number: int) -> Any:
        barrier.wait(timeout=WAIT)
        return call(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_a_stampede_loads_once() -> None:
    # Given a load that ends only when all threads are waiting for it
    threads, cache, log = 16, Watched(), list[str]()

    def slow() -> SecureCredentials:
        cache.wait_for_all(threads)
        return loads("a", log)()

    # When they all ask at once
    answers = stampede(threads, lambda _: cache.get("user1", "acc1", row_of("a"), slow))
    # Then one loaded and the others were given what it loaded
    assert log == ["a"]
    assert sorted(was_hit for _, was_hit in answers) == [False] + [True] * (threads - 1)
    assert len({id(credentials) for credentials, _ in answers}) == 1
    assert (cache.hits, cache.misses) == (threads - 1, 1)


def test_when_the_load_of_a_stampede_fails_the_next_one_tries() -> None:
    threads, cache, log = 8, Watched(), list[str]()

    def fails_at_first() -> SecureCredentials:
        if not log:
            cache.wait_for_all(threads)
            log.append("failed")
            raise CredentialsError("the first fails")
        return loads("a", log)()

    def call(_: int) -> str:
        try:
            return cache.get("user1", "acc1", row_of("a"), fails_at_first)[0].reveal_key()
        except CredentialsError as error:
            return error.message

    assert sorted(stampede(threads, call)) == ["a-key"] * (threads - 1) + ["the first fails"]
    assert log == ["failed", "a"]


def test_accounts_do_not_wait_for_each_other() -> None:
    # Given a load of account 1 that ends only after account 2 was loaded and found again
    cache, second_done = CredentialCache(), threading.Event()

    def waits_for_the_second() -> SecureCredentials:
        assert second_done.wait(timeout=WAIT)
        return loads("a")()

    def call(number: int) -> str:
        if number == 0:
            return cache.get("user1", "acc1", row_of("a"), waits_for_the_second)[0].reveal_key()
        cache.get("user1", "acc2", row_of("b"), loads("b"))
        found = cache.get("user1", "acc2", row_of("b"), never)[0].reveal_key()
        second_done.set()
        return found

    assert stampede(2, call) == ["a-key", "b-key"]


def test_the_locks_of_accounts_are_not_kept() -> None:
    cache = CredentialCache(size=1)
    for number in range(100):
        cache.get("user1", str(number), row_of("a"), loads("a"))
    assert len(cache._loading) == 0


def test_the_vault_ties_it_together() -> None:
    # Given a vault by settings, and a row in the monolith's format
    clock = Clock()
    vault = Vault.from_settings(
        Settings(encryption_key=SecretStr("the old key"), credentials_cache_seconds=60, credentials_cache_size=5),
        clock,
    )
    ring = KeyRing([SecretStr("the old key")])
    row: dict[str, str] = write_credentials("k", "s", "p", True, account_id="acc1", format="monolith", ring=ring)
    # When it is asked twice, then the second answer comes from the cache
    credentials, was_hit, warnings = vault.credentials_for("user1", "acc1", row)
    assert (credentials, was_hit, warnings) == (SecureCredentials("k", "s", "p", True), False, ())
    assert vault.credentials_for("user1", "acc1", str(row).replace("'", '"')) == (credentials, True, ())
    assert vault.cache.hit_rate == 0.5
    # And a secret in plain text is said each time, from the cache too
    row["API Secret"] = "plain"
    assert [vault.credentials_for("user1", "acc1", row)[1:] for _ in range(2)] == [
        (False, ("plain_text_secret",)),
        (True, ("plain_text_secret",)),
    ]
    clock.now += 61
    assert vault.credentials_for("user1", "acc1", row).was_hit is False
