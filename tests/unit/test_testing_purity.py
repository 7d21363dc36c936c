"""What counts as reaching out of a decision: every way to the world that a handler may take by mistake."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import requests

from axisor_executor.testing.purity import Impure, Watch, no_collection

NOWHERE = ("127.0.0.1", 9)

REACHES_OUT: dict[str, Callable[[], Any]] = {
    "the clock (time.time())": lambda: time.time(),
    "the clock (time.monotonic())": lambda: time.monotonic(),
    "the clock (time.sleep())": lambda: time.sleep(60),
    "the clock (datetime.now())": lambda: datetime.now(UTC),
    "the clock (datetime.today())": lambda: datetime.today(),  # noqa: DTZ002
    "the clock (date.today())": lambda: date.today(),  # noqa: DTZ011
    "chance (random.random())": lambda: random.random(),
    "chance (random.getrandbits())": lambda: random.choice([1, 2]),
    "chance (random.Random without a seed)": lambda: random.Random().random(),
    "chance (os.urandom())": lambda: uuid.uuid4(),
    "chance (os.urandom()) by secrets": lambda: secrets.token_hex(),
    "clock and chance (uuid.": lambda: uuid.uuid1(),
    "a file (open())": lambda: open("/etc/hostname"),  # noqa: SIM115, PTH123
    "a file (open()) by a path": lambda: Path("/etc/hostname").read_text(),
    "a file (.write())": lambda: sys.__stdout__.write(""),
    "the operating system (os.stat())": lambda: os.stat("/etc"),  # noqa: PTH116
    "the operating system (os.listdir())": lambda: os.listdir(),  # noqa: PTH208
    "the operating system (os.system())": lambda: os.system("false"),
    "the operating system (os.": lambda: tempfile.mkdtemp(),
    "the network (socket.getaddrinfo())": lambda: socket.create_connection(NOWHERE),
    "the by urllib": lambda: urllib.request.urlopen("http://nowhere.invalid"),
    "the operating system (os.stat()) by requests": lambda: requests.get("http://nowhere.invalid", timeout=1),
    "a new thread": lambda: threading.Thread(target=int).start(),
    "the operating system (os. by a pool": lambda: ThreadPoolExecutor().submit(int),
    "the operating system (os.pipe())": lambda: subprocess.run(["false"], check=False, capture_output=True),
    "a database (sqlite3.connect())": lambda: sqlite3.connect(":memory:"),
    "the terminal (print())": lambda: print(),
    "the clock (time.time": lambda: logging.getLogger("a plugin's").warning("a line"),
}

PURE: dict[str, Callable[[], Any]] = {
    "chance with a seed": lambda: (random.Random("seed").random(), random.Random(7).choice([1, 2])),
    "text in memory": lambda: (io.StringIO().write("a"), io.BytesIO(b"a").read()),
    "instants": lambda: datetime(2026, 1, 1, tzinfo=UTC) - datetime.fromisoformat("2025-01-01T00:00:00+00:00"),
    "instants as text": lambda: (datetime.strptime("2026", "%Y"), date(2026, 1, 1).strftime("%Y")),  # noqa: DTZ007
    "an instant out of seconds": lambda: datetime.fromtimestamp(3, UTC),
    "numbers": lambda: (Decimal("1.5").sqrt(), Fraction("1/3"), sum(range(10))),
    "json": lambda: json.loads(json.dumps({"a": [1.5, None]})),
    "ids out of names": lambda: uuid.uuid5(uuid.NAMESPACE_URL, "a"),
    "an import": lambda: __import__("wave"),
    "locks": lambda: threading.Lock().acquire(),
    "paths as texts": lambda: (os.path.join("a", "b"), Path("a") / "b", os.path.normpath("a/../b")),  # noqa: PTH118
    "copies": lambda: copy.deepcopy({"a": [1]}),
}


@pytest.fixture(autouse=True)
def uncollected():
    with no_collection():
        yield


@pytest.mark.parametrize(("what", "call"), REACHES_OUT.items(), ids=REACHES_OUT)
def test_it_is_found_out_and_stopped(what, call):
    watch = Watch()
    with pytest.raises(Impure):
        watch.call(call)
    assert watch.found[0].startswith(what.partition(" by ")[0])
    assert "in <lambda>() at test_testing_purity.py:" in watch.found[0]


@pytest.mark.parametrize("call", PURE.values(), ids=PURE)
def test_it_is_let_be(call):
    watch = Watch()
    watch.call(call)
    assert watch.found == []


def test_a_socket_that_is_there_already_is_found_out():
    with socket.socket() as known:
        watch = Watch()
        with pytest.raises(Impure, match=r"the network \(socket.connect\(\)\)"):
            watch.call(lambda: known.connect(NOWHERE))


def test_the_line_is_the_callers_own():
    watch = Watch()
    with pytest.raises(Impure):
        watch.call(lambda: deeper())
    assert "in deeper() at test_testing_purity.py:" in watch.found[0]


def deeper() -> Any:
    return json.load(open("/etc/hostname"))  # noqa: PTH123


def test_what_profiles_goes_on_and_other_threads_never_notice():
    calls: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        calls.append(event)

    started, found = threading.Event(), []

    def other() -> None:
        started.wait(30)
        found.append(time.time())

    thread = threading.Thread(target=other)
    thread.start()
    sys.setprofile(profile)
    try:
        Watch().call(lambda: (started.set(), thread.join(30)))
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)
    assert len(found) == 1
    assert calls
