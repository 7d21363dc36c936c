"""Slots: no exchange holds all threads of a process, unless it is the only one in use."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from axisor_executor.limits.slots import Slots
from axisor_executor.run.flow import Suspend


def taken(slots: Slots, stack: ExitStack, exchange: str, most: int = 100) -> int:
    """Take slots until none is left, and return how many there were."""
    for count in range(most):
        try:
            stack.enter_context(slots.take(exchange))
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


def test_with_one_exchange_in_use_there_is_nobody_to_starve() -> None:
    with ExitStack() as stack:
        assert taken(slots(4, shared=False), stack, "only") == 100


@pytest.mark.parametrize("threads", [0, 1])
def test_one_thread_can_not_be_shared(threads: int) -> None:
    with ExitStack() as stack:
        assert taken(slots(threads), stack, "slow") == 100


def test_who_gets_none_waits_in_the_database() -> None:
    with ExitStack() as stack:
        made = slots(4)
        taken(made, stack, "slow")
        with pytest.raises(Suspend) as caught, made.take("slow"):
            pytest.fail("it must not begin")
        assert (caught.value.wait_for, caught.value.spends_try) == ("rate", False)
        assert 0 < caught.value.seconds <= 5


def test_slots_are_given_back_however_the_run_ends() -> None:
    made = slots(4)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt), made.take("slow"):
            raise KeyboardInterrupt
    with ExitStack() as stack:
        assert taken(made, stack, "slow") == 3


def test_the_database_is_asked_only_where_it_matters() -> None:
    asked = list[int]()

    def is_shared() -> bool:
        asked.append(1)
        return True

    made = Slots(is_shared)
    made.threads = 4
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(made.take("slow"))
        assert asked == []
        with pytest.raises(Suspend):
            stack.enter_context(made.take("slow"))
        assert asked == [1]


def test_a_database_that_is_away_leaves_no_slot_taken() -> None:
    def away() -> bool:
        raise ConnectionError

    made = Slots(away)
    made.threads = 2
    with made.take("slow"):
        for _ in range(3):
            with pytest.raises(ConnectionError), made.take("slow"):
                pass
    with made.take("slow"):
        pass
