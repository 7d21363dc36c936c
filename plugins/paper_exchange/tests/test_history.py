"""Pages of finished trades against the whole list."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import History

instants = st.integers(0, 30)


@given(st.lists(instants, max_size=25), st.none() | instants, st.none() | instants, st.integers(1, 7))
def test_pages_are_the_list(ends: list[int], since: int | None, until: int | None, limit: int) -> None:
    history = History()
    rows: list[Any] = list(range(len(ends)))
    for number, at in enumerate(ends):
        # A clock that is set back makes trades end in another order than they are written down.
        history.add(at, number, rows[number])
    wanted = [
        number
        for at, number in sorted(zip(ends, rows, strict=True), reverse=True)
        if (since is None or at >= since) and (until is None or at <= until)
    ]
    seen: list[Any] = []
    before = None
    while True:
        page, before = history.page(since=since, until=until, before=before, limit=limit)
        seen += page
        if before is None:
            break
        assert len(page) == limit
    assert seen == wanted


def test_a_page_is_not_moved_by_trades_that_end_meanwhile() -> None:
    history = History()
    trades: list[Any] = ["a", "b", "c", "d"]
    for at in range(3):
        history.add(at, at, trades[at])
    page, before = history.page(since=None, until=None, before=None, limit=2)
    history.add(9, 9, trades[3])
    rest, end = history.page(since=None, until=None, before=before, limit=2)
    assert (page, rest, end) == (["c", "b"], ["a"], None)
