"""Deciders: a plugin that hangs or breaks fails its own jobs, by name, and costs nobody else anything."""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import gc
import io
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from axisor_executor.errors import AxisorError, LeaseLost, PluginError, Refused, Unavailable
from axisor_executor.plugins import Found
from axisor_executor.run.deciding import MOST_HUNG, Deciders
from axisor_executor.run.stopping import Stoppable
from tests.harness.waiting import until


def found(name: str) -> Found:
    return Found(name, f"axisor-{name}", "1.2", dict)


HANGING, OTHER = found("hanging"), found("other")


class Hang:
    """Calls that come back when they are let go."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun = 0

    def __call__(self) -> str:
        self.begun += 1
        self.release.wait(30)
        return "late"


@pytest.fixture
def hang() -> Iterator[Hang]:
    made = Hang()
    yield made
    made.release.set()


@pytest.fixture
def deciders() -> Deciders:
    return Deciders()


def hung_out(deciders: Deciders, hang: Hang, plugin: Found = HANGING) -> None:
    for _ in range(MOST_HUNG):
        with pytest.raises(PluginError, match="took longer"):
            deciders.ask(plugin, "decide()", hang, 0.01)


class TestAnswers:
    def test_what_it_returns(self, deciders: Deciders) -> None:
        value = object()
        assert deciders.ask(OTHER, "decide()", lambda: value, 5) is value

    def test_an_error_that_is_returned_is_not_raised(self, deciders: Deciders) -> None:
        error = ValueError("no")
        assert deciders.ask(OTHER, "decide()", lambda: error, 5) is error

    def test_it_runs_in_the_callers_context(self, deciders: Deciders) -> None:
        variable = contextvars.ContextVar("variable", default="unset")
        variable.set("the caller's")
        assert deciders.ask(OTHER, "decide()", variable.get, 5) == "the caller's"

    def test_what_it_changes_there_stays_its_own(self, deciders: Deciders) -> None:
        """A decimal context is shared by reference: its precision would be the core's from then on."""
        variable = contextvars.ContextVar("variable", default="unset")
        before = str(Decimal(1) / 3)

        def call() -> str:
            variable.set("the plugin's")
            decimal.getcontext().prec = 3
            decimal.getcontext().traps[decimal.Inexact] = True
            return "done"

        assert deciders.ask(OTHER, "decide()", call, 5) == "done"
        assert (variable.get(), str(Decimal(1) / 3)) == ("unset", before)
        again = deciders.ask(OTHER, "decide()", lambda: (variable.get(), str(Decimal(1) / 3)), 5)
        assert again == ("unset", before)

    def test_threads_are_reused(self, deciders: Deciders) -> None:
        names = {deciders.ask(OTHER, "decide()", threading.get_ident, 5) for _ in range(20)}
        assert len(names) == 1

    def test_a_slow_one_does_not_hold_another_up(self, deciders: Deciders, hang: Hang) -> None:
        thread = threading.Thread(target=lambda: deciders.ask(HANGING, "decide()", hang, 20))
        thread.start()
        assert until(lambda: hang.begun)
        assert deciders.ask(OTHER, "decide()", lambda: "quick", 5) == "quick"
        hang.release.set()
        thread.join(10)
        assert not thread.is_alive()


class TestForking:
    @pytest.mark.parametrize("ends", [contextlib.nullcontext, partial(sys.exit, 0), partial(divmod, 1, 0)], ids=str)
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_child_ends_where_it_comes_back(self, deciders: Deciders, ends: Callable[[], object]) -> None:
        def call() -> int:
            child = os.fork()
            if child == 0:
                ends()
            return child

        child = deciders.ask(OTHER, "decide()", call, 5)
        ended: list[int] = []
        try:
            assert until(lambda: ended or ended.extend(_status_of(child)) or ended)
            assert ended[0] > 0
        finally:
            if not ended:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        assert deciders.ask(OTHER, "decide()", lambda: "still here", 5) == "still here"


