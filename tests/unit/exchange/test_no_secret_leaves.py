"""No secret is in any error, however the exchange answers and however the error is shown."""

from __future__ import annotations

import base64
import html
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import AxisorError, Rejected
from axisor_executor.exchange import LNMarketsClient, connection
from axisor_executor.exchange.echoes import WITHHELD, repeats, said
from tests.unit.exchange.calls import CASES, Case
from tests.unit.exchange.samples import CREDENTIALS, DATE, KEY, OPTIONS, PASSPHRASE, SECRET
from tests.unit.exchange.served import Exchange, Sent, answer

PRIVATE = [case for case in CASES if not case.public]
CANARIES = (KEY, SECRET, PASSPHRASE)


class EchoError(OSError):
    """An error that shows what was sent, headers and all; ``requests`` adds the request itself."""


def shown_everywhere(error: BaseException) -> str:
    """All that a log, a debugger or an error tracker would show of an error."""
    seen, texts, queue = set(), [], [error]
    while queue:
        current = queue.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        texts += [str(current), repr(current), repr(current.args), repr(vars(current))]
        shown = traceback.TracebackException.from_exception(current, capture_locals=True)
        texts += list(shown.format(chain=True))
        queue += [linked for linked in (current.__cause__, current.__context__) if linked is not None]
    return "\n".join(texts)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange() as exchange:
        yield exchange


def echo(what: str, status: int) -> Callable[[Sent], bytes]:
    """An exchange that sends back what it got: headers, signature and the secret itself, in body and headers."""

    def echoing(request: Sent) -> bytes:
        sent = " ".join(f"{name}: {value}" for name, value in request.headers.items()) + SECRET
        signature = request.headers["lnm-access-signature"]
        bodies = {
            "json": f'{{"message": "{sent}", "code": "{PASSPHRASE}"}}',
            "signature": f'{{"message": "wrong signature {signature}", "code": "{signature}"}}',
            "text": sent,
        }
        headers = {"Date": DATE, "X-Echo": sent, "Retry-After": KEY}
        return answer(status=status, body=bodies[what], content_type="application/json", headers=headers)

    return echoing


def shown_by(call: Callable[[], object], caplog: pytest.LogCaptureFixture) -> str:
    """All that is shown of the error of a call."""
    with pytest.raises(AxisorError) as raised:
        call()
    assert raised.value.__context__ is None
    return shown_everywhere(raised.value) + str(raised.value.as_dict()) + caplog.text


@pytest.mark.parametrize(
    ("what", "status"),
    [
        *[("json", status) for status in (200, 400, 401, 429, 500)],
        *[("text", status) for status in (200, 403)],
        ("signature", 401),
    ],
)
@pytest.mark.parametrize("case", PRIVATE, ids=str)
def test_no_error_shows_a_secret(
    case: Case, what: str, status: int, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    exchange.register(case.method, case.target.partition("?")[0], echo(what, status))

    shown = shown_by(lambda: case.call(LNMarketsClient(exchange.options, CREDENTIALS)), caplog)

    signature = exchange.calls[0].headers["lnm-access-signature"]
    assert not [canary for canary in (*CANARIES, signature) if canary in shown]


@pytest.mark.parametrize("case", PRIVATE, ids=str)
def test_no_error_shows_what_another_error_held(
    case: Case, exchange: Exchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    def fail(*_: object) -> None:
        exchange.await_call()
        told.append(exchange.calls[0].headers["lnm-access-signature"])
        raise EchoError(f"{exchange.calls[0]} {KEY} {SECRET} {PASSPHRASE}")

    monkeypatch.setattr(connection, "read_answer", fail)
    exchange.register(case.method, case.target.partition("?")[0], answer(value=case.answer))
    shown = shown_by(lambda: case.call(LNMarketsClient(exchange.options, CREDENTIALS)), caplog)
    assert told
    assert not [canary for canary in (*CANARIES, *told) if canary in shown]


def test_message_without_a_secret_beside_a_code_with_one_is_still_shown(exchange: Exchange) -> None:
    said = {"message": "Unknown key", "code": f"K_{KEY.upper()}"}
    exchange.register("GET", "/v3/account", answer(status=401, value=said, headers={}))
    with pytest.raises(Rejected) as raised:
        LNMarketsClient(exchange.options, CREDENTIALS).account()
    assert raised.value.details["exchangeMessage"] == "Unknown key"
    assert raised.value.details["exchangeCode"] == WITHHELD


ODD = 'Päss <"&w0rd> 1/2'


@pytest.mark.parametrize(
    "text",
    [
        f"wrong passphrase {ODD}",
        ODD.swapcase(),
        quote(ODD, safe=""),
        html.escape(ODD),
        ODD.encode().hex(),
        base64.b64encode(ODD.encode()).decode(),
        quote_plus(ODD),
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        base64.b64encode(f"{ODD}:x".encode()).decode(),
        base64.b64encode(f"x:{ODD}:x".encode()).decode(),
        base64.urlsafe_b64encode(f"xy{ODD}".encode()).decode(),
        f"starts with {ODD[:8]}...",
        f"ends with ...{ODD[-8:]}",
    ],
)
def test_a_secret_is_found_in_any_form(text: str) -> None:
    assert repeats(text, [ODD])


@pytest.mark.parametrize("secret", ["dGhpc0lzS2V5+/A9zz8Q==", "S3cr3tS3cr3tXYZ", "p&ss/w<rd+1"])
@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(encode, id=name)
        for name, encode in {
            "percent, all": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
            "percent, twice": lambda secret: quote(quote(secret, safe=""), safe=""),
            "numbered entities": lambda secret: "".join(f"&#{ord(letter)};" for letter in secret),
            "JSON, all": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret),
            "JSON, twice": lambda secret: json.dumps(json.dumps(secret)),
            "JSON as Go writes it": lambda secret: secret.replace("&", r"\u0026").replace("<", r"\u003c"),
            "JSON as PHP writes it": lambda secret: secret.replace("/", r"\/"),
            "bytes of a program": lambda secret: "".join(f"\\x{byte:02x}" for byte in secret.encode()),
            "nothing between": lambda secret: "\u200b".join(secret),
            "wide": lambda secret: "".join(chr(ord(letter) + 0xFEE0) for letter in secret),
        }.items()
    ],
)
def test_a_secret_is_found_however_it_is_escaped(secret: str, encode: Callable[[str], str]) -> None:
    assert repeats(f"bad {encode(secret)} !", [secret])


