"""Host names to addresses, without ever waiting longer than asked.

``getaddrinfo`` can't be interrupted and, with a dead name server, takes tens of seconds. So it runs in a thread of its
own: at most one per host name at a time, only for new connections to names (not for addresses).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

Address = tuple[int, int, int, str, Any]
"""Family, kind, protocol, canonical name, socket address: as ``getaddrinfo`` gives them."""

_pending: dict[tuple[str, int], Future[list[Address]]] = {}
_lock = threading.Lock()


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """Return the stream addresses of ``host`` in the order to try them.

    Args:
        host: a name or an IP address.
        timeout: how long to wait, in seconds.

    Raises:
        TimeoutError: no answer in time.
        OSError: the name can't be resolved (``socket.gaierror``).
        UnicodeError: it is no host name.
    """
    if _is_address(host):
        return _look_up(host, port)
    with _lock:
        lookup = _pending.get((host, port))
        if lookup is None:
            lookup = _pending[host, port] = Future()
            try:
                threading.Thread(target=_run, args=(host, port, lookup), name="axisor-names", daemon=True).start()
            except RuntimeError:
                del _pending[host, port]
                lookup.set_exception(OSError("no thread left to resolve names"))
    return lookup.result(timeout)


def _run(host: str, port: int, lookup: Future[list[Address]]) -> None:
    try:
        addresses = _look_up(host, port)
    except (OSError, UnicodeError) as error:
        _forget(host, port)
        lookup.set_exception(error)
    else:
        _forget(host, port)
        lookup.set_result(addresses)


def _forget(host: str, port: int) -> None:
    with _lock:
        _pending.pop((host, port), None)


def _look_up(host: str, port: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a forked child inherits neither the threads nor a usable lock
    _lock = threading.Lock()
    _pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
