"""The paper exchange as an exchange of the executor: slug `paper`.

Only the executor imports this module; the server never does. Accounts of the exchange `paper` are traded with the
executor's own LN Markets client, on a paper exchange and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from axisor_executor.errors import SettingsError
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from axisor_executor.hookspecs import hookimpl

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials
    from axisor_executor.exchange import ClientFactory, ExchangeClient
    from axisor_executor.exchange.simulation import Simulation, SimulationFactory, SimulationOptions

__all__ = [
    "DEFAULT_URL",
    "SLUG",
    "URL_VARIABLE",
    "axisor_register_exchanges",
    "axisor_register_simulations",
    "paper_client",
    "paper_simulation",
    "paper_url",
]

axisor_hook_api = "1.0"

SLUG = "paper"
URL_VARIABLE = "AXISOR_PAPER_URL"
DEFAULT_URL = "http://127.0.0.1:8089/v3"


@hookimpl
def axisor_register_exchanges(register: Callable[[str, ClientFactory], None]) -> None:
    """Register the client factory of the exchange `paper`."""
    register(SLUG, paper_client)


@hookimpl
def axisor_register_simulations(register: Callable[[str, SimulationFactory], None]) -> None:
    """Register the engine itself, as a simulation inside the executor's process."""
    register(SLUG, paper_simulation)


def paper_simulation(options: SimulationOptions) -> Simulation:
    """Return a paper exchange inside this process."""
    from axisor_paper_exchange.simulation import PaperSimulation

    return PaperSimulation(options)


def paper_client(options: ExchangeOptions, credentials: SecureCredentials | None) -> ExchangeClient:
    """Return a client for an account of a paper exchange, wherever `options` point (see `paper_url`)."""
    return LNMarketsClient(replace(options, base_url=paper_url(options.base_url)), credentials)


def paper_url(configured: str) -> str:
    """Return the URL of the paper exchange.

    It is `AXISOR_PAPER_URL`, else `configured` if that is on loopback, else port 8089 of this machine. Raises
    `SettingsError` when `AXISOR_PAPER_URL` names LN Markets itself: what is paper must not become real.
    """
    chosen = os.environ.get(URL_VARIABLE, "").strip()
    if not chosen:
        return configured if _is_loopback(urlsplit(configured).hostname) else DEFAULT_URL
    host = (urlsplit(chosen).hostname or "").rstrip(".")
    if host == "lnmarkets.com" or host.endswith(".lnmarkets.com"):
        raise SettingsError(f"{URL_VARIABLE} names LN Markets itself, not a paper exchange")
    return chosen


def _is_loopback(host: str | None) -> bool:
    if host in {None, "localhost"}:
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
