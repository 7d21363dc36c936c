"""What a stack is to be, settled and checked before anything is started or changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axisor_executor.embedded import can_listen, find_redis_server, free_port, redis_url
from axisor_executor.errors import AxisorError
from axisor_executor.settings import Settings, describe_settings, load_settings
from axisor_executor.stack.folder import Mode, StackFolder, fingerprint
from axisor_executor.stack.parts import http_extra_missing, require_paper

USUAL_PORT: Final = 8420


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        mode: ``None``: as the folder was made.
        port: of the HTTP API; ``None``: as last time, 0: a free one.
        processes, threads: of each lane's workers.
        every_seconds: between two jobs for each paper automation; 0: none.
    """

    mode: Mode | None = None
    port: int | None = None
    processes: int = 1
    threads: int = 8
    every_seconds: float = 30.0


@dataclass(frozen=True)
class Ports:
    """Loopback ports; ``None``: that part is somebody else's, or not run."""

    redis: int | None
    paper: int | None
    http: int | None


@dataclass(frozen=True)
class Plan:
    """What a stack is.

    Attributes:
        variables: the settings that it adds to those of the environment.
        settings: all of them, checked.
        http_missing: the module without which there is no HTTP API.
    """

    folder: StackFolder
    mode: Mode
    wanted: Wanted
    ports: Ports
    variables: Mapping[str, str]
    settings: Settings
    http_missing: str | None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this stack's processes."""
        return {**os.environ, **self.variables}

    @property
    def effective(self) -> dict[str, str]:
        """All variables of this environment that are settings, of plugins too."""
        return {name: value for name, value in self.environment.items() if value and _is_setting(name)}

    @property
    def bare_environment(self) -> dict[str, str]:
        """This environment without any setting, for a part that needs none and must hold none of their secrets."""
        return {name: value for name, value in self.environment.items() if not _is_setting(name)}


def _is_setting(name: str) -> bool:
    return name.startswith("AXISOR_") or name in {row.variable for row in describe_settings()}


def mode_of(folder: StackFolder, wanted: Mode | None) -> Mode:
    """Return what the stack is to be.

    Raises:
        AxisorError: nothing says which (``mode_missing``), or the folder is of the other kind (``mode_differs``).
    """
    made: Mode | None = folder.remembered().get("mode")
    if wanted is None and made is None:
        raise AxisorError(
            "say --paper (a simulated exchange, nothing to lose) or --live (LN Markets, real money)",
            code="mode_missing",
        )
    if wanted is not None and made is not None and wanted != made:
        raise AxisorError(
            f"{folder.path} was made with --{made}, and its accounts are of no use with --{wanted}: "
            "choose another folder with --dir",
            code="mode_differs",
        )
    return wanted or made or "paper"


def exchange_url() -> str:
    """Return where a live stack would trade, without looking at any other setting."""
    return os.environ.get("LN_MARKETS_API_URL") or str(Settings.model_fields["exchange_url"].default)


def make_plan(folder: StackFolder, mode: Mode, wanted: Wanted) -> Plan:
    """Settle everything that can be known before the start; the folder is locked by now.

    Raises:
        AxisorError: a port is taken (``port_taken``); the key differs from the folder's (``key_differs``), or is lost.
        EmbeddedServerError: something that has to be started is not installed.
        SettingsError: the environment's settings can't be used.
    """
    if mode == "paper":
        require_paper()
    http_missing = http_extra_missing()
    ports = _ports(folder, mode, wanted, http=http_missing is None)
    variables = _variables(folder, mode, ports)
    with in_force(variables):
        settings = load_settings()
    return Plan(folder, mode, wanted, ports, variables, settings, http_missing)


@contextmanager
def in_force(variables: Mapping[str, str]) -> Iterator[None]:
    """Put variables into this process's environment for the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def standing(folder: StackFolder) -> dict[str, Any]:
    """Return how the stack in a folder stands: ``running``, its process, and what that has noted of its parts.

    While it starts, that is nothing yet. A part that is noted as running and whose process has ended is ``dead``: who
    would note that may be dead or frozen, too, or the disk full.

    Raises:
        AxisorError: the folder can't be read (``folder_unusable``).
    """
    pid = folder.holder()
    if pid is None or not _lives(pid):  # a run that was killed has nothing that stays: its guard is ending it
        return {"folder": str(folder.path), "running": False, "pid": None}
    noted = folder.running()
    for part in noted.get("parts", ()):
        if part["state"] == "running" and not _leads(part["pid"]):
            part["state"] = "dead"
    return {"folder": str(folder.path), "running": True, "pid": pid, **noted}


def _leads(pid: int | None) -> bool:
    """Return whether a part's process lives; each leads a session, as hardly any that has got its number since does."""
    try:
        return pid is not None and os.getsid(pid) == pid and _lives(pid)
    except ProcessLookupError:
        return False
    except PermissionError:  # some systems keep other sessions to themselves
        return True


def _lives(pid: int) -> bool:
    """Return whether a process is there and, where that can be seen, more than a dead one that nobody has reaped."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        return True


def _ports(folder: StackFolder, mode: Mode, wanted: Wanted, *, http: bool) -> Ports:
    last = folder.remembered().get("ports", {})
    redis = None
    if not os.environ.get("REDIS_URL"):
        find_redis_server()
        redis = _again(last.get("redis"))
    return Ports(
        redis=redis,
        paper=_again(last.get("paper")) if mode == "paper" else None,
        http=_http_port(wanted.port, last.get("http")) if http else None,
    )


def _again(last: int | None) -> int:
    """Return the port of the last run, so that what was told of it still holds; a free one where it is taken."""
    return last if last and can_listen(last) else free_port()


def _http_port(wanted: int | None, last: int | None) -> int:
    if wanted == 0:
        return free_port()
    port = wanted or last or USUAL_PORT
    if not can_listen(port):
        raise AxisorError(
            f"port {port} is taken by another program, or may not be used: choose one with --port; 0 takes a free one",
            code="port_taken",
        )
    return port


def _variables(folder: StackFolder, mode: Mode, ports: Ports) -> dict[str, str]:
    own = {"ENCRYPTION_KEY": folder.encryption_key()} if _uses_own_key(folder) else {}
    if ports.redis is not None:
        own["REDIS_URL"] = redis_url(ports.redis, folder.redis_password())
    elif mode == "paper" and not os.environ.get("AXISOR_QUEUE_PREFIX"):
        # A Redis that others use, too: their workers must not take these jobs, nor the other way round.
        own["AXISOR_QUEUE_PREFIX"] = f"axisor-paper-{fingerprint(str(folder.path))[:8]}"
    if not os.environ.get("DATABASE_URL"):
        own["DATABASE_URL"] = f"sqlite:///{folder.database}"
    if ports.paper is not None:
        own["LN_MARKETS_API_URL"] = f"http://127.0.0.1:{ports.paper}"
    return own


def _uses_own_key(folder: StackFolder) -> bool:
    given = os.environ.get("ENCRYPTION_KEY")
    if not given:
        return True
    if folder.has_key and folder.encryption_key() != given:
        raise AxisorError(
            f"ENCRYPTION_KEY is set and differs from the key in {folder.path}: unset it, or name the keys that are to "
            "be read, too, in AXISOR_ENCRYPTION_KEYS",
            code="key_differs",
        )
    return folder.has_key
