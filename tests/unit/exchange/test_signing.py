"""The signature against vectors computed by hand, and what may stand in the headers."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import Unavailable
from axisor_executor.exchange import LNMarketsClient
from axisor_executor.exchange.signing import auth_headers, sign
from axisor_executor.exchange.transport import NoReply, Request, Transport
from tests.unit.exchange.calls import CASES, Case
from tests.unit.exchange.samples import OPTIONS

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


# What must be sent at 1700000000000, signed by another program: `openssl dgst -sha256 -hmac secret`. Among it are
# queries with several parameters and reserved characters, deletions, steps of 0.5, quotes and letters beyond ASCII.
SIGNATURES = {
    "notifications": "jBNpscZgIr+xAdvIildeAo4bCQ/xPQhe54NkDKAhxlQ=",
    "account": "MkxMnlrxd+xEj70B3RIzQO0/SGjkHDO2BFE7vEmGMnY=",
    "running_trades": "QVairnzkI9ZkgO1yKUbAyMdS188GzWqcSxLJgrT+AhM=",
    "open_trades": "xtPzLXaGZMgSmTLwWWU6F9+gds3piss9OM1MlWLLHR0=",
    "closed_trades": "CkgMJXn+6DDyB4aw9WPHrlFMBJR5C7IozaAK/K9h5+c=",
    "canceled_trades": "aNLqmmco2ERWDSgQDiCHRmt7ICqKD3tJvBAl3qt9MM4=",
    "funding_fees": "2lPQXSt5q2BUGfJujfPzrqPW8vb4uaWEHDaJBZfFeUQ=",
    "open_trade": "HYASZgINW3jwcQWEGNrOYkguDb//7DvScMhQiHDPpXo=",
    "close_trade": "yQ8ja2KQoREI6w1TjqcJkhF/KUrfEAoSzT/jgcJWoKE=",
    "cancel_trade": "ME2UvaCNU+z+ZSc3uoPj+nm1BYtMBFdhGYKsPR+phA8=",
    "cancel_all": "F9mMZYCdeOFPzIqaEFgw+0rpOczexOiZ9iZoHpl8+M0=",
    "add_margin": "DJU4mSOvzs9+gZ4mFMUp8axPBvEsAGvZn7qF+XPKZeg=",
    "cash_in": "yCDTEHmBuSJ1oS3IMHca0939uXR8e1/vXY6QVt6arhc=",
    "set_takeprofit": "ip4ujLJ+JlAU82PteurDzNFrQeX4w2YyuxPZHTATM5g=",
    "set_stoploss": "R7P/Ktwdoa2GV89O4f3DGIoQTMTT3KL5xxm+9hMUZbc=",
    "set_trailing_stoploss": "WdQu8q4ob6urK/MxFsqCy23zLqhKENi82c4MJAeih/M=",
    "remove_takeprofit": "gnCSFo15Z+G5UWHvnIPIB6zlJHKFTkvqgF/p8N29Kj8=",
    "remove_stoploss": "dV9/lKA3SPz4UQ20Jz4mC2KtqzScwzlOe6mA8NkvxN8=",
    "cross_position": "RC6aDH+9iQ3cW4oHAst7hXR5SvtA9RE0b5hJO33a/a0=",
    "cross_open_orders": "/io8GwuPl6np5RaImRd/mESHhk56KPnOKKqGFL5KPPY=",
    "cross_filled_orders": "/rwrUOKxzAy04eeycXOmJwLGeIr6Ud1Ocucm63ahk7M=",
    "cross_transfers": "2P4hKvmBjXF5zvjRgRBOJkLr1a1gVUDlI9z61ZOkEL8=",
    "cross_funding_fees": "d4EiO+phryFcBkHm8IxsfOVnUqZAij3X7JWcB2LREdA=",
    "open_cross_order": "6HIfUebY4YG0HPN0dzedJF7ijBIoB/RNF46S4wVQpWk=",
    "close_cross_position": "NtaiOffp0Ll1p9yiDOXMQTkE1dE24gNUmV9/+vP5irI=",
    "cancel_cross_order": "8rHjPwgmLhlmoK67QrBpcEQ4+vAFBlS5Zj+SXJYsr3Y=",
    "cancel_all_cross_orders": "DZzHK1WXEsm7xAhroOMO9hE6QhMznjqwgh2pTbe84T4=",
    "set_cross_leverage": "pvM4XgCQSzkbsvQSlsKkTlEDS+DxJWHCiQxGEJefaHQ=",
    "deposit_cross": "wX/B1Jjj/u1qif0BLMmJXU1HqImM65afPS1gB4Z/d30=",
    "withdraw_cross": "FgTgnLvvPHi59aMF0eH+tYfPEhqByOknbIVT9teIrFA=",
}


class Recorder(Transport):
    """Sends nothing and keeps what it should have sent."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def exchange(self, request: Request, *, timeout: float, connect_timeout: float) -> NoReply:
        self.requests.append(request)
        return NoReply(unsent=True, cause="Recorded")


@pytest.mark.parametrize("case", [case for case in CASES if not case.public], ids=str)
def test_every_private_call_has_the_signature_computed_elsewhere(case: Case) -> None:
    recorder = Recorder()
    credentials = SecureCredentials("key", "secret", "passphrase")
    client = LNMarketsClient(OPTIONS, credentials, transport=recorder, now=lambda: 1_700_000_000.0)

    with pytest.raises(Unavailable, match="Recorded"):
        case.call(client)

    (request,) = recorder.requests
    assert request.headers["lnm-access-timestamp"] == "1700000000000"
    assert request.headers["lnm-access-signature"] == SIGNATURES[case.name]


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
        ("k" * 512, "s" * 512, "p" * 512, []),
        ("k" * 513, "s" * 513, "p" * 513, ["API Key", "API Secret", "Passphrase"]),
    ],
)
def test_what_cannot_be_sent_is_named_before_it_is_tried(
    key: str, secret: str, passphrase: str, unusable: list[str]
) -> None:
    assert SecureCredentials(key, secret, passphrase).unusable() == unusable
