"""A plugin that fails again and again is held back, for all its automations and in all processes, until it decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import Lane
from axisor_executor.errors import CircuitOpen, InvalidConfig, PluginError, Refused, Unavailable
from axisor_executor.limits.breaker import PluginRef
from axisor_executor.limits.circuits import ALONE_FACTOR, Streak
from axisor_executor.limits.plugin_turn import turn_of
from tests.unit.breaker_scene import AWAY, MAIN, Scene

BROKEN = PluginError("axisor-moon 3.1 [moon]: KeyError: 'price'")
FIRST, SECOND = (PluginRef("axisor-moon", "3.1", name) for name in ("auto-1", "auto-2"))
OTHER = PluginRef("axisor-sun", "1.0", "auto-3")


class Plugins(Scene):
    """The breakers of one process, as runs meet them."""

    def run(self, failure: BaseException | None = None, plugin: PluginRef = FIRST, lane: Lane = "default") -> str:
        """Let a plugin decide, with this end; return ``done``, the error's code, or that it was held back."""
        try:
            with turn_of(self.breakers, plugin, lane):
                if failure is not None:
                    raise failure
        except CircuitOpen as error:
            return f"held back: {error.code}" if error is not failure else error.code
        except (PluginError, Refused, InvalidConfig, Unavailable) as error:
            return error.code
        return "done"

    def break_it(self) -> None:
        """Let two automations of it fail until the breaker opens."""
        for number in range(5):
            assert self.run(BROKEN, (FIRST, SECOND)[number % 2]) == "plugin_error"


HELD = "held back: plugin_circuit_open"


@pytest.fixture
def scene() -> Plugins:
    return Plugins()


@contextmanager
def elsewhere() -> Iterator[list[Any]]:
    """Run what is put into the list in another thread, one after the other, when the block ends."""
    calls: list[Any] = []
    yield calls
    thread = threading.Thread(target=lambda: [call() for call in calls])
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


class TestOpening:
    def test_it_holds_back_all_automations_of_the_distribution_and_of_no_other(self, scene: Plugins) -> None:
        scene.break_it()
        assert scene.run(plugin=FIRST) == HELD
        assert scene.run(plugin=PluginRef("axisor-moon", "3.1", "auto-9")) == HELD
        assert scene.run(plugin=OTHER) == "done"
        assert scene.call(), "calls to the exchange go on"

    def test_a_decision_in_between_shows_that_it_works(self, scene: Plugins) -> None:
        for _ in range(4):
            scene.run(BROKEN, FIRST)
            scene.run(BROKEN, SECOND)
            assert scene.run() == "done"
        assert scene.run(BROKEN, SECOND) == "plugin_error"
        assert scene.run() == "done"

    def test_one_automation_alone_takes_three_times_as_many(self, scene: Plugins) -> None:
        ends = [scene.run(BROKEN) for _ in range(16)]
        assert ends == ["plugin_error"] * 15 + [HELD]

    @pytest.mark.parametrize("error", [Refused("no"), InvalidConfig("no"), AWAY], ids=lambda error: error.code)
    def test_what_it_raises_on_purpose_never_counts(self, scene: Plugins, error: Exception) -> None:
        for number in range(50):
            scene.run(error, (FIRST, SECOND)[number % 2])
        assert scene.run() == "done"
        assert scene.breakers.states() == []

    def test_failures_far_apart_do_not_add_up(self, scene: Plugins) -> None:
        for number in range(50):
            assert scene.run(BROKEN, (FIRST, SECOND)[number % 2]) == "plugin_error"
            scene.wait(301)

    def test_the_limits_are_settings(self) -> None:
        scene = Plugins(limits={"plugin_breaker_failures": 2, "plugin_breaker_window_seconds": 10})
        scene.run(BROKEN, FIRST)
        scene.wait(11)
        scene.run(BROKEN, SECOND)
        assert scene.run(BROKEN, FIRST) == "plugin_error"
        assert scene.run(BROKEN, FIRST) == HELD

    def test_one_alert_and_it_names_the_plugin(self, scene: Plugins) -> None:
        scene.break_it()
        scene.wait(10)
        assert scene.run(BROKEN) == "plugin_error"
        (alert,) = scene.alerts
        assert (alert.kind, alert.severity, alert.account_id) == ("plugin_circuit_open", "error", None)
        assert alert.details == {"plugin": "axisor-moon", "version": "3.1"}
        assert alert.message == (
            "Plugin axisor-moon 3.1 fails again and again; decisions are held back until a probe goes through "
            "(axisor-moon 3.1 [moon]: KeyError: 'price')"
        )


@given(st.integers(1, 50), st.floats(1, 1000))
def test_the_streak_of_a_plugin(limit: int, window: float) -> None:
    def opens_at(names: list[str], step: float) -> int | None:
        streak = Streak("plugin", limit, window)
        return next((n for n, name in enumerate(names, 1) if streak.add(name, 1000 + n * step)), None)

    assert opens_at(["a", "b"] * 200, window / 2) == max(limit, 2)
    assert opens_at(["a"] * 400, window / 2) == limit * ALONE_FACTOR
    assert opens_at(["a", "b"] * 200, window * 1.01) is None


