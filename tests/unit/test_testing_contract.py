"""The contract: a good handler passes, and what is wrong with a bad one fails the case that says so, and no other."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
import threading
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from axisor_executor.automation import (
    AccountContext,
    Act,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    CloseCrossPosition,
    ClosePosition,
    Decision,
    Group,
    Lane,
    Number,
    OpenPosition,
    SetStopLoss,
    Whole,
    act,
    wait,
)
from axisor_executor.errors import NotFound, Refused, StaleData, Unavailable
from axisor_executor.testing import Case, FakeExchange, HandlerContract, make_cross_position, make_trade

CONFIG = {"loss_percent": 20}
ANSWERED = threading.Event()
COUNTER = itertools.count()


class Config(AutomationConfig):
    loss_percent: Annotated[Decimal, Number(above=0, most=100, unit="percent")] = Field(
        description="Close at this loss, in percent of the margin.", examples=[25]
    )


class Good(AutomationHandler[Config]):
    """Closes the job's trade at a loss, if the market is against it."""

    type = "good"
    title = "Good"
    actions: ClassVar[Mapping[str, Lane]] = {"close": "protect"}
    config_model = Config

    def decide(self, context: AccountContext[Config]) -> Decision:
        trade = context.trade()
        if trade.state != "running":
            return act(name="close", trade_id=trade.id, facts={"alreadyClosed": True})
        assert trade.entry_price is not None
        is_lost = (context.price() < trade.entry_price) == trade.is_long
        if not is_lost or 100 * -trade.pl < context.config.loss_percent * trade.margin:
            return wait("loss_not_reached", tradeId=trade.id)
        return self.answer(context, trade)

    def answer(self, context, trade) -> Decision:
        return act(ClosePosition(trade.id), name="close")


def failing(contract: type[HandlerContract]) -> dict[str, str]:
    """Return the failing cases by number, with what they say."""
    failed = {}
    for name in sorted(vars(HandlerContract)):
        if name.startswith("test_"):
            try:
                getattr(contract(), name)()
            except AssertionError as error:
                failed[name[5:7]] = str(error)
            except pytest.skip.Exception:
                assert not contract.mirrored
    return failed


def contract_of(tested: Any, **attributes: Any) -> type[HandlerContract]:
    given = {"handler": tested, "configs": [CONFIG]} | attributes
    return type("Contract", (HandlerContract,), given)


@pytest.mark.parametrize("tested", [Good, Good()], ids=["class", "instance"])
def test_a_good_handler_passes(tested):
    assert failing(contract_of(tested, mirrored=True)) == {}


class Nameless(Good):
    title = ""


class EntersUnknown(Good):
    entries = frozenset({"enter"})


class Undescribed(Good):
    class Model(Config):
        limit: int = 3

    config_model = Model


class BadExample(Good):
    class Model(Config):
        limit: Annotated[int, Whole(most=5, unit="trades")] = Field(3, description="How many.", examples=[6])

    config_model = Model


class TakesAnything(Good):
    class Model(Config):
        model_config = ConfigDict(extra="ignore")

    config_model = Model


class DropsUnknown(Good):
    def parse_config(self, raw, action):
        return super().parse_config(
            {key: value for key, value in raw.items() if key == "loss_percent"} | CONFIG, action
        )


class NeverActs(Good):
    def answer(self, context, trade):
        return wait("never")


class LooksAtTheClock(Good):
    def answer(self, context, trade):
        time.time()
        return super().answer(context, trade)


class HidesThatItDid(Good):
    def answer(self, context, trade):
        with contextlib.suppress(BaseException):
            threading.Thread(target=int).start()
        return super().answer(context, trade)


class Counts(Good):
    def answer(self, context, trade):
        return act(ClosePosition(trade.id), name="close", facts={"number": next(COUNTER)})


class ChangesTheConfig(Good):
    def answer(self, context, trade):
        object.__setattr__(context.config, "loss_percent", Decimal(1))
        return super().answer(context, trade)


class ChangesTheTrades(Good):
    def answer(self, context, trade):
        context.reads.running_trades = ()
        return super().answer(context, trade)


