"""Breakers of one process, with a clock that the test moves. Redis is away: each process goes by what it knows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from axisor_executor.errors import OutcomeUnknown, Rejected, Unavailable
from axisor_executor.limits.breaker import AccountRef
from tests.unit.breaker_scene import AWAY, EXCHANGE, FORBIDDEN, LOST, MAIN, OTHER, UNAUTHORIZED, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


class TestExchange:
    def test_failures_in_a_row_open_it_for_everyone(self, scene: Scene) -> None:
        for number in range(4):
            assert scene.call(AWAY, (MAIN, None)[number % 2])
        assert scene.passes()
        scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=AWAY)
        for account in (MAIN, OTHER, None):
            error = scene.held_back(account, mutating=account is not None)
            assert (error.code, error.status, error.account_id) == ("exchange_circuit_open", 503, None)
            assert error.retry_after == pytest.approx(2.0)

    def test_another_exchange_is_not_concerned(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.breakers.check("lnmarkets@api.signet.test", MAIN, "default", mutating=True)

    def test_a_success_in_between_keeps_it_closed(self, scene: Scene) -> None:
        for _ in range(20):
            for number in range(4):
                assert scene.call(AWAY, (MAIN, OTHER)[number % 2])
            assert scene.call(None, OTHER)
        assert scene.open_names() == []

    def test_one_accounts_failures_do_not_open_it_while_others_succeed(self, scene: Scene) -> None:
        for _ in range(100):
            assert scene.call(LOST, MAIN, mutating=True)
            assert scene.call(None, OTHER, mutating=True)
        assert scene.open_names() == []

    def test_alone_it_takes_three_times_as_many(self, scene: Scene) -> None:
        for _ in range(14):
            assert scene.call(AWAY)
        assert scene.open_names() == []
        assert scene.call(AWAY)
        assert scene.open_names() == [(EXCHANGE, False)]

    def test_rejections_do_not_open_it(self, scene: Scene) -> None:
        for number in range(100):
            account = AccountRef(f"acc{number}", "x", f"f{number}", f"d{number}")
            assert scene.call(Rejected("no"), account, mutating=True)
            assert scene.call(UNAUTHORIZED, account)
        assert scene.alerts == []

    def test_too_many_requests_do_not_open_it(self, scene: Scene) -> None:
        for number in range(100):
            assert scene.call(
                Unavailable("429", retry_after=1.0, details={"httpStatus": 429}), (MAIN, OTHER)[number % 2]
            )
        assert scene.open_names() == []

    def test_a_trading_engine_that_is_away_holds_back_changes_only(self, scene: Scene) -> None:
        engine = Unavailable("HTTP 503", details={"httpStatus": 503})
        for number in range(5):
            assert scene.call(None)
            assert scene.call(engine, (MAIN, OTHER)[number % 2], mutating=True)
        assert scene.open_names() == [(EXCHANGE, True)]
        assert scene.passes(mutating=False)
        assert not scene.passes(mutating=True)
        scene.wait(2.01)
        assert scene.call(None, mutating=False)
        assert scene.open_names() == [(EXCHANGE, True)], "a read proves nothing"
        assert scene.call(None, mutating=True)
        assert scene.open_names() == []


class TestProbes:
    def test_one_probe_goes_through_and_its_success_closes(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(1.99)
        assert not scene.passes()
        scene.wait(0.02)
        assert scene.passes()
        others = _in_thread(lambda: scene.passes(OTHER))
        assert not others, "a probe is under way"
        scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=None)
        assert _in_thread(lambda: scene.call(None, OTHER))
        assert scene.open_names() == []

    def test_the_thread_that_probes_may_call_on(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(2.01)
        assert scene.passes(mutating=True)
        assert scene.passes(mutating=False), "a change reads first what is to be changed"
        scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=None)
        assert scene.open_names() == []

    def test_failed_probes_lengthen_the_time_up_to_the_limit(self, scene: Scene) -> None:
        scene.take_exchange_away()
        waits = []
        for _ in range(6):
            error = scene.held_back()
            assert error.retry_after is not None
            waits.append(error.retry_after)
            scene.wait(error.retry_after + 0.01)
            assert scene.call(AWAY)
        assert waits == pytest.approx([2, 4, 8, 15, 15, 15])
        (state,) = scene.breakers.states()
        assert (state.failed_probes, state.state) == (6, "open")

    def test_guards_probe_more_often(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(0.41)
        assert not scene.passes(lane="default")
        assert scene.call(AWAY, lane="protect")
        assert scene.held_back(lane="protect").retry_after == pytest.approx(0.8)
        assert scene.held_back(lane="default").retry_after == pytest.approx(4.0)

    def test_a_probe_that_was_not_made_gives_its_right_back(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(2.01)
        assert scene.passes()
        scene.breakers.withdraw(EXCHANGE, MAIN, mutating=False)
        assert scene.open_names() == [(EXCHANGE, False)]
        assert _in_thread(lambda: scene.call(None, OTHER))
        assert scene.open_names() == []

    def test_a_probe_that_is_never_heard_of_blocks_for_the_time_of_a_call(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(2.01)
        assert _in_thread(lambda: scene.passes())
        error = scene.held_back()
        assert error.retry_after == pytest.approx(2.0), "it should end sooner than it may last"
        scene.wait(11.01)
        assert scene.call(None)
        assert scene.open_names() == []

    def test_an_account_that_is_held_back_does_not_use_up_the_exchanges_probe(self, scene: Scene) -> None:
        scene.refuse(MAIN)
        for number in range(5):
            assert scene.call(AWAY, (OTHER, None)[number % 2])
        scene.wait(2.01)
        assert scene.held_back(MAIN).code == "account_circuit_open"
        assert scene.call(None, OTHER)
        assert scene.open_names() == [(MAIN.id, False)]

    def test_who_began_before_it_opened_says_nothing_new(self, scene: Scene) -> None:
        scene.take_exchange_away()
        for failure in (AWAY, None):
            scene.breakers.report(EXCHANGE, OTHER, mutating=False, failure=failure)
        (state,) = scene.breakers.states()
        assert (state.failed_probes, state.state) == (0, "open")

    def test_behind_a_closing_it_takes_as_many_failures_as_before(self, scene: Scene) -> None:
        scene.take_exchange_away()
        scene.wait(2.01)
        assert scene.call(None)
        for number in range(4):
            assert scene.call(AWAY, (MAIN, OTHER)[number % 2])
        assert scene.open_names() == []
        assert scene.call(AWAY, MAIN)
        assert scene.held_back().retry_after == pytest.approx(2.0)


class TestAccount:
    def test_refused_keys_hold_back_that_account_only(self, scene: Scene) -> None:
        scene.refuse()
        error = scene.held_back()
        assert (error.code, error.account_id, error.account_name) == ("account_circuit_open", MAIN.id, MAIN.name)
        assert error.retry_after == pytest.approx(300)
        assert scene.held_back(lane="protect").retry_after == pytest.approx(60)
        assert not scene.passes(mutating=True)
        assert scene.passes(OTHER, mutating=True)
        assert scene.passes(None)

    def test_one_refusal_between_successes_is_none(self, scene: Scene) -> None:
        for _ in range(10):
            assert scene.call(UNAUTHORIZED)
            assert scene.call(None)
        assert scene.open_names() == []

    def test_reads_say_nothing_about_the_right_to_trade(self, scene: Scene) -> None:
        for _ in range(2):
            assert scene.call(None)
            assert scene.call(FORBIDDEN, mutating=True)
            assert scene.call(None)
        assert scene.open_names() == [(MAIN.id, True)]
        assert scene.passes(mutating=False)
        assert scene.held_back(mutating=True).code == "account_circuit_open"
        scene.wait(300.01)
        assert scene.call(Rejected("a wrong amount"), mutating=True)
        assert scene.open_names() == [(MAIN.id, True)], "that may be found before the rights are looked at"
        assert scene.call(None, mutating=True)
        assert scene.open_names() == []

    @pytest.mark.parametrize("mutating", [False, True])
    def test_a_right_that_is_missing_disarms_no_guard(self, scene: Scene, mutating: bool) -> None:
        """An entry above the account's tier, a call without permission: a close may go through all the while."""
        scene.refuse(failure=FORBIDDEN, mutating=mutating)
        assert scene.held_back(mutating=True).code == "account_circuit_open"
        for _ in range(3):
            assert scene.call(None, lane="protect", mutating=True)
            assert scene.call(FORBIDDEN, lane="protect", mutating=mutating)
        assert scene.alerts[0].message.endswith("its automations wait, its guards try on")
        assert not scene.passes(mutating=True)

    def test_keys_that_are_wrong_hold_back_guards_too(self, scene: Scene) -> None:
        scene.refuse(failure=UNAUTHORIZED)
        assert not scene.passes(lane="protect")
        assert scene.alerts[0].message.endswith("its automations wait")

    def test_changed_credentials_are_let_through_at_once(self, scene: Scene) -> None:
        scene.refuse()
        renewed = AccountRef(MAIN.id, MAIN.name, MAIN.fingerprint, "d-renewed")
        assert scene.call(None, renewed)
        assert scene.open_names() == []

    def test_changed_credentials_that_are_refused_too_open_it_again(self, scene: Scene) -> None:
        scene.refuse()
        renewed = AccountRef(MAIN.id, MAIN.name, MAIN.fingerprint, "d-renewed")
        scene.refuse(renewed)
        assert not scene.passes(renewed)
        assert [alert.kind for alert in scene.alerts] == ["account_circuit_open"] * 2

    def test_a_probe_finds_that_somebody_repaired_it_at_the_exchange(self, scene: Scene) -> None:
        scene.refuse()
        scene.wait(300.01)
        assert scene.call(UNAUTHORIZED)
        assert scene.held_back().retry_after == pytest.approx(600)
        scene.wait(600.01)
        assert scene.call(None)
        assert scene.passes()

    def test_an_exchange_that_goes_away_under_a_probe_gives_the_right_back(self, scene: Scene) -> None:
        scene.refuse()
        scene.wait(300.01)
        assert scene.passes()
        for number in range(5):
            scene.breakers.report(EXCHANGE, (OTHER, None)[number % 2], mutating=False, failure=AWAY)
        scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=AWAY)
        scene.wait(2.01)
        assert scene.call(None), "the probe of both"
        assert scene.open_names() == []

    def test_an_exchange_that_is_away_proves_nothing_about_keys(self, scene: Scene) -> None:
        scene.refuse()
        scene.wait(300.01)
        assert scene.call(AWAY)
        assert scene.open_names() == [(MAIN.id, False)]
        assert scene.call(None), "the next call is the probe"
        assert scene.open_names() == []


