"""Which circuits are open, and who may probe: what all processes of an installation share in Redis.

A closed circuit leaves nothing there. Of an open one there is a record in a hash, and a gate for each lane: a key that
expires when that lane may probe. Waiting times are counted by Redis alone, so the processes' clocks need not agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

from pydantic import Field, TypeAdapter, ValidationError

from axisor_executor.automation import Lane
from axisor_executor.limits.circuits import Circuit, Kind
from axisor_executor.observe.logs import say
from axisor_executor.shared import Shared

LANES: tuple[Lane, Lane] = ("protect", "default")
Waits = Mapping[Lane, float]
"""Seconds until each lane may probe."""
# What a record of ours can hold, and what can be reckoned with: who can write to Redis may have written it.
_Instant = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of an open circuit. Instants are in seconds since 1970, by the clock of whoever wrote them.

    ``fingerprint``: the digest of the account's credentials, or the plugin's version, for which it was opened; others
    start afresh. ``is_forbidden``: it was opened by a 403, which says what these keys may not do, not that nothing is
    left to them.
    """

    kind: Kind
    subject: str
    changes_only: bool
    reason: str
    since: _Instant
    probed_at: _Instant
    failed_probes: _Count = 0
    account_name: str | None = None
    fingerprint: str | None = None
    is_forbidden: bool = False

    @property
    def circuit(self) -> Circuit:
        """Which circuit it is."""
        return Circuit(self.kind, self.subject, self.changes_only)

    @property
    def name(self) -> str:
        """The circuit's name in Redis."""
        return self.circuit.name


_OPENING = TypeAdapter(Opening)


class Reading(NamedTuple):
    """The board as it is; ``openings`` is ``None`` where it has not changed since the version that was known."""

    version: str
    openings: dict[str, Opening] | None


class Door(NamedTuple):
    """The gate of one lane: whether a probe is under way, and in how many seconds the next may go."""

    probing: bool
    seconds: float


# KEYS: hash, version, gate of each lane. ARGV: name, then what the script needs.
_OPEN = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('SET', KEYS[3], 'wait', 'PX', ARGV[4])
redis.call('SET', KEYS[4], 'wait', 'PX', ARGV[5])
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""
_PROBE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return -1 end
local left = redis.call('PTTL', KEYS[tonumber(ARGV[2])])
if left > 0 and left <= tonumber(ARGV[4]) then return left end
redis.call('SET', KEYS[3], 'probe', 'PX', ARGV[3])
redis.call('SET', KEYS[4], 'probe', 'PX', ARGV[3])
return 0
"""
_AGAIN = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[3], 'wait', 'PX', ARGV[4])
redis.call('SET', KEYS[4], 'wait', 'PX', ARGV[5])
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""
_CLOSE = """
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('SET', KEYS[2], ARGV[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


class Board:
    """The shared state of all circuits. Every method returns ``None`` while Redis is away."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._hash = shared.key("breakers")
        self._version = shared.key("breakers", "version")

    def open(self, opening: Opening, waits: Waits) -> bool | None:
        """Open a circuit; return whether it was not open yet."""
        return self._done(_OPEN, opening.name, _written(opening), uuid4().hex, *_milliseconds(waits))

    def probe(self, name: str, lane: Lane, lease: float, longest: float) -> float | None:
        """Take the right to probe for ``lease`` seconds.

        A gate that would stay shut for more than ``longest`` seconds is none of ours any more: Redis's clock was set
        back since.

        Returns:
            0: it was given. More: the seconds until the lane may probe. Less: the circuit is closed.
        """
        left = self._run(_PROBE, name, 3 + LANES.index(lane), int(lease * 1000), int(longest * 1000))
        return None if left is None else left / 1000

    def again(self, opening: Opening, waits: Waits) -> bool | None:
        """Keep a circuit open behind a probe that failed; return ``False`` where somebody has closed it."""
        return self._done(_AGAIN, opening.name, _written(opening), uuid4().hex, *_milliseconds(waits))

    def release(self, name: str) -> None:
        """Give back the right to probe, unused."""
        self._shared.ask(lambda client: client.delete(*self._gates(name)))

    def close(self, name: str) -> bool | None:
        """Close a circuit; return whether it was open."""
        return self._done(_CLOSE, name, uuid4().hex)

    def read(self, known: str) -> Reading | None:
        """Return what is open, unless that is as it was at the version ``known``."""
        # The version first: what is written between the two reads is read again the next time.
        version = self._shared.ask(lambda client: _text(client.get(self._version)))
        if version is None or version == known:
            return None if version is None else Reading(version, None)
        rows = self._shared.ask(lambda client: client.hgetall(self._hash))
        if rows is None:
            return None
        return Reading(version, {one.name: one for name, row in rows.items() if (one := _read(name, row)) is not None})

    def doors(self, names: Iterable[str]) -> dict[str, dict[Lane, Door]] | None:
        """Return the gates of circuits."""
        wanted = list(names)

        def look(client: Any) -> list[Any]:
            with client.pipeline(transaction=False) as pipe:
                for name in wanted:
                    for gate in self._gates(name):
                        pipe.get(gate).pttl(gate)
                return list(pipe.execute())

        found = self._shared.ask(look)
        if found is None:
            return None
        values = iter(found)
        return {
            name: {lane: Door(_text(next(values)) == "probe", max(next(values), 0) / 1000) for lane in LANES}
            for name in wanted
        }

    def _run(self, script: str, name: str, *arguments: str | int) -> int | None:
        keys = (self._hash, self._version, *self._gates(name))
        return self._shared.ask(lambda client: int(client.eval(script, len(keys), *keys, name, *arguments)))

    def _done(self, script: str, name: str, *arguments: str | int) -> bool | None:
        done = self._run(script, name, *arguments)
        return None if done is None else done == 1

    def _gates(self, name: str) -> list[str]:
        return [self._shared.key("breakers", "gate", name, lane) for lane in LANES]


def _written(opening: Opening) -> str:
    return json.dumps(asdict(opening))


def _read(name: bytes, row: bytes) -> Opening | None:
    """Return a record; one that can't be read (another version's, somebody's own) holds no call back.

    Nor does one that stands under another's name: who probes, closes or resets it would not find it there.
    """
    try:
        opening = _OPENING.validate_json(row)
    except ValidationError:
        opening = None
    if opening is None or opening.name != _text(name):
        say.debug("A breaker's record in Redis can't be read")
        return None
    return opening


def _milliseconds(waits: Waits) -> list[int]:
    return [max(int(waits[lane] * 1000), 1) for lane in LANES]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")