class Remembers(Good):
    def __init__(self):
        self.closed = set()

    def answer(self, context, trade):
        if trade.id in self.closed:
            return wait("closed_already")
        self.closed.add(trade.id)
        return super().answer(context, trade)


class TakesTheEntryForThePrice(Good):
    def decide(self, context):
        try:
            context.price()
        except StaleData:
            return act(ClosePosition(context.trade().id), name="close")
        return super().decide(context)


class WaitsForAPrice(Good):
    def decide(self, context):
        try:
            context.price()
        except StaleData:
            return wait("no_price")
        return super().decide(context)


class PriceAsItIs(Good):
    def decide(self, context):
        trade = context.trade()
        if context.reads.price() > 0:
            return super().decide(context)
        return wait("price_odd", tradeId=trade.id)


class SilentAboutTrades(Good):
    def decide(self, context):
        try:
            return super().decide(context)
        except Unavailable:
            return wait("no_trades")


class TakesTheFirst(Good):
    def decide(self, context):
        try:
            return super().decide(context)
        except NotFound:
            first = context.running_trades()
            return super().answer(context, first[0]) if first else wait("no_trades")


class MeansTheFirst(Good):
    def answer(self, context, trade):
        return super().answer(context, context.running_trades()[0])


class MeansTheLast(Good):
    def answer(self, context, trade):
        return super().answer(context, context.running_trades()[-1])


class ClosesAnyId(Good):
    def answer(self, context, trade):
        return act(ClosePosition("trade-of-somebody"), name="close")


class ForLongsOnly(Good):
    def answer(self, context, trade):
        return super().answer(context, trade) if trade.is_long else wait("short")


class AddsAgain(Good):
    def answer(self, context, trade):
        return act(AddMargin(trade.id, 100), name="close")


class ClosesAgain(Good):
    def decide(self, context):
        trade = context.trade()
        return super().decide(context) if trade.state == "running" else super().answer(context, trade)


class ChangesItsMind(Good):
    def answer(self, context, trade):
        step = 0 if trade.stoploss is None else 1
        stop = (trade.liquidation + context.price()).quantize(Decimal(1)) / 2 + step
        return act(SetStopLoss(trade.id, (stop * 2).quantize(Decimal(1)) / 2), name="close")


class FailsAfterwards(Good):
    def decide(self, context):
        if context.trade().state == "closed":
            raise KeyError("state")
        return super().decide(context)


class NotJson(Good):
    def answer(self, context, trade):
        return act(ClosePosition(trade.id), name="close", facts={"at": context.now})


class ErrorNotJson(Good):
    def decide(self, context):
        if context.price() == 47_500:
            raise Refused("no", details={"at": context.now})
        return super().decide(context)


class TwoGroups(Good):
    def answer(self, context, trade):
        stop = (trade.liquidation + context.price()).quantize(Decimal(1)) / 2
        close = Group("close", (ClosePosition(trade.id),), trade.id)
        if trade.stoploss is not None:
            return Act((close,), "close")
        return Act((Group("stop", (SetStopLoss(trade.id, stop),), trade.id), close), "close")


class NamesItself(Good):
    def answer(self, context, trade):
        return act(ClosePosition(trade.id), name="close", trade_id="my-trade")


class NoDecision(Good):
    def decide(self, context):
        decision = super().decide(context)
        return None if decision == wait("loss_not_reached", tradeId="trade-1") else decision


class EntersUnsaid(Good):
    def answer(self, context, trade):
        return act(OpenPosition("sell" if trade.is_long else "buy", 1, Decimal(10)), name="close")


class StopsBeyondTheLiquidation(Good):
    def answer(self, context, trade):
        return act(SetStopLoss(trade.id, trade.liquidation + (-1000 if trade.is_long else 1000)), name="close")


class HangsInACrowd(Good):
    def answer(self, context, trade):
        if len(context.running_trades()) > 100:
            ANSWERED.wait()
        return super().answer(context, trade)


def with_half_a_second(self: Any) -> None:
    self.decide_seconds = 0.5  # in this case alone: no other may fail on a machine that is busy
    HandlerContract.test_18_is_quick(self)


def anew(self: HandlerContract, config: Mapping[str, Any]) -> bool:
    return True


