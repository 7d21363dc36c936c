"""Slots: no exchange holds all threads of a process, unless it is the only one in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from axisor_executor.automation import Lane
from axisor_executor.limits.slots import KNOWN_SECONDS, Slots
from axisor_executor.run.flow import Suspend


def taken(slots: Slots, stack: ExitStack, exchange: str, lane: Lane = "protect", most: int = 100) -> int:
    """Take slots until none is left, and return how many there were."""
    for count in range(most):
        try:
            stack.enter_context(slots.take(exchange, lane))
        except Suspend:
            return count
    return most


def slots(threads: int, *, shared: bool = True) -> Slots:
    made = Slots(lambda: shared)
    made.threads = threads
    return made


@pytest.mark.parametrize(("threads", "share"), [(2, 1), (3, 2), (4, 3), (7, 6), (8, 6), (12, 9), (16, 12)])
def test_a_quarter_is_kept_free_of_each_exchange(threads: int, share: int) -> None:
    with ExitStack() as stack:
        made = slots(threads)
        assert taken(made, stack, "slow") == share
        assert taken(made, stack, "other") == share


@pytest.mark.parametrize(
    ("threads", "entries", "guards"), [(2, 1, 1), (3, 1, 1), (4, 2, 1), (7, 4, 2), (8, 4, 2), (12, 6, 3), (16, 8, 4)]
)
def test_a_flood_of_entries_leaves_room_for_guards_and_for_other_entries(
    threads: int, entries: int, guards: int
) -> None:
    with ExitStack() as stack:
        made = slots(threads)
        assert taken(made, stack, "slow", "default") == entries
        assert taken(made, stack, "slow", "protect") == guards
        assert taken(made, stack, "other", "default") == entries


def test_guards_leave_what_they_do_not_need_to_entries_of_their_exchange() -> None:
    with ExitStack() as stack:
        made = slots(8)
        assert taken(made, stack, "slow", "protect", most=5) == 5
        assert taken(made, stack, "slow", "default") == 1
        assert taken(made, stack, "slow", "protect") == 0


def test_with_one_exchange_in_use_there_is_nobody_to_starve() -> None:
    with ExitStack() as stack:
        made = slots(4, shared=False)
        assert taken(made, stack, "only", "default") == taken(made, stack, "only", "protect") == 100


@pytest.mark.parametrize("threads", [0, 1])
def test_one_thread_can_not_be_shared(threads: int) -> None:
    with ExitStack() as stack:
        assert taken(slots(threads), stack, "slow") == 100


def test_who_gets_none_waits_in_the_database() -> None:
    with ExitStack() as stack:
        made = slots(4)
        taken(made, stack, "slow")
        with pytest.raises(Suspend) as caught, made.take("slow", "protect"):
            pytest.fail("it must not begin")
        assert (caught.value.wait_for, caught.value.spends_try) == ("rate", False)
        assert 0 < caught.value.seconds <= 5


def test_slots_are_given_back_however_the_run_ends() -> None:
    made = slots(4)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt), made.take("slow", "protect"):
            raise KeyboardInterrupt
    with ExitStack() as stack:
        assert taken(made, stack, "slow") == 3


class Asked:
    """Tells whether several exchanges are in use, counts how often, and has a clock that stands."""

    def __init__(self) -> None:
        self.count, self.now, self.answer = 0, 100.0, True

    def __call__(self) -> bool:
        self.count += 1
        return self.answer


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def busy(asked: Asked) -> Iterator[Slots]:
    """Slots of which one exchange has its share."""
    made = Slots(asked, clock=lambda: asked.now)
    made.threads = 4
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(made.take("slow", "protect"))
        yield made


def test_the_database_is_asked_only_where_it_matters(busy: Slots, asked: Asked) -> None:
    assert asked.count == 0
    with pytest.raises(Suspend), busy.take("slow", "protect"):
        pass
    assert asked.count == 1


def test_what_it_said_is_known_for_some_seconds(busy: Slots, asked: Asked) -> None:
    for answer in (True, False, True):
        asked.answer = answer
        for _ in range(20):
            with suppress(Suspend), busy.take("slow", "protect"):
                assert not answer
        asked.now += KNOWN_SECONDS + 1
    assert asked.count == 3


def test_while_it_is_asked_other_runs_begin_and_end(busy: Slots, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> bool:
        with busy.take("other", "protect"):
            return False

    monkeypatch.setattr(busy, "_is_shared", ask)
    with busy.take("slow", "protect"):
        pass


def test_a_database_that_is_away_leaves_no_slot_taken() -> None:
    def away() -> bool:
        raise ConnectionError

    made = Slots(away)
    made.threads = 2
    with made.take("slow", "protect"):
        for _ in range(3):
            with pytest.raises(ConnectionError), made.take("slow", "protect"):
                pass
    with made.take("slow", "protect"):
        pass
