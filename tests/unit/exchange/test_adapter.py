"""The place where ``requests`` asks for a connection: without it, no deadline would be kept."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
from requests.adapters import HTTPAdapter

from axisor_executor.exchange.transport import NoReply, Request, Transport, _Adapter

ROOT = Path(__file__).parents[3]
HOOK = HTTPAdapter.get_connection_with_tls_context.__name__


def test_every_request_asks_for_a_connection_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(_: _Adapter, request: object, *_given: object, **_named: object) -> None:
        asked.append(request)
        raise ConnectionAbortedError

    monkeypatch.setattr(_Adapter, HOOK, refuse)
    reply = Transport().exchange(Request("GET", "http://127.0.0.1:9/v3/ping", {}), timeout=1, connect_timeout=1)
    assert (reply, len(asked)) == (NoReply(unsent=False, cause="ConnectionAbortedError"), 1)


def test_a_requests_that_would_pass_by_it_is_refused_at_import() -> None:
    code = f"from requests.adapters import HTTPAdapter as A; del A.{HOOK}; import axisor_executor.exchange.transport"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert "ImportError: requests 2.32.2 or newer is needed" in done.stderr


def test_the_metadata_asks_for_one_that_has_it() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = config["options"]["install_requires"].split()
    assert "requests>=2.32.2,<3" in wanted