@pytest.mark.parametrize(
    ("number", "tested", "says", "attributes"),
    [
        ("01", Nameless, "must set title", {}),
        ("01", EntersUnknown, "entries has ['enter']", {}),
        ("02", Good, "{'loss_percent': 500} is refused", {"configs": [CONFIG, {"loss_percent": 500}]}),
        ("03", Undescribed, "limit: no description", {}),
        ("03", Undescribed, "limit: a number without a unit", {}),
        ("03", Undescribed, "limit: no example", {}),
        ("03", BadExample, "the example 6 is valid with none", {}),
        ("04", TakesAnything, "with the unknown key 'no_such_key'", {}),
        ("04", DropsUnknown, "with the unknown key 'no_such_key'", {}),
        ("05", NeverActs, "close acts in none of the cases", {}),
        ("06", LooksAtTheClock, "reached for the clock (time.time()) in answer() at test_testing_contract.py:", {}),
        ("06", HidesThatItDid, "reached for a new thread", {}),
        ("07", Counts, "the same context gave two decisions", {}),
        ("08", ChangesTheConfig, "changed its config", {}),
        ("08", ChangesTheTrades, "changed its running_trades", {}),
        ("09", Remembers, "an instance that has decided before", {}),
        ("10", TakesTheEntryForThePrice, "the price is stale, and it acts", {}),
        ("10", WaitsForAPrice, "the price is stale, and it waits", {}),
        ("10", PriceAsItIs, "the price is 0, and it waits", {}),
        ("11", SilentAboutTrades, "running can't be read, and it waits", {}),
        ("12", TakesTheFirst, "the job named a-trade-of-another-account", {}),
        ("12", MeansTheFirst, "ClosePosition(trade_id='trade-1') is about another trade", {}),
        ("12", MeansTheLast, "ClosePosition(trade_id='trade-1-twin') is about another trade", {}),
        ("13", ForLongsOnly, "it waits: short", {"mirrored": True}),
        ("14", AddsAgain, "would have its effect twice", {}),
        ("14", ClosesAgain, "the exchange would refuse ClosePosition", {}),
        ("14", ChangesItsMind, "contradicts SetStopLoss", {}),
        ("14", FailsAfterwards, "it raised KeyError", {}),
        ("15", NotJson, "that can't be written as JSON", {}),
        ("15", ErrorNotJson, "that can't be written as JSON", {}),
        ("16", TwoGroups, "two groups for one trade", {}),
        ("16", NamesItself, "'my-trade', which none of its actions is about", {}),
        ("16", NoDecision, "not a decision", {}),
        ("16", EntersUnsaid, "opens new risk, and is not in entries", {"acts_each_time": anew}),
        ("17", StopsBeyondTheLiquidation, "the exchange would say", {}),
        ("18", HangsInACrowd, "took longer than 0.5 s", {"test_18_is_quick": with_half_a_second}),
    ],
)
def test_what_is_wrong_fails_its_own_case(number, tested, says, attributes):
    try:
        failed = failing(contract_of(tested, **attributes))
    finally:
        ANSWERED.set()
        ANSWERED.clear()
    assert list(failed) == [number], failed
    assert says in failed[number]
    assert "\n-> " in failed[number]


def test_a_trade_that_nobody_has_is_refused_by_the_exchange_as_well():
    failed = failing(contract_of(ClosesAnyId))
    assert list(failed) == ["12", "17"]
    assert "ClosePosition(trade_id='trade-of-somebody') is about no trade of this account" in failed["12"]


def test_every_case_has_a_handler_that_fails_it():
    (mark,) = [one for one in test_what_is_wrong_fails_its_own_case.pytestmark if one.name == "parametrize"]
    assert {parameters[0] for parameters in mark.args[1]} == {
        name[5:7] for name in vars(HandlerContract) if name.startswith("test_")
    }


def test_skipped_where_nothing_is_claimed():
    with pytest.raises(pytest.skip.Exception, match="not claimed"):
        contract_of(ForLongsOnly)().test_13_treats_longs_and_shorts_alike()


