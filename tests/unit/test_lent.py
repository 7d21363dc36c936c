"""LentReads: a handler reads through them while it decides, changes nothing by it, and reads nothing afterwards."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from axisor_executor.automation import AccountContext, AutomationConfig, AutomationHandler, Reads, wait
from axisor_executor.errors import PluginError, StaleData, StorageError, Unavailable
from axisor_executor.exchange.base import CrossPosition, Trade
from axisor_executor.plugins import Found, Registered
from axisor_executor.run.decide import decide
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.lent import LentReads
from axisor_executor.testing import NOW, make_context, make_trade

METHODS = sorted(name for name in vars(Reads) if not name.startswith("_"))
GIVEN: dict[str, tuple[Any, ...]] = {
    "finished": ("t1",),
    "own_entries": (NOW,),
    "acted_on": (NOW,),
    "current_id": ("t1",),
    "original_id": ("t1",),
}


class Kept:
    """Reads that return what they keep themselves, as a run's do, and raise what they are told to."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.trades = [make_trade(id="t1")]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def read(*given: Any) -> Any:
            if self.error is not None:
                raise self.error
            return self.trades if not given or name == "own_entries" else (name, *given)

        return read


class TestReading:
    @pytest.mark.parametrize("name", METHODS)
    def test_everything_is_passed_on_and_no_list_is_shared(self, name: str) -> None:
        kept = Kept()
        found = getattr(LentReads(kept), name)(*GIVEN.get(name, ()))
        wanted = getattr(kept, name)(*GIVEN.get(name, ()))
        assert (list(found) if isinstance(found, tuple) and found == tuple(wanted) else found) in (wanted, list(wanted))
        if name in {"running", "open_orders", "own_trades", "own_entries"}:
            assert type(found) is tuple

    @pytest.mark.parametrize("name", METHODS)
    def test_after_the_end_nothing_is_read(self, name: str) -> None:
        lent = LentReads(Kept(AssertionError("read")))
        lent.end()
        with pytest.raises(RuntimeError, match="the decision is over"):
            getattr(lent, name)(*GIVEN.get(name, ()))

    @pytest.mark.parametrize("name", METHODS)
    def test_what_a_read_raised_is_known_again(self, name: str) -> None:
        error = StorageError("away")
        lent = LentReads(Kept(error))
        with pytest.raises(StorageError):
            getattr(lent, name)(*GIVEN.get(name, ()))
        assert lent.raised(error)
        assert not lent.raised(StorageError("away"))

    def test_what_a_read_raised_passes_as_it_was_whatever_the_plugin_made_of_it(self) -> None:
        error = StaleData("away", details={"age": [1]})
        lent = LentReads(Kept(error))
        with pytest.raises(StaleData):
            lent.price()
        error.details["age"].append({1})
        vars(error).update(message=7, code=None, account_id=object(), details={"a": {1}}, mine=1)
        assert lent.raised(error)
        assert error.as_dict() == StaleData("away", details={"age": [1]}).as_dict()
        assert not hasattr(error, "mine")

    @pytest.mark.parametrize("kind", [Trade, CrossPosition])
    def test_what_is_read_can_not_be_changed_by_mistake(self, kind: Any) -> None:
        assert kind.__dataclass_params__.frozen
        assert not {field.type for field in dataclasses.fields(kind)} & {"list", "dict", "set"}


class Config(AutomationConfig):
    """Nothing."""


class Handler(AutomationHandler[Config]):
    """Does what the test says."""

    type, title, config_model = "h", "H", Config
    actions = {"go": "default"}  # noqa: RUF012

    def __init__(self, call: Callable[[AccountContext[Any]], Any]) -> None:
        self.call = call

    def decide(self, context: AccountContext[Config]) -> Any:
        return self.call(context)


def asked(
    call: Callable[[AccountContext[Any]], Any],
    reads: Any,
    *,
    seconds: float = 5,
    meanwhile: Callable[[], object] = lambda: None,
) -> Any:
    handler = Handler(call)
    context = dataclasses.replace(make_context({}, handler=handler), reads=reads)
    return decide(Registered(handler, Found("h", "axisor-h", "1.2", dict)), context, Deciders(), seconds, meanwhile)


class TestDeciding:
    @pytest.mark.parametrize("error", [StorageError("away"), ConnectionError("reset"), StaleData("old")])
    def test_what_the_core_raised_is_not_the_plugins_fault(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            asked(lambda context: context.balance(), Kept(error))
        assert caught.value is error

    def test_raised_anew_it_is(self) -> None:
        def call(context: AccountContext[Any]) -> Any:
            try:
                return context.balance()
            except StorageError as error:
                raise StorageError(error.message) from None

        with pytest.raises(
            PluginError, match=r"axisor-h 1\.2 \[h\]: decide\(\) raised StorageError, which only the core"
        ):
            asked(call, Kept(StorageError("away")))

    def test_changes_to_a_list_that_was_read_reach_nobody(self) -> None:
        kept = Kept()

        def call(context: AccountContext[Any]) -> Any:
            for read in (context.reads.running, context.reads.own_trades):
                with pytest.raises(AttributeError):
                    read().clear()  # type: ignore[attr-defined]
            with pytest.raises(dataclasses.FrozenInstanceError):
                context.running_trades()[0].pl = 0  # type: ignore[misc]
            with pytest.raises(dataclasses.FrozenInstanceError):
                context.config = None  # type: ignore[misc]
            return wait("looked")

        assert asked(call, kept) == wait("looked")
        assert [trade.id for trade in kept.trades] == ["t1"]

    def test_a_read_that_takes_too_long_is_not_the_plugins_fault(self) -> None:
        reading, go_on = threading.Event(), threading.Event()

        class Slow(Kept):
            def balance(self) -> int:
                reading.set()
                go_on.wait(30)
                return 1

        def until_it_reads() -> None:  # however late its thread gets there, its time ends in the read
            assert reading.wait(20)

        try:
            with pytest.raises(Unavailable, match=r"took longer than 0\.05 s"):
                asked(lambda context: wait(str(context.balance())), Slow(), seconds=0.05, meanwhile=until_it_reads)
        finally:
            go_on.set()

    def test_one_that_was_given_up_comes_back_at_its_next_read(self) -> None:
        go_on, back = threading.Event(), threading.Event()

        def call(context: AccountContext[Any]) -> Any:
            try:
                go_on.wait(30)
                while True:
                    context.balance()
            finally:
                back.set()

        with pytest.raises(PluginError, match="took longer"):
            asked(call, Kept(), seconds=0.02)
        go_on.set()
        assert back.wait(10)
