"""The networks of LN Markets: which one an address belongs to, and which one a key may be sent to.

A key of one network means nothing on another; sent there, it is known to strangers and looks like a wrong key. So a
key is matched with the address before anything is signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal

from axisor_executor.errors import CredentialsError, SettingsError

Network = Literal["mainnet", "signet", "paper", "other"]
"""``paper`` is any address on loopback; ``other`` a host of one's own (a gateway, a container), whose network only its
operator knows."""

SIGNET_URL = "https://api.signet.lnmarkets.com/v3"

_DOMAIN = "lnmarkets.com"
_HOSTS: dict[str, Network] = {"api.lnmarkets.com": "mainnet", "api.signet.lnmarkets.com": "signet"}
# No user, query or fragment; nothing that would be sent in another form than it was signed in.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?(?P<path>(?:/[a-z0-9._~-]*)*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an exchange is: ``base_url`` ends on ``/v3``, ``path`` is the part of it that is signed."""

    network: Network
    base_url: str
    path: str


def network_for(configured_url: str, *, testnet: bool) -> Address:
    """Return where an account's calls go, given the address that is configured for all and the account's own flag.

    ============  ====================  =====================
    configured    key of the test net   key of the main net
    ============  ====================  =====================
    mainnet       signet                mainnet
    signet        signet                refused
    paper, other  as configured         as configured
    ============  ====================  =====================

    For accounts of LN Markets only: an exchange that a plugin brings has addresses of its own.

    Args:
        configured_url: ``LN_MARKETS_API_URL``, with or without its ``/v3``.
        testnet: the account's ``isTestnet`` (``SecureCredentials.testnet``); the test network is signet.

    Raises:
        CredentialsError: a key of the main network would be sent to signet (``wrong_network``, 400).
        SettingsError: the address can't be used.
    """
    address = address_of(configured_url)
    if testnet and address.network == "mainnet":
        return address_of(SIGNET_URL)
    require_key_of(address.network, testnet=testnet)
    return address


def require_key_of(network: Network, *, testnet: bool) -> None:
    """Refuse a key that is of another network than ``network``.

    Raises:
        CredentialsError: it is (``wrong_network``, 400).
    """
    if network == "signet" and not testnet:
        raise CredentialsError(
            "The key is of mainnet (isTestnet is not set) and would be sent to signet; nothing was sent",
            code="wrong_network",
        )
    if network == "mainnet" and testnet:
        raise CredentialsError(
            "The key is of signet (isTestnet is set) and would be sent to mainnet; nothing was sent",
            code="wrong_network",
        )


@lru_cache(maxsize=64)
def address_of(url: str) -> Address:
    """Return what is known of a base URL, which may lack its ``/v3``.

    Raises:
        SettingsError: it is none, or of a host of LN Markets that is no network's API. The message does not show it.
    """
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise SettingsError("the exchange's base URL must be http(s)://host[:port][/v3]")
    host = match["host"].lower()
    network = _network_of(host)
    if network in {"mainnet", "signet"} and match["scheme"].lower() != "https":
        raise SettingsError("LN Markets is asked over https only: anything else would show the keys")
    path = match["path"].rstrip("/").removesuffix("/v3") + "/v3"
    return Address(network, f"{match['scheme'].lower()}://{host}{match['port'] or ''}{path}", path)


def _network_of(host: str) -> Network:
    name = host.rstrip(".")
    if name in _HOSTS:
        return _HOSTS[name]
    if name == _DOMAIN or name.endswith(f".{_DOMAIN}"):
        raise SettingsError(f"of the hosts of LN Markets only {' and '.join(_HOSTS)} have a network's API")
    return "paper" if _is_loopback(name) else "other"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
