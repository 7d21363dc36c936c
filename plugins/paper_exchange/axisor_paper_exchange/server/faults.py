"""Faults: what goes wrong between the exchange and its client, on request."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

__all__ = ["Fault", "FaultKind", "Faults", "kinds"]

FaultKind = Literal[
    "latency",
    "stall",
    "drop_before",
    "drop_after",
    "act_late",
    "status_before",
    "status_after",
    "rate_limit",
    "malformed",
    "truncated",
    "wrong_content_type",
    "slow_bytes",
]
kinds: tuple[str, ...] = get_args(FaultKind)


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault and the requests that it befalls; durations in seconds."""

    id: str
    kind: FaultKind
    method: str | None = None
    path: str | None = None
    """With `method`: the exact path; alone: a part of it."""
    account: str | None = None
    mutating: bool | None = None
    rate: float = 1.0
    seed: int | None = None
    count: int | None = None
    """How often it may still strike, None without end."""
    seconds: float = 0.0
    jitter: float = 0.0
    status: int = 503
    retry_after: int | None = None
    struck: int = 0
    random: Random

    def befalls(self, method: str, path: str, account: str | None) -> bool:
        """Tell whether the fault strikes a request; counts the strike."""
        if self.count == 0 or (self.account is not None and self.account != account):
            return False
        if self.mutating is not None and self.mutating != (method != "GET"):
            return False
        if self.path is not None and not self._on(method, path):
            return False
        if self.rate < 1 and self.random.random() >= self.rate:
            return False
        if self.count is not None:
            self.count -= 1
        self.struck += 1
        return True

    def duration(self) -> float:
        """Return how long this strike takes: `seconds` and up to `jitter` more."""
        return self.seconds + self.random.random() * self.jitter

    def json(self) -> dict[str, Any]:
        """Return the fault as `/paper/faults` shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "route": f"{self.method} {self.path}" if self.method else self.path,
            "account": self.account,
            "mutating": self.mutating,
            "rate": self.rate,
            "seed": self.seed,
            "count": self.count,
            "seconds": self.seconds,
            "jitter": self.jitter,
            "status": self.status,
            "retryAfter": self.retry_after,
            "struck": self.struck,
        }

    def _on(self, method: str, path: str) -> bool:
        assert self.path is not None
        return (method, path) == (self.method, self.path) if self.method else self.path in path


class Faults:
    """The faults that are set, in the order in which they were; the first that befalls a request has it."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, kind: FaultKind, *, seed: int | None, **values: Any) -> Fault:
        """Set a fault; the other arguments are the fields of `Fault`."""
        self._last += 1
        random = Random(seed)  # noqa: S311 - chance of a simulation, not a secret
        fault = Fault(id=f"fault-{self._last}", kind=kind, seed=seed, random=random, **values)
        self._faults[fault.id] = fault
        return fault

    def all(self) -> list[Fault]:
        """Return the faults that are set, spent ones too."""
        return list(self._faults.values())

    def remove(self, fault_id: str) -> bool:
        """Remove a fault; False when there is none of that id."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def strike(self, method: str, path: str, account: str | None) -> Fault | None:
        """Return the fault that befalls a request, None when it goes through unharmed."""
        for fault in self._faults.values():
            if fault.befalls(method, path, account):
                return fault
        return None
