"""Whatever was opened, reduced and closed before, an open trade stays known as its automation's."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor.automation import ClosePosition, OpenPosition
from axisor_executor.storage import history, lineage
from axisor_executor.storage.connection import Storage
from tests.integration.ledger import ENTRY
from tests.integration.test_pruning import Past

ACTED_DAYS = 366


@dataclass(frozen=True)
class History:
    """A trade: how many days ago it was opened, reduced (each time under a new id) and closed, if it was."""

    days: tuple[int, ...]
    is_closed: bool

    @property
    def reduces(self) -> tuple[int, ...]:
        """When it was reduced."""
        return self.days[1:-1] if self.is_closed else self.days[1:]

    @property
    def has_gone(self) -> bool:
        """Whether all of it is over and long ago."""
        return self.is_closed and min(self.days) > ACTED_DAYS


# Not at the limit itself: there it is the clock that tells one pass from the next.
a_day = st.integers(300, 450).filter(lambda day: day != ACTED_DAYS)
days = st.lists(a_day, min_size=1, max_size=4, unique=True)
histories = st.builds(
    lambda found, is_closed: History(tuple(sorted(found, reverse=True)), is_closed and len(found) > 1),
    days,
    st.booleans(),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(histories, min_size=1, max_size=4), batch=st.integers(1, 5), upside_down=st.booleans())
def test_open_trades_stay_known_and_all_else_goes(
    migrated_sqlite: Path, tmp_path: Path, told: list[History], batch: int, upside_down: bool
) -> None:
    file = shutil.copy(migrated_sqlite, tmp_path / "axisor.db")
    for leftover in ("axisor.db-wal", "axisor.db-shm"):
        (tmp_path / leftover).unlink(missing_ok=True)
    with closing(Storage(f"sqlite:///{file}")) as storage, storage.connection():
        past = Past(storage)
        order = list(enumerate(told))
        made: dict[str, int] = {}
        for number, life in reversed(order) if upside_down else order:
            made |= _happen(past, number, life)
        past.prune(batch=batch)
        assert past.ids >= {one for one, at in made.items() if at < ACTED_DAYS}
        _check(past, told)
        assert past.prune(batch=batch).executions == 0, "one pass is enough"


def _happen(past: Past, number: int, life: History) -> dict[str, int]:
    """Have it all been done, and return how many days ago each execution ended."""
    automation_id, trade = f"automation-of-{number}", f"{number}-0"
    made = {past.acted(ENTRY, trade=trade, automation_id=automation_id, days=life.days[0]): life.days[0]}
    for version, at in enumerate(life.reduces, start=1):
        reopen = OpenPosition("buy", 50, Decimal(10), replaces=trade)
        made[past.acted(ClosePosition(trade), reopen, trade=f"{number}-{version}", days=at)] = at
        trade = f"{number}-{version}"
    if life.is_closed:
        made[past.acted(ClosePosition(trade), days=life.days[-1])] = life.days[-1]
    return made


def _check(past: Past, told: list[History]) -> None:
    kept = past.storage.rows("SELECT execution_id, new_trade_id FROM axisor_actions")
    for number, life in enumerate(told):
        first, last = f"{number}-0", f"{number}-{len(life.reduces)}"
        known = history.opened_by(
            past.storage,
            f"automation-of-{number}",
            trade_ids=lineage.ancestors(past.storage, "account-1", [last]),
            client_ids={},
        )
        if not life.is_closed:
            assert known == {last}
            assert lineage.current_id(past.storage, "account-1", first) == last
        if life.has_gone:
            assert not {row[1] for row in kept} & {first, last}
    orphans = past.storage.rows(
        "SELECT 1 FROM axisor_actions a LEFT JOIN axisor_executions e ON e.id = a.execution_id WHERE e.id IS NULL"
    )
    assert orphans == []
    dangling = past.storage.rows(
        "SELECT 1 FROM axisor_trade_lineage l LEFT JOIN axisor_executions e ON e.id = l.execution_id WHERE e.id IS NULL"
    )
    assert dangling == []