class AtAnyLoss(Good):
    """Acts only where the trade is larger, and the price lower, than the contract would try."""

    def answer(self, context, trade):
        if trade.quantity < 1000 or not 40_000 < context.price() < 41_000:
            return wait("not_there")
        return super().answer(context, trade)


DEEP = make_trade(id="deep", quantity=1000, leverage=2)


@pytest.mark.parametrize(
    "given",
    [
        {"trade": DEEP, "price": 40_500},
        {"cases": [Case(CONFIG, FakeExchange(price=40_500, trades=[DEEP]), trade_id="deep")]},
        {"configs": [], "cases": [Case(CONFIG, FakeExchange(price="40500", trades=[DEEP]), "close", "deep")]},
    ],
)
def test_a_situation_can_be_given(given):
    assert failing(contract_of(AtAnyLoss, **given)) == {}
    assert list(failing(contract_of(AtAnyLoss))) == ["05"]


class OfTwoActions(Good):
    """Has the job say which."""

    actions: ClassVar[Mapping[str, Lane]] = {"close": "protect", "leave": "default"}


def test_the_action_may_be_the_jobs_own():
    exchange = FakeExchange(price=48_000, trades=[make_trade()])
    cases = [Case(CONFIG, exchange, action, "trade-1") for action in ("close", "leave")]
    assert failing(contract_of(OfTwoActions, configs=[], cases=cases)) == {}
    failed = failing(contract_of(OfTwoActions, configs=[], cases=cases[:1]))
    assert list(failed) == ["02", "05"]
    assert "no config means leave" in failed["02"]


class OfTheSecondVersion(Good):
    """Reads configs that were written before as well."""

    config_version = 2

    def upgrade_config(self, raw, version):
        return {"loss_percent" if key == "loss" else key: value for key, value in raw.items()}


def test_configs_are_read_as_a_run_reads_them():
    configs = [{"loss": 20}, {"loss_percent": 20, "config_version": 2}]
    assert failing(contract_of(OfTheSecondVersion, configs=configs)) == {}
    failed = failing(contract_of(OfTheSecondVersion, configs=[CONFIG, {"loss": 20, "config_version": 2}]))
    assert list(failed) == ["02"]
    assert "loss: unknown key" in failed["02"]


class Sweeps(Good):
    """Closes all that runs, whatever the job names."""

    def decide(self, context):
        groups = [Group("close", (ClosePosition(one.id),), one.id) for one in context.running_trades()]
        return Act(tuple(groups), "close", lists_trades=True) if groups else wait("nothing_runs")


def test_a_config_may_choose_the_trades_itself():
    assert list(failing(contract_of(Sweeps))) == ["12"]
    assert failing(contract_of(Sweeps, chooses_trades=lambda self, config: True)) == {}


class ClosesTheCross(Good):
    def decide(self, context):
        held = context.cross_position()
        if held.side is None:
            return wait("nothing_held")
        return act(CloseCrossPosition(held.id, held.side, abs(held.quantity)), name="close")


def test_the_cross_position_is_there_too():
    chooses = {"chooses_trades": lambda self, config: True}
    assert failing(contract_of(ClosesTheCross, mirrored=True, **chooses)) == {}
    flat = FakeExchange(cross_position=make_cross_position(quantity=0))
    assert list(failing(contract_of(ClosesTheCross, configs=[], cases=[Case(CONFIG, flat)], **chooses))) == ["05"]


class Hangs(Good):
    def answer(self, context, trade):
        ANSWERED.wait()
        return super().answer(context, trade)


def test_the_garbage_of_others_is_not_the_handlers_doing():
    def look_at_the_clock(phase: str, info: Any) -> None:
        time.perf_counter()

    before = gc.get_threshold()
    gc.callbacks.append(look_at_the_clock)
    gc.set_threshold(1)
    try:
        contract_of(Good)().test_06_is_pure()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(look_at_the_clock)


def test_one_that_hangs_leaves_nothing_switched_off():
    try:
        contract_of(Hangs, decide_seconds=0.2)().test_06_is_pure()
    finally:
        ANSWERED.set()
        ANSWERED.clear()
    assert gc.isenabled()


def test_nothing_is_left_behind():
    failing(contract_of(LooksAtTheClock))
    assert sys.getprofile() is None
    assert time.time() > 0