class TestProbing:
    def test_one_is_asked_after_the_pause_and_its_decision_closes_it(self, scene: Plugins) -> None:
        scene.break_it()
        scene.wait(9.9)
        assert scene.run() == HELD
        scene.wait(0.2)
        assert scene.run() == "done"
        assert scene.run(plugin=SECOND) == "done"
        assert scene.breakers.states() == []

    def test_while_it_is_asked_the_others_wait(self, scene: Plugins) -> None:
        scene.break_it()
        scene.wait(10)
        seen: list[str] = []
        with turn_of(scene.breakers, FIRST, "default"), elsewhere() as calls:
            calls.append(lambda: seen.append(scene.run(plugin=SECOND)))
        assert seen == [HELD]
        assert scene.run(plugin=SECOND) == "done"

    def test_failing_again_doubles_the_pause_up_to_twelve_times(self, scene: Plugins) -> None:
        scene.break_it()
        for pause in (10, 20, 40, 80, 120, 120):
            scene.wait(pause - 0.5)
            assert scene.run(BROKEN) == HELD
            scene.wait(0.5)
            assert scene.run(BROKEN) == "plugin_error"

    def test_guards_ask_five_times_as_often(self, scene: Plugins) -> None:
        scene.break_it()
        scene.wait(2)
        assert scene.run(lane="default") == HELD
        assert scene.run(lane="protect") == "done"
        assert scene.run(lane="default") == "done"

    @pytest.mark.parametrize("error", [Refused("no"), AWAY], ids=lambda error: error.code)
    def test_a_run_that_shows_nothing_gives_its_turn_back(self, scene: Plugins, error: Exception) -> None:
        scene.break_it()
        scene.wait(10)
        scene.run(error, FIRST)
        assert scene.breakers.states()[0].state == "half_open"
        assert scene.run(plugin=SECOND) == "done"

    def test_its_turn_lasts_as_long_as_it_may_take(self) -> None:
        scene = Plugins(limits={"decide_seconds": 60, "request_timeout_seconds": 10})
        scene.break_it()
        scene.wait(10)
        seen: list[str] = []

        def ask(seconds: float) -> None:
            scene.wait(seconds)
            seen.append(scene.run(plugin=SECOND))

        with turn_of(scene.breakers, FIRST, "default"), elsewhere() as calls:
            calls += [lambda: ask(130), lambda: ask(2)]
        assert seen == [HELD, "done"], "who died with its turn holds nobody back for ever"

    def test_another_version_starts_afresh(self, scene: Plugins) -> None:
        scene.break_it()
        repaired = PluginRef("axisor-moon", "3.2", "auto-1")
        assert scene.run(plugin=repaired) == "done"
        assert scene.run(plugin=FIRST) == "done"
        assert scene.breakers.states() == []

    def test_it_says_what_it_does(self, scene: Plugins, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", "axisor_executor"):
            scene.break_it()
            scene.wait(10)
            scene.run(BROKEN)
            scene.wait(20)
            scene.run()
        told = [line.split(" (")[0] for line in caplog.messages if "axisor-moon" in line]
        assert told == [
            "Plugin axisor-moon 3.1 fails again and again: decisions are held back, the next probe goes in 10 s",
            "Plugin axisor-moon 3.1 fails again and again: a probe failed, the next goes in 20 s",
            "Plugin axisor-moon: decisions go through again after 30 s",
        ]


class TestForPeople:
    def test_its_state(self, scene: Plugins) -> None:
        scene.break_it()
        (state,) = [one.as_dict() for one in scene.breakers.states()]
        assert state.pop("since")
        assert state == {
            "name": "axisor-moon",
            "exchange": None,
            "accountId": None,
            "accountName": None,
            "plugin": "axisor-moon",
            "changesOnly": False,
            "state": "open",
            "failedProbes": 0,
            "nextProbeSeconds": 2.0,
            "reason": "axisor-moon 3.1 [moon]: KeyError: 'price'",
        }

    def test_closed_by_hand(self, scene: Plugins) -> None:
        scene.break_it()
        assert [one.subject for one in scene.breakers.reset("axisor-moon")] == ["axisor-moon"]
        assert scene.run() == "done"

    def test_an_exchange_that_is_away_is_another_matter(self, scene: Plugins) -> None:
        scene.break_it()
        scene.take_exchange_away()
        assert [(one.kind, one.subject) for one in scene.breakers.states()] == [
            ("exchange", "lnmarkets@api.test"),
            ("plugin", "axisor-moon"),
        ]
        scene.breakers.reset("axisor-moon")
        assert not scene.passes(MAIN)


class TestSeveralProcesses:
    def test_one_finds_out_and_all_hold_back(self, redis_url: str) -> None:
        here, there = Plugins(redis_url), Plugins(redis_url)
        here.break_it()
        there.wait(0.5)
        assert there.run() == HELD
        assert len(here.alerts) + len(there.alerts) == 1
        assert [one.subject for one in there.breakers.reset("axisor-moon")] == ["axisor-moon"]
        here.wait(0.5)
        assert here.run() == "done"