@pytest.mark.parametrize(
    "shown",
    [
        " ".join,
        "-".join,
        lambda secret: str(list(secret)),
        lambda secret: "...".join((secret[:7], secret[7:])),
        lambda secret: " ".join(f"0x{byte:02X}" for byte in secret.encode()),
        lambda secret: secret.encode().hex(":"),
        lambda secret: base64.b64encode(secret.encode()).decode().lower(),
    ],
)
def test_a_secret_is_found_with_something_between_its_letters(shown: Callable[[str], str]) -> None:
    secret = "S3cr3tS3cr3tXYZ"
    assert repeats(f"bad {shown(secret)} !", [secret])
    assert not repeats(f"bad {shown('Another0neThan')} !", [secret])


def test_what_can_not_be_decoded_is_not_shown() -> None:
    assert repeats(f"&#{'9' * 5000};", ["secret"])
    assert not repeats("&#99999999; %zz \\ud800 \\UFFFFFFFF \\", ["secret"])


@pytest.mark.parametrize("secret", ["hunter21", "ÿþÿþÿþ", "two  words"])
@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_short_secret_is_found_inside_of_base64(secret: str, before: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert repeats(f"token {encode(f'{before}{secret}:z'.encode()).decode()}", [secret])


@pytest.mark.parametrize("spaces", ["  ", "\t", "\u00a0 "])
def test_a_secret_is_found_with_its_spaces_as_they_are_and_as_they_are_shown(spaces: str) -> None:
    credentials = SecureCredentials("key", "secret", f"red{spaces}fox{spaces}jumps")
    for told in (credentials.reveal_passphrase(), "red fox jumps", f"red{spaces}fox\njumps"):
        body = json.dumps({"message": f"no passphrase: {told}"}).encode()
        assert said(body, credentials, {}) == {"message": WITHHELD}


@pytest.mark.parametrize(
    ("text", "secret", "found"),
    [
        ("the latest price", "test", False),
        ("passphrase test is wrong", "test", True),
        ("passphrase 'TEST'", "test", True),
        ("passphrase=red+fox&x", "red fox", True),
        (r'passphrase "a\"b\\c"', r'a"b\c', True),
        (r"passphrase t\u00e4t\u00e4", "t\u00e4t\u00e4", True),
        ("anything", "", False),
        ("the passphrase", "pass", False),
        ("1234567", "12345678", False),
        ("x-12345678-y", "12345678", True),
    ],
)
def test_a_short_secret_is_found_as_a_word(text: str, secret: str, found: bool) -> None:
    assert repeats(text, [secret]) is found


def test_the_client_shows_where_and_never_who() -> None:
    client = LNMarketsClient(OPTIONS, SecureCredentials(KEY, SECRET, PASSPHRASE))
    shown = repr(client) + str(client) + f"{client}" + repr(vars(client))
    assert not [canary for canary in CANARIES if canary in shown]
    with pytest.raises(TypeError):
        pickle.dumps(client)
