"""What would be sent is what is sent, for every call; and nothing leaves."""

from __future__ import annotations

import copy
import dataclasses
import socket
from collections.abc import Iterator

import pytest

from axisor_executor.errors import CredentialsError, Unavailable
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, UnsentRequest
from tests.unit.exchange.calls import CASES, Case
from tests.unit.exchange.samples import BASE_URL, CREDENTIALS, KEY, OPTIONS, PASSPHRASE, SECRET

NOW = 1_795_334_400.0


@pytest.fixture
def client() -> LNMarketsClient:
    return LNMarketsClient(OPTIONS, CREDENTIALS, now=lambda: NOW)


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No exchange's name is looked up, and nothing is connected to."""
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given) or [])
    monkeypatch.setattr(socket.socket, "connect", lambda *given: asked.append(given))
    yield
    assert asked == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_what_is_sent(case: Case, client: LNMarketsClient) -> None:
    host = BASE_URL.partition("://")[2].partition("/")[0]
    assert client.rehearse(case.call) == UnsentRequest(case.method, host, case.target, case.body)


def test_the_client_is_as_it_was(client: LNMarketsClient) -> None:
    before = copy.copy(vars(client))
    client.rehearse(lambda one: one.close_trade("t"))
    assert vars(client) == before


def test_nothing_of_the_keys_is_kept(client: LNMarketsClient) -> None:
    kept = client.rehearse(lambda one: one.close_trade("t"))
    text = repr(kept) + str(dataclasses.asdict(kept))
    assert not any(secret in text for secret in (KEY, SECRET, PASSPHRASE))


def test_what_would_not_leave_is_not_rehearsed(client: LNMarketsClient) -> None:
    with pytest.raises(Unavailable) as raised:
        client.rehearse(lambda one: one.close_trade("t", timestamp_ms=int(NOW * 1000) - 31_000))
    assert raised.value.code == "timestamp_expired"
    with pytest.raises(CredentialsError):
        LNMarketsClient(OPTIONS, None).rehearse(lambda one: one.close_trade("t"))
    signet = ExchangeOptions("lnmarkets", "https://api.signet.lnmarkets.com/v3")
    with pytest.raises(CredentialsError) as refused:
        LNMarketsClient(signet, CREDENTIALS).rehearse(lambda one: one.close_trade("t"))
    assert refused.value.code == "wrong_network"


def test_a_call_that_is_none(client: LNMarketsClient) -> None:
    with pytest.raises(ValueError, match="sends nothing"):
        client.rehearse(lambda _: None)
