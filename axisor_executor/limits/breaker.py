"""Circuit breakers: calls that can't succeed are not made, by any process, until a probe has shown that they can.

A plugin that fails whatever it is asked is left alone by the same rules.

Why none off the shelf: pybreaker 1.4 makes every call under the breaker's lock (eight calls of 50 ms through one
breaker take 400 ms), its Redis storage costs two commands for each healthy call, two instances in the half-open state
both let a call through, and the time between probes does not grow.

Here a healthy call costs a few look-ups in this process' memory and twice a second one read for all circuits together.
Failures in a row are counted by each process; Redis hears of openings, probes and closings. While it is away, each
process goes on with what it knows.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cachetools import LRUCache

from axisor_executor.automation import Lane
from axisor_executor.errors import CircuitOpen, Rejected
from axisor_executor.limits.board import LANES, Board, Door, Opening
from axisor_executor.limits.circuit_states import CircuitState, alert, state_of, trouble, what, whose
from axisor_executor.limits.circuits import (
    DAY,
    FORBIDDEN,
    MEMORY_SECONDS,
    AccountRef,
    Circuit,
    Kind,
    Patience,
    PluginRef,
    Streak,
    caller_of,
    passed,
    verdict,
)
from axisor_executor.limits.open_circuit import OpenCircuit
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.logs import message_of, say
from axisor_executor.shared import Shared

if TYPE_CHECKING:
    from axisor_executor.settings import Settings

__all__ = ["AccountRef", "Breakers", "CircuitState", "PluginRef"]

LOOK_SECONDS = 0.5
"""How long a process goes by what it knows before it looks again at what the others found out."""
LIMIT_FACTOR = 12
"""How many times as long as its first wait a refused account, or a plugin, waits for a probe at most."""
_LEAST_WAIT = 0.1
_LONGEST_REASON = 200
_STREAKS = 10_000


class Breakers:
    """The breakers of one process. One instance serves all its threads; no call waits in it for another.

    Args:
        shared: Redis, in which the processes tell each other.
        settings: the limits.
        tell: hands an alert on; called once for each opening over all processes.
        clock: monotonic, in seconds.
        now: seconds since 1970.
    """

    def __init__(
        self,
        shared: Shared,
        settings: Settings,
        tell: Callable[[Alert], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._board = Board(shared)
        self._tell = tell
        self._clock = clock
        self._now = now
        self._limits: dict[Kind, int] = {
            "exchange": settings.breaker_failures,
            "account": settings.breaker_refusals,
            "plugin": settings.plugin_breaker_failures,
        }
        self._memory = {**MEMORY_SECONDS, "plugin": settings.plugin_breaker_window_seconds}
        account_first, plugin_first = settings.breaker_account_probe_seconds, settings.plugin_breaker_probe_seconds
        self._patience: dict[Kind, Patience] = {
            "exchange": Patience(settings.breaker_probe_seconds, settings.breaker_probe_limit_seconds),
            "account": Patience(account_first, account_first * LIMIT_FACTOR),
            "plugin": Patience(plugin_first, plugin_first * LIMIT_FACTOR),
        }
        call = settings.request_timeout_seconds + 1.0  # a process that dies with its probe blocks no longer
        self._lease: dict[Kind, float] = {
            "exchange": call,
            "account": call,
            "plugin": 2 * settings.decide_seconds + call,  # it reads the config, the account is opened, it decides
        }
        self._lock = threading.Lock()
        self._open: dict[str, OpenCircuit] = {}
        self._streaks: LRUCache[str, Streak] = LRUCache(_STREAKS)
        self._unclosed: set[str] = set()
        self._version = ""
        self._look_at = 0.0

    # -- before and after a call

    def check(self, exchange: str, account: AccountRef | None, lane: Lane, *, mutating: bool) -> None:
        """Let a call through, or hold it back. The thread that is let through as a probe must report how it ended.

        Args:
            exchange: slug and host, which is what can be away.
            account: whose keys sign; ``None`` for public calls.
            lane: of the run; ``protect`` may probe more often.
            mutating: whether the call changes something.

        Raises:
            CircuitOpen: it is held back.
        """
        self._look()
        if not self._open:
            return
        probing: list[OpenCircuit] = []
        for circuit in passed(exchange, account, mutating=mutating):
            held = self._open.get(circuit.name)
            if held is None:
                continue
            if account is not None and held.opening.fingerprint not in (None, account.digest):
                self._close(held, "its credentials were changed")
                continue
            try:
                if self._takes_probe(held, lane):
                    probing.append(held)
            except CircuitOpen:
                if lane == "protect" and held.opening.is_forbidden:
                    continue  # another call's missing right must not disarm a guard
                for one in probing:
                    self._release(one)
                raise

    def report(
        self, exchange: str, account: AccountRef | None, *, mutating: bool, failure: BaseException | None
    ) -> None:
        """Hear how a call ended that was let through; ``failure`` may also be what kept it from being made."""
        if failure is None and not self._open and not self._streaks:
            return  # nearly always: where nothing was wrong, a success says nothing new
        is_open = False
        for circuit in passed(exchange, account, mutating=mutating):
            good = verdict(circuit, failure, mutating=mutating)
            held = self._open.get(circuit.name)
            if held is not None:
                is_open = is_open or good is False
                # Who is not the probe began before the circuit opened, and says nothing new.
                if held.prober == threading.get_ident():
                    self._probed(held, good, failure)
            elif good:
                if circuit.name in self._streaks:
                    with self._lock:
                        self._streaks.pop(circuit.name, None)
            # What a wider circuit is open for does not count for a narrower one.
            elif good is False and not is_open and self._is_too_much(circuit, caller_of(circuit, account)):
                self._call_failed(circuit, account, failure)
                is_open = True

    def withdraw(self, exchange: str, account: AccountRef | None, *, mutating: bool) -> None:
        """Hear that a call that was let through is not made: as a probe it is left to others."""
        for circuit in passed(exchange, account, mutating=mutating):
            held = self._open.get(circuit.name)
            if held is not None and held.prober == threading.get_ident():
                self._release(held)

    # -- before and after a plugin is asked

    def check_plugin(self, plugin: PluginRef, lane: Lane) -> None:
        """Let a plugin be asked, or hold it back; as :meth:`check` does a call.

        Raises:
            CircuitOpen: it is held back.
        """
        self._look()
        held = self._open.get(plugin.circuit.name)
        if held is None:
            return
        if held.opening.fingerprint != plugin.version:
            self._close(held, f"version {plugin.version} is there")
            return
        self._takes_probe(held, lane)

    def report_plugin(self, plugin: PluginRef, good: bool | None, failure: BaseException | None = None) -> None:
        """Hear whether a plugin that was let through did what it must, or that nothing shows it (``None``)."""
        circuit = plugin.circuit
        held = self._open.get(circuit.name)
        if held is not None:
            if held.prober == threading.get_ident():
                self._probed(held, good, failure)
        elif good:
            if circuit.name in self._streaks:
                with self._lock:
                    self._forget_streaks(circuit)
        elif good is False and self._is_too_much(circuit, plugin.automation_id):
            opening = self._opening(circuit, failure, fingerprint=plugin.version)
            self._opened(opening, alert(opening, None))

    # -- for people

    @property
    def has_open(self) -> bool:
        """Whether this process knows of any open circuit."""
        return bool(self._open)

    def states(self) -> list[CircuitState]:
        """Return the circuits that are open, as all processes know them."""
        self._look(at_once=True)
        with self._lock:
            openings = [held.opening for held in self._open.values()]
            local = {name: self._own_doors(held) for name, held in self._open.items()}
        doors = (self._board.doors(local) or local) if local else {}
        return [state_of(opening, doors[opening.name]) for opening in sorted(openings, key=lambda one: one.name)]

    def reset(self, subject: str) -> list[CircuitState]:
        """Close the circuits of an exchange, account or plugin by hand, in all processes; return what they were."""
        found = [state for state in self.states() if state.subject == subject]
        for state in found:
            held = self._open.get(Circuit(state.kind, state.subject, state.changes_only).name)
            if held is not None:
                self._close(held, "closed by hand")
        return found

    # -- transitions

    def _is_too_much(self, circuit: Circuit, caller: str) -> bool:
        kind = circuit.kind
        with self._lock:
            streak = self._streaks.get(circuit.name)
            if streak is None:
                streak = self._streaks[circuit.name] = Streak(kind, self._limits[kind], self._memory[kind])
            return streak.add(caller, self._clock())

    def _call_failed(self, circuit: Circuit, account: AccountRef | None, failure: BaseException | None) -> None:
        owner = account if circuit.kind == "account" else None
        is_forbidden = isinstance(failure, Rejected) and failure.code == FORBIDDEN
        opening = self._opening(circuit, failure, fingerprint=owner.digest if owner else None)
        opening = replace(opening, account_name=owner.name if owner else None, is_forbidden=is_forbidden)
        is_told = owner is not None and circuit._replace(changes_only=not circuit.changes_only).name in self._open
        self._opened(opening, None if is_told else alert(opening, account))

    def _opening(self, circuit: Circuit, failure: BaseException | None, *, fingerprint: str | None) -> Opening:
        moment = self._now()
        return Opening(
            kind=circuit.kind,
            subject=circuit.subject,
            changes_only=circuit.changes_only,
            reason="" if failure is None else message_of(failure, _LONGEST_REASON),
            since=moment,
            probed_at=moment,
            fingerprint=fingerprint,
        )

    def _opened(self, opening: Opening, told: Alert | None) -> None:
        circuit = opening.circuit
        with self._lock:
            if circuit.name in self._open:
                return
            self._open[circuit.name] = held = OpenCircuit(opening, self._moments(opening), self._moments(opening))
            self._forget_streaks(circuit)
        first = self._board.open(opening, self._waits(opening))
        held.is_shared = first is not None
        held.wait_until(self._moments(opening), self._ask_by(held))
        if first is False:
            return  # another process was first, and has told
        wait = self._patience[opening.kind].wait(0, "default")
        say.error(
            f"{trouble(opening)}: {what(opening)} are held back, the next probe goes in {wait:g} s ({opening.reason})"
        )
        if told is not None:
            self._tell(told)

    def _takes_probe(self, held: OpenCircuit, lane: Lane) -> bool:
        """Return whether the thread has become the probe; it may have been before.

        Raises:
            CircuitOpen: another one is, or it is too early.
        """
        now, thread, lease = self._clock(), threading.get_ident(), self._lease[held.opening.kind]
        with self._lock:
            if held.prober == thread and now < held.probing_until:
                return False
            if now < held.ask_at[lane]:
                raise self._held_back(held, lane, held.free_at[lane] - now)
            held.ask_at[lane] = now + LOOK_SECONDS  # one thread asks for all
        longest = max(self._patience[held.opening.kind].limit, lease)
        left = self._board.probe(held.opening.name, lane, lease, longest) if held.is_shared else None
        with self._lock:
            if left is None:
                left = max(held.free_at[lane] - now, 0.0)
            if left < 0:
                self._open.pop(held.opening.name, None)
                return False
            if left == 0:
                held.wait_until(dict.fromkeys(LANES, now + lease))
                held.prober, held.probing_until = thread, now + lease
                return True
            held.free_at[lane] = now + left
            held.ask_at[lane] = now + min(left, LOOK_SECONDS)
            raise self._held_back(held, lane, left)

    def _probed(self, held: OpenCircuit, good: bool | None, failure: BaseException | None) -> None:
        if good is None:
            self._release(held)
        elif good:
            self._close(held, "a probe went through")
        else:
            self._failed_again(held, failure)

    def _failed_again(self, held: OpenCircuit, failure: BaseException | None) -> None:
        held.opening = opening = replace(
            held.opening,
            failed_probes=held.opening.failed_probes + 1,
            probed_at=self._now(),
            reason="" if failure is None else message_of(failure, _LONGEST_REASON),
        )
        with self._lock:
            held.wait_until(self._moments(opening), self._ask_by(held))
        if held.is_shared and self._board.again(opening, self._waits(opening)) is False:
            with self._lock:
                self._open.pop(opening.name, None)  # somebody has closed it by hand
            return
        wait = self._patience[opening.kind].wait(opening.failed_probes, "default")
        say.info(f"{trouble(opening)}: a probe failed, the next goes in {wait:g} s ({opening.reason})", mark="⏳")

    def _release(self, held: OpenCircuit) -> None:
        with self._lock:
            held.wait_until(dict.fromkeys(LANES, self._clock()))
        if held.is_shared:
            self._board.release(held.opening.name)

    def _close(self, held: OpenCircuit, why: str) -> None:
        name = held.opening.name
        with self._lock:
            if self._open.get(name) is not held:
                return
            del self._open[name]
            self._forget_streaks(held.opening.circuit)
        closed = self._board.close(name) if held.is_shared else None
        if closed is None and held.is_shared:
            self._unclosed.add(name)
        if closed is not False:
            seconds = max(self._now() - held.opening.since, 0.0)
            say.success(f"{whose(held.opening)}: {what(held.opening)} go through again after {seconds:.0f} s ({why})")

    # -- what the others know

    def _look(self, *, at_once: bool = False) -> None:
        """Bring this process up to date, twice a second."""
        if self._clock() < self._look_at and not at_once:
            return
        with self._lock:
            if self._clock() < self._look_at and not at_once:
                return
            self._look_at = self._clock() + LOOK_SECONDS
            owed = list(self._unclosed)
            unshared = [held for held in self._open.values() if not held.is_shared]
        for name in owed:
            if self._board.close(name) is not None:
                self._unclosed.discard(name)
        for held in unshared:
            held.is_shared = self._board.open(held.opening, self._waits(held.opening)) is not None
        reading = self._board.read(self._version)
        if reading is not None and reading.openings is not None:
            self._adopt(reading.openings)
            self._version = reading.version

    def _adopt(self, openings: dict[str, Opening]) -> None:
        for name in [name for name, one in openings.items() if self._is_forgotten(one)]:
            del openings[name]
            self._board.close(name)
        with self._lock:
            for name in [name for name, held in self._open.items() if held.is_shared and name not in openings]:
                del self._open[name]
            for name, opening in openings.items():
                held = self._open.get(name)
                if held is not None:
                    held.opening = opening
                elif name not in self._unclosed:
                    at_once = dict.fromkeys(LANES, 0.0)
                    self._open[name] = OpenCircuit(opening, dict(at_once), at_once, is_shared=True)

    # -- small things

    def _is_forgotten(self, opening: Opening) -> bool:
        """Whether it is never probed again: its automations or credentials are gone."""
        return self._now() - opening.probed_at > max(DAY, 2 * self._waits(opening)["default"])

    def _waits(self, opening: Opening) -> dict[Lane, float]:
        patience = self._patience[opening.kind]
        return {lane: patience.wait(opening.failed_probes, lane) for lane in LANES}

    def _moments(self, opening: Opening) -> dict[Lane, float]:
        now = self._clock()
        return {lane: now + wait for lane, wait in self._waits(opening).items()}

    def _ask_by(self, held: OpenCircuit) -> float:
        """Return when to ask again, whatever is known here: others may have given the right to probe back."""
        return self._clock() + LOOK_SECONDS if held.is_shared else math.inf

    def _own_doors(self, held: OpenCircuit) -> dict[Lane, Door]:
        now = self._clock()
        probing = held.prober is not None and now < held.probing_until
        return {lane: Door(probing, max(held.free_at[lane] - now, 0.0)) for lane in LANES}

    def _forget_streaks(self, circuit: Circuit) -> None:
        for changes_only in (False, True):
            self._streaks.pop(Circuit(circuit.kind, circuit.subject, changes_only).name, None)

    def _held_back(self, held: OpenCircuit, lane: Lane, left: float) -> CircuitOpen:
        opening = held.opening
        # A probe that is under way ends sooner than it may last.
        wait = max(min(left, self._patience[opening.kind].wait(opening.failed_probes, lane)), _LEAST_WAIT)
        of_account = opening.kind == "account"
        return CircuitOpen(
            f"{trouble(opening)}: {what(opening)} are held back, the next probe goes in {wait:.1f} s",
            code="account_circuit_open"
            if of_account
            else "plugin_circuit_open"
            if opening.kind == "plugin"
            else "exchange_circuit_open",
            retry_after=wait,
            account_id=opening.subject if of_account else None,
            account_name=opening.account_name,
        )
