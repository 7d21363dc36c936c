"""Both formats, and the ring: the newest writes, all read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from axisor_executor.credentials import Field, Format, KeyRing, ciphers, format_of
from axisor_executor.credentials.ciphers import CipherKey, is_credential, key_id_of
from axisor_executor.errors import CredentialsError, SettingsError
from axisor_executor.settings import Settings

OLD, NEW, FOREIGN = SecretStr("the old key"), SecretStr("the new key ü"), SecretStr("a foreign key")
RING = KeyRing([NEW, OLD])
FORMATS: list[Format] = ["monolith", "sealed"]

credential_texts = st.text(st.characters(exclude_categories=("Cc", "Cs")))


def encrypt(ring: KeyRing, text: str, shape: Format, account: str = "acc1", field: Field = "key") -> str:
    return ring.encrypt(SecretStr(text), format=shape, account_id=account, field=field)


def decrypt(ring: KeyRing, value: str, account: str = "acc1", field: Field = "key") -> str:
    return ring.decrypt(SecretStr(value), account_id=account, field=field).get_secret_value()


def unreadable(ring: KeyRing, value: str, account: str = "acc1", field: Field = "key") -> str:
    with pytest.raises(CredentialsError) as caught:
        decrypt(ring, value, account, field)
    error = caught.value
    assert (error.code, error.status, error.account_id) == ("credentials_unreadable", 400, account)
    assert value not in str(error.as_dict())
    assert error.__cause__ is None
    assert error.__context__ is None
    return error.message


@pytest.mark.parametrize("shape", FORMATS)
@given(text=credential_texts)
@settings(max_examples=60, deadline=None)
def test_what_is_encrypted_decrypts(shape: Format, text: str) -> None:
    value = encrypt(RING, text, shape)
    assert format_of(value) == shape
    assert decrypt(RING, value) == text
    assert value != encrypt(RING, text, shape), "the same text never gives the same value"


@pytest.mark.parametrize("shape", FORMATS)
def test_the_newest_key_writes_and_all_read(shape: Format) -> None:
    assert decrypt(RING, encrypt(KeyRing([OLD]), "text", shape)) == "text"
    assert decrypt(KeyRing([NEW]), encrypt(RING, "text", shape)) == "text"
    unreadable(KeyRing([OLD]), encrypt(RING, "text", shape))
    unreadable(KeyRing([FOREIGN]), encrypt(RING, "text", shape))


def test_a_sealed_value_is_bound_to_account_and_field() -> None:
    value = encrypt(RING, "text", "sealed")
    assert "sealed for another account" in unreadable(RING, value, account="acc2")
    assert "The Passphrase of account acc1" in unreadable(RING, value, field="passphrase")
    assert "a key that is not given (keys tried: 1)" in unreadable(KeyRing([FOREIGN]), value)
    # Account and field can't be confused with one another, however they are spelled.
    tricky = encrypt(RING, "text", "sealed", account='acc1", "key')
    unreadable(RING, tricky)


def test_a_sealed_value_that_was_altered_anywhere_fails() -> None:
    head, _, box = encrypt(RING, "text", "sealed").rpartition(":")
    raw = urlsafe_b64decode(box + "=" * (-len(box) % 4))
    for position in range(len(raw)):
        altered = bytes([*raw[:position], raw[position] ^ 1, *raw[position + 1 :]])
        unreadable(RING, f"{head}:{urlsafe_b64encode(altered).decode().rstrip('=')}")
    for shorter in ("A", "AAAAA", box[:20], box[:-4], box + "A", box + "AAAA", "ä", ""):
        unreadable(RING, f"{head}:{shorter}")
    for damaged in ("axs1:", "axs1:00000000:AAAA", "axs1:xyz:AAAA", f"axs2:{head[5:]}:{box}"):
        assert format_of(damaged) == "sealed"
        unreadable(RING, damaged)


def test_damaged_monolith_values_fail() -> None:
    value = encrypt(RING, "text", "monolith")
    for damaged in (value[:-1], value[:-2], value[1:], f"{value}00", value.partition(":")[0] + ":"):
        assert format_of(damaged) == "monolith"
        assert "can't be decrypted (keys tried: 2)" in unreadable(RING, damaged)
    assert decrypt(RING, value.upper()) == "text"


@pytest.mark.parametrize("text", ["", "plain", "pass:word", "axs:1", "key with spaces", "cafe:babe", "AXS1:a:b"])
def test_plain_text_is_recognised(text: str) -> None:
    assert format_of(text) is None
    assert key_id_of(text) is None


def test_a_wrong_key_that_leaves_valid_padding_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a value of the old key that the new one, tried first, "decrypts" with valid padding (1 in 256 does)
    padding_held = []

    class Watched:
        def __init__(self, size: int) -> None:
            self._real = PKCS7(size).unpadder()

        def unpadder(self) -> Watched:
            return self

        def update(self, data: bytes) -> bytes:
            return self._real.update(data)

        def finalize(self) -> bytes:
            end = self._real.finalize()
            padding_held.append(True)
            return end

    old, new = KeyRing([OLD]), CipherKey(NEW)
    values = [encrypt(old, "an API secret of some length", "monolith") for _ in range(3000)]
    monkeypatch.setattr(ciphers, "PKCS7", Watched)
    # When the new key opens it, then it says no although the padding is right
    assert [value for value in values if new.open_monolith(value)] == []
    assert padding_held
    # And the ring goes on to the old one
    monkeypatch.undo()
    assert {decrypt(RING, value) for value in values} == {"an API secret of some length"}


@given(st.text())
def test_a_credential_has_no_control_characters(text: str) -> None:
    expected = not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text)
    assert is_credential(text) == expected


def test_scrypt_runs_once_per_key_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a key that nobody used before, and two rings with it
    key, runs, threads = SecretStr(os.urandom(8).hex()), [], 8
    real = ciphers.scrypt_key

    def counted(encryption_key: SecretStr) -> bytes:
        runs.append(encryption_key)
        return real(encryption_key)

    monkeypatch.setattr(ciphers, "scrypt_key", counted)
    rings = [KeyRing([key]), KeyRing([key, OLD])]
    assert runs == [], "making a ring derives nothing"
    # When many threads use both at the same moment
    barrier = threading.Barrier(threads)

    def use(number: int) -> str:
        barrier.wait(timeout=30)
        return encrypt(rings[number % 2], "text", "sealed")

    with ThreadPoolExecutor(threads) as pool:
        values = list(pool.map(use, range(threads)))
    # Then it was derived once, and an older key that was not needed was not derived again
    assert {decrypt(rings[0], value) for value in values} == {"text"}
    assert runs == [key]


def test_the_key_id_is_the_same_everywhere_and_not_the_key() -> None:
    code = (
        "from axisor_executor.credentials.ciphers import CipherKey\n"
        "from pydantic import SecretStr\n"
        "print(CipherKey(SecretStr('the old key')).key_id)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == CipherKey(OLD).key_id == key_id_of(encrypt(KeyRing([OLD]), "t", "sealed"))
    assert CipherKey(OLD).key_id not in ciphers.scrypt_key(OLD).hex()
    assert CipherKey(NEW).key_id != CipherKey(OLD).key_id


def test_the_ring_of_the_settings() -> None:
    ring = KeyRing.from_settings(Settings(encryption_key=OLD, encryption_keys=(NEW,)))
    assert key_id_of(encrypt(ring, "text", "sealed")) == CipherKey(NEW).key_id
    assert decrypt(ring, encrypt(KeyRing([OLD]), "text", "monolith")) == "text"
    assert repr(ring) == "KeyRing(2 keys)"
    assert repr(CipherKey(OLD)) == f"CipherKey({CipherKey(OLD).key_id})"


def test_a_ring_without_keys_fails_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    monkeypatch.delenv("AXISOR_ENCRYPTION_KEYS", raising=False)
    ring = KeyRing.from_settings(Settings())
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY is not set"):
        encrypt(ring, "text", "sealed")
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY is not set"):
        decrypt(ring, encrypt(RING, "text", "monolith"))
