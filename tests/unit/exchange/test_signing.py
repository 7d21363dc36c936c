"""The signature against vectors computed by hand, and what may stand in the headers."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange.signing import auth_headers, sign, unusable_fields

CLOSE = '{"id":"b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"}'


@pytest.mark.parametrize(
    ("arguments", "signed"),
    [
        (
            ("secret", 1700000000000, "POST", "/v3/futures/isolated/trade/close", CLOSE),
            b"1700000000000post/v3/futures/isolated/trade/close" + CLOSE.encode(),
        ),
        (
            ("secret", 1700000000000, "GET", "/v3/futures/isolated/trades/closed", "?limit=5&cursor=a%2Bb"),
            b"1700000000000get/v3/futures/isolated/trades/closed?limit=5&cursor=a%2Bb",
        ),
        (
            ("secret", 1, "DELETE", "/v3/futures/isolated/trade/stoploss", "?id=1"),
            b"1delete/v3/futures/isolated/trade/stoploss?id=1",
        ),
        (("sécret", 1700000000000, "get", "/v3/account", ""), b"1700000000000get/v3/account"),
    ],
)
def test_signature_is_the_hmac_of_the_documented_text(arguments: tuple[str, int, str, str, str], signed: bytes) -> None:
    expected = base64.b64encode(hmac.new(arguments[0].encode(), signed, hashlib.sha256).digest()).decode()
    assert sign(*arguments) == expected


def test_worked_example_never_changes() -> None:
    assert (
        sign("secret", 1700000000000, "POST", "/v3/futures/isolated/trade/close", CLOSE)
        == "yQ8ja2KQoREI6w1TjqcJkhF/KUrfEAoSzT/jgcJWoKE="
    )


def test_headers_carry_key_passphrase_timestamp_and_signature() -> None:
    credentials = SecureCredentials("the key", "the secret", "the passphrase")
    assert auth_headers(credentials, 5, "GET", "/v3/account", "") == {
        "lnm-access-key": "the key",
        "lnm-access-passphrase": "the passphrase",
        "lnm-access-timestamp": "5",
        "lnm-access-signature": sign("the secret", 5, "GET", "/v3/account", ""),
    }


@pytest.mark.parametrize(
    ("key", "secret", "passphrase", "unusable"),
    [
        ("k", "s", "p", []),
        ("k", "sécret ☃", "pässword", []),
        ("", " ", "", ["API Key", "API Secret", "Passphrase"]),
        ("k\r\nX: y", "s", "p", ["API Key"]),
        ("k ", "s", "\tp", ["API Key", "Passphrase"]),
        ("k☃", "s\ud800", "p☃", ["API Key", "API Secret", "Passphrase"]),
    ],
)
def test_what_cannot_be_sent_is_named_before_it_is_tried(
    key: str, secret: str, passphrase: str, unusable: list[str]
) -> None:
    assert unusable_fields(SecureCredentials(key, secret, passphrase)) == unusable
