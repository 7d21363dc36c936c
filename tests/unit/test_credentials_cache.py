"""The cache: hits, expiry, changed rows, and stampedes. Threads meet at barriers; nothing sleeps."""

from __future__ import annotations

import json
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
    first, was_hit = cache.get("user1", "acc1", row_of("a"), loads("a"))
    assert not was_hit
    again, was_hit = cache.get("user1", "acc1", row_of("a"), never)
    assert was_hit
    assert again is first
    cache.get("user1", "acc1", row_of("a"), never)
    cache.get("user1", "acc2", row_of("b"), loads("b"))
    assert (cache.hits, cache.misses) == (2, 2)
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
    assert (vault.cache.hits, vault.cache.misses) == (1, 1)
    # And a secret in plain text is said each time, from the cache too
    row["API Secret"] = "plain"
    assert [vault.credentials_for("user1", "acc1", row)[1:] for _ in range(2)] == [
        (False, ("plain_text_secret",)),
        (True, ("plain_text_secret",)),
    ]
    clock.now += 61
    assert vault.credentials_for("user1", "acc1", row).was_hit is False


STORED = {"API Key": "k", "API Secret": "s", "Passphrase": "p", "isTestnet": "false"}


def opened(vault: Vault, row: Any, account_id: str = "acc1", user_id: str = "user1") -> tuple[str, bool, bool]:
    found = vault.credentials_for(user_id, account_id, row)
    return found.credentials.reveal_key(), found.credentials.testnet, found.was_hit


def vault_with(row: Any) -> Vault:
    """A vault that has just opened ``row`` for user1's acc1, and knows how it looks."""
    vault = Vault(KeyRing([SecretStr("key")]), CredentialCache())
    vault.credentials_for("user1", "acc1", row)
    return vault


class TestAnUnchangedRow:
    """It is recognised without being read; whatever changes in it, it is read again."""

    @pytest.mark.parametrize("row", [STORED, json.dumps(STORED)], ids=["parsed", "text"])
    def test_it_is_a_hit_that_counts_as_any(self, row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        vault = vault_with(row)
        monkeypatch.setattr("axisor_executor.credentials.vault.StoredCredentials", never)
        assert [opened(vault, row) for _ in range(3)] == [("k", False, True)] * 3
        assert (vault.cache.hits, vault.cache.misses) == (3, 1)

    @pytest.mark.parametrize(
        ("changed", "key", "testnet"),
        [
            ({**STORED, "API Key": "other"}, "other", False),
            ({**STORED, "Passphrase": "other"}, "k", False),
            ({**STORED, "isTestnet": "true"}, "k", True),
            ({**STORED, "isTestnet": True}, "k", True),
        ],
    )
    @pytest.mark.parametrize("as_stored", [dict, json.dumps], ids=["parsed", "text"])
    def test_a_changed_one_is_opened_as_it_is_now(
        self, as_stored: Callable[[Any], Any], changed: Any, key: str, testnet: bool
    ) -> None:
        vault = vault_with(as_stored(STORED))
        assert opened(vault, as_stored(changed)) == (key, testnet, False)
        assert opened(vault, as_stored(changed)) == (key, testnet, True)
        assert opened(vault, as_stored(STORED)) == ("k", False, False)

    @pytest.mark.parametrize(
        "broken", [None, {}, {**STORED, "API Key": 1.5}, {**STORED, "isTestnet": "x"}, repr(STORED)]
    )
    def test_a_broken_one_is_refused(self, broken: Any) -> None:
        vault = vault_with(STORED)
        with pytest.raises(CredentialsError):
            vault.credentials_for("user1", "acc1", broken)

    def test_the_same_row_of_another_account_or_user_is_another(self) -> None:
        vault = vault_with(STORED)
        assert opened(vault, STORED, account_id="acc2") == ("k", False, False)
        assert opened(vault, STORED, account_id="1-acc1", user_id="user") == ("k", False, False)
        assert opened(vault, STORED, account_id="acc1", user_id="user2") == ("k", False, False)

    def test_a_row_that_can_not_be_told_by_its_look_is_read_each_time(self) -> None:
        endless: dict[str, Any] = {}
        for _ in range(100_000):
            endless = {"x": endless}
        row = {**STORED, "note": endless}
        vault = vault_with(row)
        assert opened(vault, row) == ("k", False, True)
        while endless:  # from the outside in, or freeing it would be as deep
            endless = endless.pop("x")
