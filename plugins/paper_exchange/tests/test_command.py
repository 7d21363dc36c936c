"""The command: start, refusal to start, end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

COMMAND = [sys.executable, "-m", "axisor_paper_exchange"]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    arguments = [*COMMAND, "--port", "0", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            assert ready["pid"] == process.pid
            yield process, ready["url"]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(number: signal.Signals) -> None:
    with started() as (process, url):
        requests.post(f"{url}/paper/faults", json={"kind": "stall", "seconds": 60}, timeout=5)
        # A request that hangs, and an idle connection that is kept alive.
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as hanging, requests.Session() as idle:
            idle.get(f"{url}/paper/price", timeout=5)
            hanging.sendall(b"GET /v3/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            while not idle.get(f"{url}/paper/requests", timeout=5).json():
                pass
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_options() -> None:
    options = ("--price", "61000.5", "--window", "2.5", "--spread", "1", "--fee-rate", "0.0006", "--journal-size", "2")
    with started(*options) as (_, url):
        assert requests.get(f"{url}/paper/price", timeout=5).json()["price"] == 61_000.5
        settings = requests.get(f"{url}/paper/settings", timeout=5).json()
        assert (settings["windowSeconds"], settings["spread"], settings["feeRate"]) == (2.5, "1", "0.0006")
        for _ in range(5):
            requests.get(f"{url}/v3/ping", timeout=5)
        assert [row["seq"] for row in requests.get(f"{url}/paper/requests", timeout=5).json()] == [4, 5]
        assert [row["seq"] for row in requests.get(f"{url}/paper/requests?since=4", timeout=5).json()] == [5]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: can't listen on 127.0.0.1:{port}: ")
    assert ended.stderr.count("\n") == 1


def test_remote_control_must_be_allowed() -> None:
    ended = run("--host", "0.0.0.0", "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "--allow-remote-control" in ended.stderr
    with started("--host", "0.0.0.0", "--allow-remote-control") as (_, url):
        assert url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize(
    "options",
    [
        ("--price", "0.3"),
        ("--price", "x"),
        ("--window", "-1"),
        ("--port", "70000"),
        ("--speed", "0"),
        ("--interval", "nan"),
        ("--volatility", "-1"),
        ("--seed", "x"),
        ("--candles", "nowhere.csv"),
        ("--candles", "."),
        ("--state", "."),
        ("--walk", "--candles", __file__),
    ],
)
def test_bad_options(options: tuple[str, ...]) -> None:
    ended = run(*options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Usage: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "line 1: the header lacks time, open, high, low, close, volume"),
        (b"time,open,high,low,close,volume\n0,1,1,1,x,0\n", "line 2: close 'x' is not a price"),
        (b"time,open,high,low,close,volume\n\xff\xfe", "is no text in UTF-8"),
    ],
)
def test_bad_candles(tmp_path: Path, data: bytes, problem: str) -> None:
    file = tmp_path / "candles.csv"
    file.write_bytes(data)
    ended = run("--candles", str(file))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("Error: ")
    assert str(file) in ended.stderr
    assert problem in ended.stderr


def test_help() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for option in ("--host", "--price", "--allow-remote-control", "--walk", "--candles", "--speed", "--state", "--tls"):
        assert option in ended.stdout


def test_the_server_does_not_need_the_core() -> None:
    code = "import sys, axisor_paper_exchange.cli; print([m for m in sys.modules if m.startswith('axisor_executor')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_engine_does_no_io() -> None:
    package = Path(__file__).parents[1] / "axisor_paper_exchange" / "engine"
    for source in package.glob("*.py"):
        text = source.read_text()
        for word in (r"import time", r"import asyncio", r"aiohttp", r"import os", r"datetime", r"(?<![\w.])open\("):
            assert not re.search(word, text), (source.name, word)