class TestTelling:
    def test_one_alert_for_an_exchange(self, scene: Scene) -> None:
        scene.take_exchange_away()
        (alert,) = scene.alerts
        assert (alert.kind, alert.severity, alert.account_id) == ("exchange_circuit_open", "critical", None)
        assert EXCHANGE in alert.message
        for _ in range(5):
            scene.wait(20)
            assert scene.call(AWAY)
        assert len(scene.alerts) == 1

    def test_changes_that_fail_as_probes_open_no_second_breaker(self, scene: Scene) -> None:
        scene.take_exchange_away()
        for number in range(10):
            scene.wait(20)
            assert scene.call(AWAY, (MAIN, OTHER)[number % 2], mutating=True)
        assert scene.open_names() == [(EXCHANGE, False)]
        assert len(scene.alerts) == 1

    def test_one_alert_for_an_account(self, scene: Scene) -> None:
        scene.refuse(mutating=True)
        scene.refuse(mutating=False)
        (alert,) = scene.alerts
        assert (alert.kind, alert.severity) == ("account_circuit_open", "error")
        assert (alert.account_id, alert.account_name, alert.user_id) == (MAIN.id, MAIN.name, MAIN.user_id)

    def test_a_line_for_each_transition(self, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "axisor_executor"):
            scene.take_exchange_away()
            scene.wait(2.01)
            scene.call(AWAY)
            scene.wait(4.01)
            scene.call(None)
        told = [record.getMessage() for record in caplog.records if EXCHANGE in record.getMessage()]
        lines = [line.partition(" (")[0] for line in told]
        assert lines == [
            f"Exchange {EXCHANGE} is away: calls are held back, the next probe goes in 2 s",
            f"Exchange {EXCHANGE} is away: a probe failed, the next goes in 4 s",
            f"Exchange {EXCHANGE}: calls go through again after 6 s",
        ]

    def test_states_are_for_people(self, scene: Scene) -> None:
        scene.refuse()
        (state,) = scene.breakers.states()
        shown = state.as_dict()
        assert shown.pop("since").endswith("Z")
        assert shown == {
            "name": MAIN.id,
            "exchange": None,
            "accountId": MAIN.id,
            "accountName": MAIN.name,
            "plugin": None,
            "changesOnly": False,
            "state": "open",
            "failedProbes": 0,
            "nextProbeSeconds": 60.0,
            "reason": "rejected (HTTP 401)",
        }
        scene.wait(60.01)
        assert [one.state for one in scene.breakers.states()] == ["half_open"]

    def test_closed_by_hand(self, scene: Scene) -> None:
        scene.take_exchange_away()
        assert scene.breakers.reset("lnmarkets@elsewhere") == []
        assert [one.subject for one in scene.breakers.reset(EXCHANGE)] == [EXCHANGE]
        assert scene.passes()


