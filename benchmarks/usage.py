"""What one process holds, as Linux tells: memory, threads, open files, connections."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import tree

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One look at a process (what it has started is not counted).

    Memory in MiB: ``rss`` all pages that it has in memory; ``pss`` the same with a shared page divided among those
    that share it; ``private`` what would be free if it were gone. ``cpu``: seconds, of all its threads.
    """

    pid: int
    rss: float
    pss: float
    private: float
    threads: int
    files: int
    sockets: int
    cpu: float


def usage(pid: int) -> Usage:
    """Look at a process.

    Raises:
        ProcessLookupError: it is gone.
    """
    folder = Path(f"/proc/{pid}")
    try:
        memory = _numbers(folder / "smaps_rollup")
        targets = [_target(link) for link in (folder / "fd").iterdir()]
        return Usage(
            pid=pid,
            rss=memory["Rss"] / 1024,
            pss=memory["Pss"] / 1024,
            private=(memory["Private_Clean"] + memory["Private_Dirty"]) / 1024,
            threads=_numbers(folder / "status")["Threads"],
            files=len(targets),
            sockets=sum(target.startswith("socket:") for target in targets),
            cpu=_cpu(folder),
        )
    except (OSError, KeyError):
        raise ProcessLookupError(pid) from None


def workers_of(master: int) -> list[int]:
    """Return the worker processes of a Dramatiq master, the oldest first."""
    return sorted(pid for pid in tree(master) if pid != master and len(_threads(pid)) > 1)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that one process has used.

    Raises:
        ProcessLookupError: it is gone.
    """
    try:
        return _cpu(Path(f"/proc/{pid}"))
    except OSError:
        raise ProcessLookupError(pid) from None


def _cpu(folder: Path) -> float:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _numbers(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", path.read_text(), re.MULTILINE)}


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
