"""No secret is in any error, however the exchange answers and however the error is shown."""

from __future__ import annotations

import base64
import html
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
import responses

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import AxisorError, Rejected
from axisor_executor.exchange import LNMarketsClient
from axisor_executor.exchange.echoes import WITHHELD, repeats
from tests.unit.exchange.calls import CASES, Case
from tests.unit.exchange.samples import BASE_URL, CREDENTIALS, DATE, KEY, OPTIONS, PASSPHRASE, SECRET

PRIVATE = [case for case in CASES if not case.public]
CANARIES = (KEY, SECRET, PASSPHRASE)


class EchoError(requests.ConnectionError):
    """An error of requests as it comes: with the request, headers and all."""


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
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def echo(what: str, status: int, content_type: str) -> Any:
    """A server that sends back what it got: headers, signature and the secret itself, in body and headers."""

    def answer(request: requests.PreparedRequest) -> Any:
        sent = " ".join(f"{name}: {value}" for name, value in request.headers.items()) + SECRET
        if what == "raise":
            raise EchoError(sent, request=request)
        headers = {"Date": DATE, "X-Echo": sent, "Retry-After": KEY}
        signature = request.headers["lnm-access-signature"]
        bodies = {
            "json": f'{{"message": "{sent}", "code": "{PASSPHRASE}"}}',
            "signature": f'{{"message": "wrong signature {signature}", "code": "{signature}"}}',
            "text": sent,
        }
        return status, headers, bodies[what]

    return answer, content_type


@pytest.mark.parametrize(
    ("what", "status"),
    [
        *[("json", status) for status in (200, 400, 401, 429, 500)],
        *[("text", status) for status in (200, 403)],
        ("signature", 401),
        ("raise", 0),
    ],
)
@pytest.mark.parametrize("case", PRIVATE, ids=str)
def test_no_error_shows_a_secret(
    case: Case, what: str, status: int, mock: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    callback, content_type = echo(what, status, "application/json")
    url = BASE_URL + case.target.partition("?")[0]
    mock.add_callback(case.method, url, callback=callback, content_type=content_type)

    with pytest.raises(AxisorError) as raised:
        case.call(LNMarketsClient(OPTIONS, CREDENTIALS))

    shown = shown_everywhere(raised.value) + str(raised.value.as_dict()) + caplog.text
    signature = mock.calls[0].request.headers["lnm-access-signature"]  # only now: this frame was shown too
    assert not [canary for canary in (*CANARIES, signature) if canary in shown]
    assert raised.value.__context__ is None


def test_message_without_a_secret_beside_a_code_with_one_is_still_shown(mock: responses.RequestsMock) -> None:
    mock.get(f"{BASE_URL}/v3/account", status=401, json={"message": "Unknown key", "code": f"K_{KEY.upper()}"})
    with pytest.raises(Rejected) as raised:
        LNMarketsClient(OPTIONS, CREDENTIALS).account()
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
        f"starts with {ODD[:8]}...",
        f"ends with ...{ODD[-8:]}",
    ],
)
def test_a_secret_is_found_in_any_form(text: str) -> None:
    assert repeats(text, [ODD])


@pytest.mark.parametrize(
    ("text", "secret", "found"),
    [
        ("the latest price", "test", False),
        ("passphrase test is wrong", "test", True),
        ("passphrase 'TEST'", "test", True),
        ("anything", "", False),
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
