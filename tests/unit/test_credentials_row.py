"""Rows in every shape that was seen, and what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from axisor_executor import credentials as package
from axisor_executor.credentials import (
    Format,
    KeyRing,
    SecureCredentials,
    StoredCredentials,
    format_of,
    write_credentials,
)
from axisor_executor.errors import CredentialsError, SettingsError

RING = KeyRing([SecretStr("the old key")])
NO_KEYS = KeyRing([])
WHOLE = SecureCredentials("k", "s", "p")

# Shown by ``str.strip`` as ends, these would not survive; everything else must.
printable = st.characters().filter(str.isprintable)
secrets = st.text(printable, min_size=1, max_size=512).map(str.strip).filter(bool)
latin = st.characters(codec="latin-1").filter(str.isprintable)
headers = st.text(latin, min_size=1, max_size=512).map(str.strip).filter(bool)


def opened(row: Any, ring: KeyRing = NO_KEYS) -> SecureCredentials:
    return StoredCredentials(row, account_id="acc1").open(ring)


def refused(row: Any, code: str, ring: KeyRing = NO_KEYS) -> str:
    with pytest.raises(CredentialsError) as caught:
        opened(row, ring)
    assert (caught.value.code, caught.value.status, caught.value.account_id) == (code, 400, "acc1")
    return caught.value.message


@pytest.mark.parametrize(
    "row",
    [
        {"API Key": "k", "API Secret": "s", "Passphrase": "p", "isTestnet": "false"},
        {"api_key": "k", "api_secret": "s", "passphrase": "p"},
        {"apiKey": "k", "apiSecret": "s", "passphrase": "p", "testnet": False},
        {"API_KEY": "k", "Api Secret": "s", "PASS PHRASE": "p", "is_testnet": "0"},
        {"api-key": " k ", "apisecret": "s\n", "passPhrase": "\tp", "IsTestnet": None, "name": "Main", "x": [1]},
        {"API Key": "k", "api_key": "", "apiKey": None, "API Secret": "s", "Passphrase": "p"},
    ],
)
def test_all_seen_shapes(row: dict[str, Any]) -> None:
    assert opened(row) == WHOLE
    assert opened(json.dumps(row)) == WHOLE
    assert opened(json.dumps(json.dumps(row))) == WHOLE


NO: list[object] = ["false", False, "0", 0, "", None, "No"]
YES: list[object] = ["true", True, "1", 1, " TRUE ", "yes"]


@pytest.mark.parametrize(("flag", "testnet"), [*((flag, False) for flag in NO), *((flag, True) for flag in YES)])
def test_the_flag(flag: object, testnet: bool) -> None:
    row = {"API Key": "k", "API Secret": "s", "Passphrase": "p", "isTestnet": flag}
    assert opened(row).testnet is testnet


@pytest.mark.parametrize("flags", [{"isTestnet": "maybe"}, {"isTestnet": [True]}, {"isTestnet": 1, "testnet": 0}])
def test_a_flag_that_is_neither_is_not_guessed(flags: dict[str, Any]) -> None:
    refused({"API Key": "k", "API Secret": "s", "Passphrase": "p", **flags}, "credentials_unreadable")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (None, "API Key, API Secret, Passphrase"),
        ({}, "API Key, API Secret, Passphrase"),
        ("null", "API Key, API Secret, Passphrase"),
        ({"API Key": "k", "API Secret": "s"}, "Passphrase"),
        ({"API Key": " ", "API Secret": "s", "Passphrase": None}, "API Key, Passphrase"),
        ({"API Key": "k", "api_secret": "\n", "Passphrase": "p"}, "API Secret"),
    ],
)
def test_missing_and_blank_values_are_named(row: Any, named: str) -> None:
    assert refused(row, "credentials_missing") == f"The credentials of account acc1 lack: {named}"


def test_a_value_that_is_blank_once_decrypted_is_missing_too() -> None:
    def sealed(text: str, field: Any) -> str:
        return RING.encrypt(SecretStr(text), format="monolith", account_id="acc1", field=field)

    row = {"API Key": sealed("", "key"), "API Secret": "s", "Passphrase": sealed(" \n", "passphrase")}
    assert "lack: API Key, Passphrase" in refused(row, "credentials_missing", RING)


@pytest.mark.parametrize(
    "row", ["", "{", "[]", "5", 5, [], '"text"', "[" * 100_000, {"API Key": ["k"]}, {"apiKey": True}]
)
def test_other_things_than_credentials(row: Any) -> None:
    refused(row, "credentials_unreadable")


def test_control_characters_are_no_credential() -> None:
    row = {"API Key": "k", "API Secret": "a\r\nb", "Passphrase": "p"}
    assert "The API Secret of account acc1 holds control characters" in refused(row, "credentials_unreadable")


@pytest.mark.parametrize("label", ["API Key", "API Secret", "Passphrase"])
@pytest.mark.parametrize("shape", ["plain text", "monolith", "sealed"])
@pytest.mark.parametrize("length", [513, 9_000])
def test_a_value_longer_than_any_credential_is_refused(label: str, shape: str, length: int) -> None:
    fields: dict[str, Any] = {"API Key": "key", "API Secret": "secret", "Passphrase": "passphrase"}

    def row(text: str) -> dict[str, str]:
        stored: Any = {"API Key": "k", "API Secret": "s", "Passphrase": "p", label: text}
        if shape == "plain text":
            return dict(stored)
        return {
            name: RING.encrypt(SecretStr(value), format=shape, account_id="acc1", field=fields[name])  # type: ignore[arg-type]
            for name, value in stored.items()
        }

    message = refused(row("\u00fc" * length), "credentials_invalid", RING)
    assert message == f"The credentials of account acc1 are longer than 512 characters: {label}"
    assert opened(row(f" {'x' * 512} "), RING) != WHOLE


def test_an_endless_value_is_refused_before_it_is_looked_at() -> None:
    stored = StoredCredentials({"API Key": "k", "API Secret": "s" * 5_000_000, "Passphrase": "p"}, account_id="acc1")
    with pytest.raises(CredentialsError, match="longer than 512 characters: API Secret"):
        stored.check()  # which `open` begins with


def test_a_number_is_taken_as_its_digits() -> None:
    assert opened({"API Key": "k", "API Secret": "s", "Passphrase": 4711}).reveal_passphrase() == "4711"


def test_warnings_are_codes_without_values() -> None:
    row: dict[str, Any] = dict(write_credentials("k", "s", "p", False, account_id="acc1", format="monolith", ring=RING))
    assert StoredCredentials(row, account_id="acc1").warnings == ()
    row["API Secret"] = "in plain text"
    assert StoredCredentials(row, account_id="acc1").warnings == ("plain_text_secret",)
    row |= {"api_key": "another", "passphrase": row["Passphrase"]}
    assert StoredCredentials(row, account_id="acc1").warnings == ("duplicate_key", "plain_text_secret")
    assert opened(row, RING) == SecureCredentials("k", "in plain text", "p"), "the monolith's spelling counts"


@pytest.mark.parametrize("shape", ["monolith", "sealed"])
@given(key=headers, secret=secrets, passphrase=headers, testnet=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(shape: Format, key: str, secret: str, passphrase: str, testnet: bool) -> None:
    row = write_credentials(f" {key}", f"{secret}\n", passphrase, testnet, account_id="acc1", format=shape, ring=RING)
    assert list(row) == ["API Key", "API Secret", "Passphrase", "isTestnet"]
    assert [format_of(value) for value in row.values()] == [shape, shape, shape, None]
    assert row["isTestnet"] == ("true" if testnet else "false")
    assert opened(row, RING) == SecureCredentials(key, secret, passphrase, testnet)


def test_what_can_not_be_read_is_not_written() -> None:
    def write(secret: Any, passphrase: Any, ring: KeyRing = RING, *, testnet: Any = False) -> dict[str, str]:
        return write_credentials("k", secret, passphrase, testnet, account_id="acc1", format="sealed", ring=ring)

    with pytest.raises(CredentialsError, match="lack: API Secret") as caught:
        write(" ", "p")
    assert caught.value.code == "credentials_missing"
    for bad in ("a\nb", "\ud800", "a\x7fb", "a\u200b", "ключ"):
        with pytest.raises(CredentialsError, match="can't be sent: Passphrase") as caught:
            write("s", bad)
        assert caught.value.code == "credentials_invalid"
    with pytest.raises(CredentialsError, match="longer than 512 characters: API Secret, Passphrase") as caught:
        write("s" * 513, "p" * 513)
    assert caught.value.code == "credentials_invalid"
    for other in (None, 5, b"p"):
        with pytest.raises(CredentialsError, match="Must be text: API Secret, Passphrase") as caught:
            write(other, other)
        assert caught.value.code == "credentials_invalid"
    for flag in ("false", 0, None):
        with pytest.raises(CredentialsError, match="must be True or False") as caught:
            write("s", "p", testnet=flag)
        assert caught.value.code == "credentials_invalid"
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY"):
        write("s", "p", ring=NO_KEYS)


def test_a_sealed_row_of_another_account_fails() -> None:
    row = write_credentials("k", "s", "p", False, account_id="acc2", format="sealed", ring=RING)
    assert "another account" in refused(row, "credentials_unreadable", RING)


def test_swapped_sealed_fields_fail() -> None:
    row = write_credentials("k", "s", "p", False, account_id="acc1", format="sealed", ring=RING)
    row["API Key"], row["Passphrase"] = row["Passphrase"], row["API Key"]
    refused(row, "credentials_unreadable", RING)


def test_the_digest_follows_what_is_stored_and_nothing_else() -> None:
    def digest(row: Any, account: str = "acc1") -> bytes:
        return StoredCredentials(row, account_id=account).digest

    row = {"API Key": "k", "API Secret": "s", "Passphrase": "p", "isTestnet": "false"}
    same = [json.dumps(row), dict(reversed(row.items())), {**row, "note": "x"}, {**row, "isTestnet": False}]
    assert {digest(other) for other in same} == {digest(row)}
    changed = [{**row, name: "x"} for name in ("API Key", "API Secret", "Passphrase")]
    changed += [{**row, "isTestnet": "true"}, {"API Key": "s", "API Secret": "k", "Passphrase": "p"}, {}]
    digests = {digest(other) for other in changed} | {digest(row), digest(row, "acc2")}
    assert len(digests) == len(changed) + 2


def test_the_public_names() -> None:
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
    own = {
        name for name, value in vars(package).items() if getattr(value, "__module__", "").startswith(package.__name__)
    }
    assert own <= set(package.__all__)
