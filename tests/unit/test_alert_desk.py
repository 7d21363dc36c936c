"""The alert desk: each alert once within its cooldown, over all processes, and no money event hidden by another."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.observe import alert_desk
from axisor_executor.observe.alert_desk import AlertDesk, recent
from axisor_executor.observe.alerts import ALWAYS_TOLD, Alert
from axisor_executor.shared import Shared

NOWHERE = "redis://127.0.0.1:1"
UNCERTAIN = Alert("uncertain_outcome", "critical", "can't be told", account_id="a", execution_id="e1")
BROKEN_KEYS = Alert(
    "credential_failure",
    "error",
    "refused",
    user_id="u",
    account_id="a",
    account_name="Main Account",
    execution_id="e1",
)


class Desk:
    """A process: a desk, and what its observers were told."""

    def __init__(self, url: str, prefix: str, *, seconds: float = 300) -> None:
        self.shared = Shared(url, prefix)
        self.told: list[Alert] = []
        self.desk = AlertDesk(self.shared, self.told.append, cooldown_seconds=seconds)

    def take(self, *alerts: Alert) -> None:
        """Take alerts, each handed on before the next."""
        for alert in alerts:
            self.desk.take(alert)
            assert self.desk.flush(10)

    @property
    def outcome(self) -> list[tuple[str, int]]:
        """The kinds that were told, with how many were held back before."""
        return [(alert.kind, alert.suppressed) for alert in self.told]


@pytest.fixture
def process(redis_url: str) -> Iterator[Callable[[], Desk]]:
    """Makes processes of one installation."""
    made: list[Desk] = []

    def make() -> Desk:
        made.append(Desk(redis_url, "test"))
        return made[-1]

    yield make
    for one in made:
        one.shared.close()


@pytest.fixture
def alone() -> Desk:
    """A process without Redis."""
    return Desk(NOWHERE, "test")


def test_a_thread_that_can_not_start_starts_with_the_next_alert(alone: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            alone.desk.take(BROKEN_KEYS)
    alone.take(BROKEN_KEYS)
    assert [alert.kind for alert in alone.told] == ["credential_failure"]


def end_cooldown(process: Desk, alert: Alert) -> None:
    """Let the time of an alert be over, for all processes."""
    process.desk.cooldowns.end(alert_desk._name(alert))


class TestCooldown:
    def test_one_of_an_account_and_kind_is_told(self, process: Callable[[], Desk]) -> None:
        here = process()
        here.take(BROKEN_KEYS, dataclasses.replace(BROKEN_KEYS, message="again", execution_id="e2"))
        assert here.outcome == [("credential_failure", 0)]

    def test_over_all_processes(self, process: Callable[[], Desk]) -> None:
        here, there = process(), process()
        here.take(BROKEN_KEYS)
        there.take(BROKEN_KEYS)
        assert (len(here.told), len(there.told)) == (1, 0)

    def test_how_many_were_held_back_is_told_with_the_next(self, process: Callable[[], Desk]) -> None:
        here, there = process(), process()
        here.take(BROKEN_KEYS, BROKEN_KEYS, BROKEN_KEYS)
        there.take(BROKEN_KEYS)
        end_cooldown(here, BROKEN_KEYS)
        there.take(BROKEN_KEYS)
        assert there.outcome == [("credential_failure", 3)]
        end_cooldown(here, BROKEN_KEYS)
        here.take(BROKEN_KEYS)
        assert here.outcome == [("credential_failure", 0)] * 2

    @pytest.mark.parametrize(
        "other",
        [
            {"account_id": "b"},
            {"kind": "api_error"},
            {"severity": "warning"},
            {"topic": "trade"},
            {"account_id": None},
            {"account_id": None, "user_id": "v"},
        ],
    )
    def test_what_is_about_something_else_is_told(self, alone: Desk, other: dict[str, str]) -> None:
        alone.take(BROKEN_KEYS, dataclasses.replace(BROKEN_KEYS, **other))  # type: ignore[arg-type]
        assert len(alone.told) == 2

    def test_its_time_in_redis_is_that_of_the_setting(self, process: Callable[[], Desk]) -> None:
        here = process()
        here.take(BROKEN_KEYS)
        left = here.shared.ask(lambda client: {key: client.pttl(key) for key in client.keys("test:alerts:*")})
        assert left is not None
        assert [290 < time / 1000 <= 300 for time in left.values() if time > 0] == [True]

    @pytest.mark.parametrize("seconds", [None, 301, 10**9])
    @pytest.mark.parametrize("is_hash", [False, True])
    def test_one_that_no_process_of_ours_began_silences_nothing(
        self, process: Callable[[], Desk], seconds: int | None, is_hash: bool
    ) -> None:
        """Without an end, or with a later one than a cooldown can have, it would do so for good."""
        here, there = process(), process()
        key = here.desk.cooldowns._key(alert_desk._name(BROKEN_KEYS))
        here.shared.ask(lambda client: client.hset(key, "a", "b") if is_hash else client.set(key, "1"))
        if seconds is not None:
            here.shared.ask(lambda client: client.expire(key, seconds))
        here.take(BROKEN_KEYS)
        there.take(BROKEN_KEYS)
        assert (here.outcome, there.outcome) == ([("credential_failure", 0)], [])
        left = here.shared.ask(lambda client: client.pttl(key))
        assert left is not None
        assert 290_000 < left <= 300_000

    @pytest.mark.parametrize("held", ["abc", b"\xff", "-5", "9" * 5000, "1.5"])
    def test_a_count_that_is_none_loses_no_alert(self, process: Callable[[], Desk], held: str | bytes) -> None:
        here = process()
        key = here.desk.cooldowns._key(alert_desk._name(BROKEN_KEYS), "held")
        here.shared.ask(lambda client: client.set(key, held))
        here.take(BROKEN_KEYS)
        assert here.outcome == [("credential_failure", 0)]

    @pytest.mark.parametrize("held", ["abc", str(2**63 - 1)])
    def test_nor_is_it_added_to(self, process: Callable[[], Desk], held: str) -> None:
        here, there = process(), process()
        here.take(BROKEN_KEYS)
        key = here.desk.cooldowns._key(alert_desk._name(BROKEN_KEYS), "held")
        here.shared.ask(lambda client: client.set(key, held))
        there.take(BROKEN_KEYS, BROKEN_KEYS)
        end_cooldown(here, BROKEN_KEYS)
        here.take(BROKEN_KEYS)
        assert here.outcome == [("credential_failure", 0), ("credential_failure", 2)]

    def test_without_redis_each_process_goes_by_itself(self) -> None:
        here, there = Desk(NOWHERE, "test"), Desk(NOWHERE, "test")
        here.take(BROKEN_KEYS, BROKEN_KEYS)
        there.take(BROKEN_KEYS)
        assert (here.outcome, there.outcome) == ([("credential_failure", 0)],) * 2
        end_cooldown(here, BROKEN_KEYS)
        here.take(BROKEN_KEYS)
        assert here.outcome[-1] == ("credential_failure", 1)


class TestMoney:
    @pytest.mark.parametrize("kind", sorted(ALWAYS_TOLD))
    def test_executions_do_not_hide_one_another(self, process: Callable[[], Desk], kind: str) -> None:
        here = process()
        alert = dataclasses.replace(UNCERTAIN, kind=kind)
        here.take(alert, dataclasses.replace(alert, execution_id="e2"))
        assert [one.execution_id for one in here.told] == ["e1", "e2"]

    def test_nor_does_a_later_event_of_the_same(self, process: Callable[[], Desk]) -> None:
        here, there = process(), process()
        here.take(UNCERTAIN, UNCERTAIN)
        there.take(UNCERTAIN)
        assert len(here.told) + len(there.told) == 3

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(
            st.builds(
                Alert,
                kind=st.sampled_from(["uncertain_outcome", "half_done_reduce", "api_error", "unguarded_trade"]),
                severity=st.sampled_from(["warning", "critical"]),
                message=st.just("m"),
                account_id=st.sampled_from([None, "a", "b"]),
                user_id=st.sampled_from(["a", "b"]),
                topic=st.sampled_from([None, "a", "t"]),
                execution_id=st.sampled_from(["e1", "e2"]),
            ),
            max_size=40,
        )
    )
    def test_every_alert_is_told_or_counted(self, raised: list[Alert]) -> None:
        desk = Desk(NOWHERE, "test")
        for alert in raised:
            desk.desk.take(alert)
        assert desk.desk.flush(10)
        told = Counter(alert.kind for alert in desk.told)
        for kind in ALWAYS_TOLD:
            assert told[kind] == sum(alert.kind == kind for alert in raised)
        others = {alert_desk._name(alert) for alert in raised if alert.kind not in ALWAYS_TOLD}
        assert {alert_desk._name(alert) for alert in desk.told if alert.kind not in ALWAYS_TOLD} == others
        held = sum(desk.desk.cooldowns.held_back(name) for name in others)
        assert len(desk.told) + held == len(raised)


class TestStorm:
    @pytest.fixture
    def stuck(self) -> Iterator[tuple[AlertDesk, list[Alert], threading.Event]]:
        """A desk whose thread can't go on before the event is set."""
        told, begun, go_on = list[Alert](), threading.Event(), threading.Event()

        def tell(alert: Alert) -> None:
            begun.set()
            go_on.wait(60)
            told.append(alert)

        desk = AlertDesk(Shared(NOWHERE, "test"), tell, cooldown_seconds=300)
        desk.take(dataclasses.replace(UNCERTAIN, execution_id="first"))
        assert begun.wait(10)
        yield desk, told, go_on
        go_on.set()

    def test_ten_thousand_of_one_kind_and_account_are_one(
        self, stuck: tuple[AlertDesk, list[Alert], threading.Event]
    ) -> None:
        desk, told, go_on = stuck
        for number in range(10_000):  # returns while the thread hangs: none waits for anything
            desk.take(dataclasses.replace(BROKEN_KEYS, execution_id=f"e{number}"))
        go_on.set()
        assert desk.flush(10)
        assert [alert.execution_id for alert in told] == ["first", "e0"]
        assert desk.cooldowns.held_back(alert_desk._name(BROKEN_KEYS)) == 9_999

    def test_ten_thousand_accounts_grow_no_memory_and_hide_no_money(
        self, stuck: tuple[AlertDesk, list[Alert], threading.Event], caplog: pytest.LogCaptureFixture
    ) -> None:
        desk, told, go_on = stuck
        tracemalloc.start()
        try:
            for number in range(10_000):
                desk.take(dataclasses.replace(BROKEN_KEYS, account_id=f"a{number}", message=f"{number}" * 100))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5_000_000, "a thousand of them wait, at most"
        for number in range(500):
            desk.take(dataclasses.replace(UNCERTAIN, execution_id=f"e{number}"))
        with caplog.at_level(logging.ERROR, "axisor_executor"):
            go_on.set()
            assert desk.flush(30)
        kinds = Counter(alert.kind for alert in told)
        assert kinds == {"credential_failure": alert_desk.MOST_PENDING, "uncertain_outcome": 501}
        assert "9000 alerts were not told: too many were waiting already" in caplog.text

    def test_even_of_money_not_more_than_fit(
        self, stuck: tuple[AlertDesk, list[Alert], threading.Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk, told, go_on = stuck
        monkeypatch.setattr(alert_desk, "MOST_CRITICAL", 7)
        for number in range(100):
            desk.take(dataclasses.replace(UNCERTAIN, execution_id=f"e{number}"))
        go_on.set()
        assert desk.flush(10)
        assert len(told) == 1 + 7


class TestTelling:
    def test_one_that_can_not_be_told_silences_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        told, number = list[Alert](), count()

        def tell(alert: Alert) -> None:
            if next(number) == 0:
                raise RuntimeError("no")
            told.append(alert)

        desk = AlertDesk(Shared(NOWHERE, "test"), tell, cooldown_seconds=300)
        with caplog.at_level(logging.ERROR, "axisor_executor"):
            desk.take(UNCERTAIN)
            desk.take(UNCERTAIN)
            assert desk.flush(10)
        assert told == [UNCERTAIN]
        assert "An alert uncertain_outcome could not be told: RuntimeError: no" in caplog.text

    def test_the_line_in_the_log(self, alone: Desk, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "axisor_executor"):
            alone.take(BROKEN_KEYS)
        (record,) = [one for one in caplog.records if one.getMessage().startswith("Alert")]
        assert record.getMessage() == "Alert credential_failure for account Main Account: refused"
        assert record.levelname == "ERROR"
        facts = {name: getattr(record, name) for name in ("severity", "userId", "accountId", "executionId")}
        assert facts == {"severity": "error", "userId": "u", "accountId": "a", "executionId": "e1"}
        assert not hasattr(record, "automationId"), "what is not known is left out"

    def test_the_line_of_what_concerns_no_account(self) -> None:
        assert Alert("worker_down", "error", "silent", suppressed=3).line == (
            "Alert worker_down: silent (and 3 more of this kind since the last alert)"
        )

    def test_the_last_ones_are_kept_for_all_processes(self, process: Callable[[], Desk]) -> None:
        here, there = process(), process()
        here.take(BROKEN_KEYS, BROKEN_KEYS)
        there.take(UNCERTAIN)
        found = recent(here.shared)
        assert [one["kind"] for one in found] == ["uncertain_outcome", "credential_failure"]
        assert found[1] == json.loads(json.dumps(BROKEN_KEYS.as_dict()))
        assert found[1]["accountName"] == "Main Account"

    def test_not_more_than_two_hundred(self, process: Callable[[], Desk]) -> None:
        here = process()
        for number in range(210):
            here.desk.take(dataclasses.replace(UNCERTAIN, execution_id=f"e{number}"))
        assert here.desk.flush(10)
        found = recent(here.shared, 1000)
        assert len(found) == 200
        assert found[0]["executionId"] == "e209"

    def test_what_others_wrote_is_left_out(self, process: Callable[[], Desk]) -> None:
        here = process()
        here.take(BROKEN_KEYS)
        (ours,) = recent(here.shared)
        others = (
            "garbage",
            b"\xff",
            "null",
            "7",
            '{"a": 1}',
            "[" * 100_000,
            json.dumps(ours | {"raisedAt": None}),
            json.dumps(ours | {"severity": ["critical"]}),
            json.dumps(ours | {"message": "\ud800"}),
            json.dumps({name: value for name, value in ours.items() if name != "accountName"}),
        )
        here.shared.ask(lambda client: client.lpush(here.shared.key("alerts", "recent"), *others))
        assert recent(here.shared, 1) == [ours]

    def test_none_while_redis_is_away(self, alone: Desk) -> None:
        assert recent(alone.shared) == []
