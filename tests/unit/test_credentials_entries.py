"""A row's secrets one by one: read with the right key, and put back without touching anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from axisor_executor.credentials import KeyRing
from axisor_executor.credentials.entries import RowEntries
from axisor_executor.errors import CredentialsError

OLD, NEW = KeyRing([SecretStr("the old one")]), KeyRing([SecretStr("the new one")])
BOTH = KeyRing([SecretStr("the new one"), SecretStr("the old one")])
(OLD_ID,), (NEW_ID,) = OLD.key_ids, NEW.key_ids


def entries(row: Any, account_id: str = "acc1") -> RowEntries:
    return RowEntries(SecretStr(row if isinstance(row, str) else json.dumps(row)), account_id=account_id)


def monolith(text: str, ring: KeyRing = OLD) -> str:
    return ring.encrypt(SecretStr(text), format="monolith", account_id="acc1", field="key")


def sealed(text: str, ring: KeyRing = OLD) -> str:
    return ring.encrypt(SecretStr(text), format="sealed", account_id="acc1", field="key")


def test_each_is_told_with_its_key_and_format() -> None:
    row = entries({"API Key": sealed("k", NEW), "api_secret": "plain", "isTestnet": "false", "Passphrase": " "})
    opened = [(one.entry.name, one.entry.format, one.key_id, one.plain.get_secret_value()) for one in row.open(BOTH)]
    assert opened == [("API Key", "sealed", NEW_ID, "k"), ("api_secret", None, None, "plain")]


def test_every_spelling_is_an_entry() -> None:
    row = entries({"API Key": monolith("one"), "apiKey": monolith("two"), "API-KEY": None})
    assert {one.entry.name: one.plain.get_secret_value() for one in row.open(OLD)} == {
        "API Key": "one",
        "apiKey": "two",
    }


def test_one_that_no_key_reads_makes_the_row_unreadable() -> None:
    row = entries({"API Key": monolith("k"), "API Secret": sealed("a key's, not a secret's")})
    with pytest.raises(CredentialsError, match="API Secret of account acc1 was altered"):
        row.open(BOTH)


class Confused(KeyRing):
    """A ring whose wrong key seems to read some values, which happens once in a thousand million times."""

    def __init__(self, seems: set[str]) -> None:
        super().__init__([SecretStr("the new one"), SecretStr("the old one")])
        object.__setattr__(self, "seems", seems)

    __slots__ = ("seems",)

    def readings(self, value: SecretStr, **more: Any) -> dict[str, SecretStr]:
        found = super().readings(value, **more)
        return {NEW_ID: SecretStr("garbage"), **found} if value.get_secret_value() in self.seems else found


def test_the_key_that_reads_the_whole_row_is_the_right_one() -> None:
    first, second = monolith("k"), monolith("s")
    row = entries({"API Key": first, "API Secret": second})
    opened = row.open(Confused({first}))
    assert [(one.key_id, one.plain.get_secret_value()) for one in opened] == [(OLD_ID, "k"), (OLD_ID, "s")]


def test_where_several_keys_seem_to_read_it_nothing_is_guessed() -> None:
    first, second = monolith("k"), monolith("s")
    with pytest.raises(CredentialsError, match="seems readable with keys"):
        entries({"API Key": first, "API Secret": second}).open(Confused({first, second}))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "are not JSON"),
        ('"{"', "are not JSON"),
        ("[]", "are not a JSON object"),
        ('"\\"{}\\""', "are not a JSON object"),
        ({"API Key": ["k"]}, "hold something else than text"),
        ({"API Key": "a\nb"}, "holds control characters"),
    ],
)
def test_what_is_no_credential_is_refused(row: Any, problem: str) -> None:
    with pytest.raises(CredentialsError, match=problem):
        entries(row).open(OLD)


@pytest.mark.parametrize("row", ["null", "{}", {"isTestnet": True}, {"API Key": ""}])
def test_nothing_is_nothing(row: Any) -> None:
    assert entries(row).open(OLD) == ()


TEXTS = st.text(max_size=8)
ROWS = st.dictionaries(TEXTS, st.one_of(st.none(), st.booleans(), st.integers(), TEXTS), max_size=5)


@given(ROWS, st.booleans())
def test_putting_back_changes_nothing_else(others: dict[str, Any], nested: bool) -> None:
    row = {**others, "API Key": "before"}
    text = json.dumps(json.dumps(row)) if nested else json.dumps(row)
    read = entries(text)
    put = read.replaced({"API Key": "after"}).get_secret_value()
    stored = json.loads(json.loads(put)) if nested else json.loads(put)
    assert stored == {**row, "API Key": "after"}
    assert entries(put).differs_only_in(read, {"API Key"})
    assert not entries(put).differs_only_in(read, set())


def test_nothing_shows_a_secret() -> None:
    row = entries({"API Key": "canary-key", "API Secret": monolith("canary-secret")})
    assert "canary" not in f"{row!r} {row.entries!r} {row.open(OLD)!r} {row.replaced({})!r}"