class TestThreads:
    def test_calls_do_not_wait_for_each_other(self, scene: Scene) -> None:
        together = threading.Barrier(8, timeout=30)

        def call() -> None:
            scene.breakers.check(EXCHANGE, MAIN, "default", mutating=False)
            together.wait()  # all eight are between check and report: it breaks where one holds the others up
            scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=None)

        _together([call] * 8)
        assert not together.broken

    def test_one_thread_of_many_is_the_probe(self, scene: Scene) -> None:
        scene.take_exchange_away()
        for _ in range(20):
            scene.wait(1000)
            through = list[bool]()
            asked = threading.Barrier(8, timeout=30)

            def probe(through: list[bool] = through, asked: threading.Barrier = asked) -> None:
                asked.wait()
                passed = scene.passes()
                through.append(passed)
                asked.wait()
                if passed:
                    scene.breakers.report(EXCHANGE, MAIN, mutating=False, failure=AWAY)

            _together([probe] * 8)
            assert sorted(through) == [False] * 7 + [True]

    def test_a_hammered_breaker_opens_once_and_closes_once(self, scene: Scene) -> None:
        is_away = threading.Event()
        is_away.set()
        stop = threading.Event()

        def hammer(account: AccountRef) -> None:
            while not stop.is_set():
                if scene.passes(account, "protect"):
                    failure: OutcomeUnknown | None = LOST if is_away.is_set() else None
                    scene.breakers.report(EXCHANGE, account, mutating=False, failure=failure)

        threads = [threading.Thread(target=hammer, args=((MAIN, OTHER)[n % 2],)) for n in range(8)]
        for thread in threads:
            thread.start()
        try:
            _until(lambda: scene.open_names() == [(EXCHANGE, False)])
            is_away.clear()

            def closed() -> bool:
                scene.wait(0.1)
                return scene.open_names() == []

            _until(closed)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert len(scene.alerts) == 1


def test_redis_that_is_away_costs_a_healthy_call_nothing(scene: Scene) -> None:
    asked = list[float]()
    ask = scene.shared.ask
    scene.shared.ask = lambda call: (asked.append(scene.clock.time), ask(call))[1]  # type: ignore[method-assign]
    for _ in range(1000):
        assert scene.call(None)
    assert len(asked) == 1, "one look for all of them"


def _in_thread(call: Callable[[], bool]) -> bool:
    found = list[bool]()
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(30)
    return found[0]


def _together(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def _until(reached: Callable[[], bool], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)
