"""CPU time and memory of processes with all that they have started, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Memory in MiB: ``rss`` as it is usually told, ``pss`` with what several share counted once."""

    rss: float
    pss: float


def tree(pid: int) -> list[int]:
    """Return a process and everything below it that lives."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and everything below it have used, what has ended below it included."""
    ticks = 0
    for one in tree(pid):
        if stat := _stat(one):
            ticks += sum(int(field) for field in stat[11:15])
    return ticks / _TICK


def cores_busy_seconds() -> float:
    """Return the CPU time that everything on this machine has used so far, what its host took away included."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    user, nice, system, _idle, _iowait, *interrupts_and_stolen = (int(field) for field in fields)
    return (user + nice + system + sum(interrupts_and_stolen)) / _TICK


def memory_of(pids: Iterable[int]) -> Memory:
    """Return the memory that these processes use together."""
    found = {"Rss": 0, "Pss": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        for line in lines:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] += int(rest.split()[0])
    return Memory(found["Rss"] / 1024, found["Pss"] / 1024)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/<pid>/stat`` behind the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return None