def _status_of(child: int) -> list[int]:
    found, status = os.waitpid(child, os.WNOHANG)
    return [os.waitstatus_to_exitcode(status)] if found else []


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit("no words")


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            ValueError("broken"),
            KeyError("broken"),
            StopIteration("broken"),
            TimeoutError("broken"),
            CancelledError("broken"),
            SystemExit("broken"),
            KeyboardInterrupt("broken"),
            GeneratorExit("broken"),
            BaseException("broken"),
            RecursionError("broken"),
            MemoryError("broken"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_any_error_is_the_plugins_and_names_it(self, deciders: Deciders, error: BaseException) -> None:
        def call() -> None:
            raise error

        with pytest.raises(PluginError) as caught:
            deciders.ask(OTHER, "decide()", call, 5)
        assert str(caught.value).startswith(f"axisor-other 1.2 [other]: {type(error).__name__}: ")
        assert "broken" in str(caught.value)
        assert caught.value.code == "plugin_error"
        assert deciders.ask(OTHER, "decide()", lambda: "still here", 5) == "still here"

    def test_ours_pass_as_they_are(self, deciders: Deciders) -> None:
        error = Refused("not today", code="own_code")

        def call() -> None:
            raise error

        with pytest.raises(AxisorError) as caught:
            deciders.ask(OTHER, "decide()", call, 5)
        assert caught.value is error

    def test_a_long_message_is_cut_to_one_line(self, deciders: Deciders) -> None:
        def call() -> None:
            raise ValueError("a\nb\x1b[31m" + "x" * 100_000)

        with pytest.raises(PluginError) as caught:
            deciders.ask(OTHER, "decide()", call, 5)
        assert len(str(caught.value)) < 700
        assert str(caught.value).isprintable()

    def test_an_error_whose_message_breaks_too(self, deciders: Deciders) -> None:
        def call() -> None:
            raise Unspeakable

        with pytest.raises(PluginError, match=r"^axisor-other 1\.2 \[other\]: Unspeakable: "):
            deciders.ask(OTHER, "decide()", call, 5)

    def test_an_error_whose_message_hangs_costs_the_time_that_it_has(self, deciders: Deciders, hang: Hang) -> None:
        class Endless(Exception):
            def __str__(self) -> str:
                return hang()

        def call() -> None:
            raise Endless

        with pytest.raises(PluginError) as caught:
            deciders.ask(OTHER, "decide()", call, 0.05)
        assert caught.value.code == "plugin_timeout"

    def test_one_of_ours_that_only_the_core_raises_is_its_own_fault(self, deciders: Deciders) -> None:
        def call() -> None:
            raise LeaseLost("give it up")

        with pytest.raises(PluginError) as caught:
            deciders.ask(OTHER, "decide()", call, 5)
        assert str(caught.value) == (
            "axisor-other 1.2 [other]: decide() raised LeaseLost, which only the core raises: give it up"
        )

    def test_one_of_ours_that_breaks_when_it_is_looked_at(self, deciders: Deciders) -> None:
        class Trap(Refused):
            def __getattribute__(self, name: str) -> Any:
                if name == "message":
                    raise SystemExit("don't look")
                return super().__getattribute__(name)

        def call() -> None:
            raise Trap("m")

        with pytest.raises(PluginError, match=r"^axisor-other 1\.2 \[other\]: Trap \(it can't be told: SystemExit\)"):
            deciders.ask(OTHER, "decide()", call, 5)

    def test_what_the_core_raised_below_it_passes_as_it_is(self, deciders: Deciders) -> None:
        error = ConnectionError("the database is away")

        def call() -> None:
            raise error

        with pytest.raises(ConnectionError) as caught:
            deciders.ask(OTHER, "decide()", call, 5, is_ours=lambda one: one is error)
        assert caught.value is error


class TestMeanwhile:
    """What the caller's thread does while the plugin is at it."""

    def test_it_is_done_at_the_same_time(self, deciders: Deciders) -> None:
        met = threading.Barrier(2, timeout=10)
        assert deciders.ask(OTHER, "decide()", lambda: met.wait() >= 0, 10, meanwhile=met.wait)

    def test_it_is_done_in_the_callers_thread(self, deciders: Deciders) -> None:
        threads: list[threading.Thread] = []
        deciders.ask(OTHER, "decide()", lambda: None, 5, meanwhile=lambda: threads.append(threading.current_thread()))
        assert threads == [threading.current_thread()]

    def test_its_error_waits_for_the_plugin(self, deciders: Deciders) -> None:
        error, over = Unavailable("away"), threading.Event()
        began = threading.Event()

        def fail() -> None:
            began.set()
            raise error

        def decide() -> None:
            assert began.wait(10)
            over.set()

        with pytest.raises(Unavailable) as caught:
            deciders.ask(OTHER, "decide()", decide, 10, meanwhile=fail)
        assert caught.value is error
        assert over.is_set()

    def test_the_plugins_own_error_goes_first(self, deciders: Deciders) -> None:
        def fail() -> None:
            raise Unavailable("away")

        def decide() -> None:
            raise Refused("no")

        with pytest.raises(Refused):
            deciders.ask(OTHER, "decide()", decide, 5, meanwhile=fail)

    def test_its_error_keeps_nothing(self, deciders: Deciders) -> None:
        """Where an exchange is away there are thousands of them, each with what the handler has read."""

        def read(_: Hang) -> None:
            pass

        def fail() -> None:
            raise Unavailable("away")

        kept = Hang()
        known = weakref.ref(kept)
        gc.disable()
        try:
            with contextlib.suppress(Unavailable):
                deciders.ask(OTHER, "decide()", partial(read, kept), 5, meanwhile=fail)
            del kept
            assert until(lambda: known() is None)
        finally:
            gc.enable()

    def test_its_time_counts(self, deciders: Deciders, hang: Hang) -> None:
        """Else a plugin would have as long again as the exchange takes."""
        with pytest.raises(PluginError, match=r"took longer than 0\.05 s"):
            deciders.ask(HANGING, "decide()", hang, 0.05, meanwhile=lambda: hang.release.wait(0.06))


class TestHanging:
    def test_the_caller_is_free_when_the_time_is_over(self, deciders: Deciders, hang: Hang) -> None:
        with pytest.raises(PluginError) as caught:
            deciders.ask(HANGING, "reading the config", hang, 0.05)
        assert caught.value.code == "plugin_timeout"
        assert str(caught.value) == "axisor-hanging 1.2 [hanging]: reading the config took longer than 0.05 s"
        assert not hang.release.is_set()

    def test_after_some_it_is_refused_at_once(self, deciders: Deciders, hang: Hang) -> None:
        hung_out(deciders, hang)
        with pytest.raises(PluginError, match="not asked again") as caught:
            deciders.ask(HANGING, "decide()", hang, 30)
        assert caught.value.code == "plugin_timeout"
        assert str(caught.value).startswith("axisor-hanging 1.2 [hanging]: ")
        assert until(lambda: hang.begun == MOST_HUNG)

    def test_while_the_core_reads_for_it_the_fault_is_not_its_own(self, deciders: Deciders, hang: Hang) -> None:
        """An exchange that is slow for some must not stop a guard's plugin for all."""
        for _ in range(MOST_HUNG + 1):
            with pytest.raises(
                Unavailable, match=r"^What axisor-hanging 1\.2 \[hanging\] reads took longer than 0\.05 s"
            ):
                deciders.ask(HANGING, "decide()", hang, 0.05, is_reading=lambda: True)
        assert deciders.ask(HANGING, "decide()", lambda: "fine", 5) == "fine"

    def test_one_that_hangs_behind_its_read_is_its_own(self, deciders: Deciders, hang: Hang) -> None:
        reading = [True]
        for _ in range(MOST_HUNG):
            with pytest.raises(Unavailable):
                deciders.ask(HANGING, "decide()", hang, 0.05, is_reading=lambda: bool(reading))
        reading.clear()
        with pytest.raises(PluginError, match="not asked again"):
            deciders.ask(HANGING, "decide()", hang, 30)

    def test_others_are_not_affected(self, deciders: Deciders, hang: Hang) -> None:
        hung_out(deciders, hang)
        assert deciders.ask(OTHER, "decide()", lambda: "fine", 5) == "fine"

    def test_it_comes_back_when_they_return(self, deciders: Deciders, hang: Hang) -> None:
        hung_out(deciders, hang)
        hang.release.set()

        def asked_again() -> bool:
            try:
                return deciders.ask(HANGING, "decide()", lambda: True, 5)
            except PluginError:
                return False

        assert until(asked_again)

    def test_what_one_returns_late_is_nobody_elses_answer(self, deciders: Deciders, hang: Hang) -> None:
        hung_out(deciders, hang)
        hang.release.set()
        assert [deciders.ask(OTHER, "decide()", lambda: "own", 5) for _ in range(10)] == ["own"] * 10

    def test_threads_that_come_back_are_used_again(self, deciders: Deciders) -> None:
        """A plugin that is always too slow must not cost a thread each time."""

        def threads() -> int:
            return sum(thread.name == "axisor-decide" for thread in threading.enumerate())

        before = threads()
        for _ in range(10):
            slow = Hang()
            with pytest.raises(PluginError):
                deciders.ask(HANGING, "decide()", slow, 0.01)
            slow.release.set()
            assert until(lambda: not deciders._hung[HANGING.display_name])
        assert threads() - before <= 2


class TestStopping:
    """An endless loop of a plugin's own is stopped; what waits elsewhere is given up, and no lock is left taken."""

    SPINNING = Found("spinning", "axisor-spinning", "1.2", dict, module=__name__)

    def test_an_endless_loop_is_stopped_and_its_thread_ends(self, deciders: Deciders) -> None:
        threads: list[threading.Thread] = []

        def spin() -> None:
            threads.append(threading.current_thread())
            while True:
                pass

        with pytest.raises(PluginError, match="took longer") as caught:
            deciders.ask(self.SPINNING, "decide()", spin, 0.05, meanwhile=lambda: until(lambda: threads))
        assert caught.value.code == "plugin_timeout"
        threads[0].join(10)
        assert not threads[0].is_alive()
        assert deciders.ask(self.SPINNING, "decide()", lambda: "asked again", 5) == "asked again"

    def test_so_are_many_and_none_counts_as_hanging(self, deciders: Deciders) -> None:
        begun = threading.Event()

        def spin() -> None:
            begun.set()
            number = Decimal(1)
            while number > 0:
                number = number / 3 * 3 + 1

        for _ in range(3 * MOST_HUNG):
            begun.clear()
            with pytest.raises(PluginError, match="took longer"):
                deciders.ask(self.SPINNING, "decide()", spin, 0.01, meanwhile=lambda: begun.wait(10))
            assert until(lambda: not deciders._hung[self.SPINNING.display_name])

    def test_one_that_waits_in_other_code_is_left_alone(self, deciders: Deciders, hang: Hang) -> None:
        with pytest.raises(PluginError, match="took longer"):
            deciders.ask(self.SPINNING, "decide()", hang, 0.01)
        assert len(deciders._hung[self.SPINNING.display_name]) == 1
        hang.release.set()
        assert until(lambda: not deciders._hung[self.SPINNING.display_name])

    def test_a_loop_that_takes_locks_of_others_leaves_none_taken(self, deciders: Deciders) -> None:
        """Logging's, above all: whoever logs would wait for ever."""
        logger, handler = logging.getLogger("tests.spinning"), logging.StreamHandler(io.StringIO())
        logger.propagate = False
        logger.addHandler(handler)

        begun = threading.Event()

        def spin() -> None:
            begun.set()
            while True:
                logger.error("again")
                for _ in range(10_000):
                    pass

        for _ in range(10):
            begun.clear()
            with pytest.raises(PluginError, match="took longer"):
                deciders.ask(self.SPINNING, "decide()", spin, 0.01, meanwhile=lambda: begun.wait(10))
            assert until(lambda: not deciders._hung[self.SPINNING.display_name])
            assert handler.lock is not None
            assert handler.lock.acquire(timeout=10)  # type: ignore[call-arg]
            handler.release()

    def test_only_the_call_that_is_meant_is_stopped(self) -> None:
        made: list[Stoppable] = []
        begun, go_on = threading.Event(), threading.Event()

        def serve() -> None:
            made.append(Stoppable())

            def spin() -> str:
                begun.set()
                while not go_on.is_set():
                    pass
                return "whole"

            answers.append(made[0].call(spin, "second"))

        answers: list[str] = []
        thread = threading.Thread(target=serve)
        thread.start()
        assert begun.wait(10)
        assert not made[0].stop("first", __name__.partition(".")[0])
        go_on.set()
        thread.join(10)
        assert answers == ["whole"]

    def test_one_that_ends_just_then_is_as_good_as_any(self, deciders: Deciders) -> None:
        """Whether it is met or not: what comes after it is not hit by what was meant for it."""

        def nearly() -> str:
            until = time.monotonic() + 0.02
            while time.monotonic() < until:
                pass
            return "back"

        for _ in range(60):
            with contextlib.suppress(PluginError):
                assert deciders.ask(self.SPINNING, "decide()", nearly, 0.0199) == "back"
            assert deciders.ask(OTHER, "decide()", lambda: "other", 10) == "other"
        assert until(lambda: not deciders._hung[self.SPINNING.display_name])
