"""Which network an address is of, and which keys may go there."""

from __future__ import annotations

import pytest

from axisor_executor.errors import CredentialsError, SettingsError
from axisor_executor.exchange.networks import SIGNET_URL, address_of, network_for

MAINNET = [
    "https://api.lnmarkets.com",
    "https://api.lnmarkets.com/v3",
    "https://API.LNmarkets.com/v3/",
    "https://api.lnmarkets.com:443",
]
SIGNET = ["https://api.signet.lnmarkets.com", SIGNET_URL, "HTTPS://api.Signet.lnmarkets.com./"]
PAPER = ["http://127.0.0.1:8089", "http://localhost/v3", "http://[::1]:80", "https://127.9.9.9"]
OTHER = [
    "https://gateway.example/ln",
    "http://paper:8089/v3",
    "https://lnmarkets.com.example",
    "https://notlnmarkets.com",
]


@pytest.mark.parametrize(
    ("url", "network"),
    [
        *((url, "mainnet") for url in MAINNET),
        *((url, "signet") for url in SIGNET),
        *((url, "paper") for url in PAPER),
        *((url, "other") for url in OTHER),
    ],
)
def test_network_of_an_address(url: str, network: str) -> None:
    address = address_of(url)
    assert address.network == network
    assert address.base_url.endswith(address.path)
    assert address.path.endswith("/v3")


@pytest.mark.parametrize("url", [*MAINNET, *PAPER, *OTHER])
def test_key_of_the_main_network_goes_where_it_is_sent(url: str) -> None:
    assert network_for(url, testnet=False) == address_of(url)


@pytest.mark.parametrize("url", [*SIGNET, *PAPER, *OTHER])
def test_key_of_the_test_network_goes_where_it_is_sent(url: str) -> None:
    assert network_for(url, testnet=True) == address_of(url)


@pytest.mark.parametrize("url", MAINNET)
def test_key_of_the_test_network_is_never_sent_to_mainnet(url: str) -> None:
    address = network_for(url, testnet=True)
    assert (address.network, address.base_url, address.path) == ("signet", SIGNET_URL, "/v3")


@pytest.mark.parametrize("url", SIGNET)
def test_key_of_the_main_network_is_never_sent_to_signet(url: str) -> None:
    with pytest.raises(CredentialsError) as raised:
        network_for(url, testnet=False)
    assert (raised.value.code, raised.value.status) == ("wrong_network", 400)
    assert "isTestnet" in raised.value.message


@pytest.mark.parametrize(
    "url",
    [
        "https://api.testnet4.lnmarkets.com/v3",
        "https://lnmarkets.com",
        "https://x.api.lnmarkets.com",
        "http://api.lnmarkets.com",
        "http://api.signet.lnmarkets.com/v3",
        "https://user:canary@api.lnmarkets.com",
        "api.lnmarkets.com",
        "https://api.lnmarkets.com\n.example",
    ],
)
@pytest.mark.parametrize("testnet", [True, False])
def test_address_that_no_key_may_be_sent_to_is_refused(url: str, testnet: bool) -> None:
    with pytest.raises(SettingsError) as raised:
        network_for(url, testnet=testnet)
    assert "canary" not in str(raised.value)
