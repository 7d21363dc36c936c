"""What the package exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

from axisor_executor import exchange
from axisor_executor.exchange import ClientFactory, ExchangeClient, ExchangeOptions, LNMarketsClient


def test_all_is_exactly_the_public_names() -> None:
    shown = {name: value for name, value in vars(exchange).items() if not name.startswith("_")}
    public = {name for name, value in shown.items() if not isinstance(value, ModuleType)} - {"annotations"}
    assert public == set(exchange.__all__)
    assert len(exchange.__all__) == len(set(exchange.__all__))


def test_client_is_what_the_protocol_says() -> None:
    factory: ClientFactory = LNMarketsClient  # checked by mypy
    client: ExchangeClient = factory(ExchangeOptions("lnmarkets", "https://api.lnmarkets.example"), None)
    assert isinstance(client, LNMarketsClient)


def test_import_brings_no_credentials_models_or_broker() -> None:
    code = "import sys, axisor_executor.exchange; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"pydantic", "cryptography.fernet", "peewee", "dramatiq", "redis", "axisor_executor.credentials"}
    assert not unwanted & set(run.stdout.split())
