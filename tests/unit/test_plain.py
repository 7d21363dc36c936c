"""What a plugin gives back becomes plain values, or junk with words: never a surprise further on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor_executor import errors
from axisor_executor.automation import (
    Act,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    ClosePosition,
    Group,
    Lane,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    Wait,
    act,
    jsonable,
    wait,
)
from axisor_executor.errors import AxisorError, NotFound, Refused, StaleData, Unavailable
from axisor_executor.run.anew import made_anew
from axisor_executor.run.plain import LONGEST_DECISION, Junk, plain_config, plain_decision, plain_error, through_json

CLOSE = ClosePosition("t1")
LOOP: list[Any] = []
LOOP.append(LOOP)
CLOSE_2 = ClosePosition("t2")
ENTRY = OpenPosition("buy", 100, Decimal(10))
REST = OpenPosition("buy", 50, Decimal(10), replaces="t1")


class Shifty(Act):
    """An Act whose groups are others each time they are looked at."""

    looks: ClassVar[Iterator[str]]

    def __getattribute__(self, name: str) -> Any:
        if name == "groups":
            return (Group("close", (ClosePosition(next(type(self).looks)),)),)
        return super().__getattribute__(name)


class BrokenAct(Act):
    """An Act that can't be told."""

    def as_dict(self) -> dict[str, Any]:
        raise RuntimeError("no words")


class NoDict(Wait):
    """A Wait whose form is none."""

    def as_dict(self) -> Any:
        return ["wait"]


class Sneaky(ClosePosition):
    """A close that would be stored as something else than it is."""

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "Withdraw", "everything": True}


def groups(*made: Group, **more: Any) -> Act:
    return Act(groups=made, action="go", **more)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("12.00", 12),
        ("1e30", 10**30),
        ("1e31", "1E+31"),
        ("-1e999999", "-1E+999999"),
        ("0e999999", "0E+999999"),
        ("1e-999999", 0.0),
    ],
)
def test_a_decimal_without_end_is_not_written_out(number: str, told: object) -> None:
    """To make an integer of it takes half a minute in which nothing else goes on in the process."""
    assert jsonable({"fact": Decimal(number)}) == {"fact": told}


JUNK: dict[str, tuple[object, str]] = {
    "nothing": (None, "returned NoneType, not a decision"),
    "a list of decisions": ([wait("x")], "returned list, not a decision"),
    "the class": (Wait, "returned type, not a decision"),
    "an error": (Refused("no"), "returned Refused, not a decision"),
    "no groups": (Act(groups=(), action="go"), "Act without a group"),
    "groups that are none": (Act(groups=None, action="go"), "not JSON"),  # type: ignore[arg-type]
    "a group that is a text": (Act(groups=("close",), action="go"), "not JSON"),  # type: ignore[arg-type]
    "a broken as_dict": (BrokenAct(groups=(), action="go"), "not JSON: RuntimeError: no words"),
    "an as_dict that returns no mapping": (NoDict("x"), "as_dict() is no mapping"),
    "an action of its own making": (act(Sneaky("t1")), "unknown action kind 'Withdraw'"),
    "an action that is a text": (groups(Group("go", ("close",))), "not JSON"),  # type: ignore[arg-type]
    "a number that is none": (wait("x", price=math.nan), "not JSON"),
    "a Decimal that is none": (wait("x", price=Decimal("NaN")), "not JSON"),
    "facts that are objects": (wait("x", seen={1, 2}), "not JSON: TypeError"),
    "facts that are bytes": (act(CLOSE, facts={"raw": b"x"}), "not JSON: TypeError"),
    "facts that are a list": (Wait("x", ["a"]), "facts that are no mapping"),  # type: ignore[arg-type]
    "no reason": (Wait(""), "Wait without a reason"),
    "a reason that is a number": (Wait(7), "Wait without a reason"),  # type: ignore[arg-type]
    "half a surrogate pair": (wait("x", name="\ud800"), "no database keeps"),
    "NUL in a name": (act(ClosePosition("t\x001")), "no database keeps"),
    "far too much": (wait("x", notes="a" * LONGEST_DECISION), "characters; 2000000 are the most"),
    "a list that holds itself": (wait("x", loop=LOOP), "not JSON"),
    "an unhashable trade id": (groups(Group("go", (CLOSE,), trade_id=["t1"])), "trade_id ['t1']"),  # type: ignore[arg-type]
    "an empty trade id": (groups(Group("go", (CLOSE,), trade_id="")), "a group with the trade_id ''"),
    "a status that there is not": (groups(Group("go", status="done")), "a group with an action, status"),
    "a name that is none": (act(CLOSE, name="x" * 201), "Act with an action"),
    "lists_trades that is a text": (groups(Group("go"), lists_trades="yes"), "lists_trades"),  # type: ignore[arg-type]
    "failed without an error": (groups(Group("go", status="failed")), "failed group without"),
    "failed with a text": (
        groups(Group("go", status="failed", facts={"error": "broken"})),
        "failed group without",
    ),
    "two groups for one trade": (
        groups(Group("a", (CLOSE,), "t1"), Group("b", (CLOSE,), "t1")),
        "two groups for one trade",
    ),
    "two groups that share one of their trades": (
        groups(Group("a", (CLOSE, AddMargin("t2", 5)), "t1"), Group("b", (CLOSE_2,), "t2")),
        "two groups for one trade",
    ),
    "two groups with an entry, one of them beside a trade": (
        groups(Group("a", (ENTRY,)), Group("b", (CLOSE, ENTRY), "t1")),
        "or two for entries",
    ),
    "two groups for one trade, one of which says nothing": (
        groups(Group("a", (CLOSE,)), Group("b", (CLOSE,), "t1")),
        "two groups for one trade",
    ),
    "an entry with a trade id of its own making": (
        groups(Group("a", (ENTRY,), "ladder-1")),
        "a group with the trade_id 'ladder-1', which none of its actions is about",
    ),
    "a trade under the id of another": (act(CLOSE, trade_id="t2"), "trade_id 't2', which none of its actions is about"),
    "a replacement of what it does not close": (act(REST), "a replacement of t1 that it does not close"),
    "more sats than there are": (act(AddMargin("t1", 10**30)), "AddMargin with amount 1000"),
}


class TestDecisions:
    @pytest.mark.parametrize("kind", JUNK)
    def test_junk_is_refused_with_words(self, kind: str) -> None:
        made, told = JUNK[kind]
        with pytest.raises(Junk) as caught:
            plain_decision(made)
        assert str(caught.value).startswith("returned ")
        assert told in str(caught.value)

    @pytest.mark.parametrize(
        "made",
        [
            act(CLOSE),
            act(CLOSE, REST, name="reduce_position", trade_id="t1"),
            act(name="close_position", trade_id="t1"),
            act(SetStopLoss("t1", Decimal("48000.5"))),
            act(ReduceCrossPosition("c1", "buy", 200, 100), trade_id="c1"),
            groups(Group("a", (CLOSE,), "t1"), Group("b", status="pending", trade_id="t2"), lists_trades=True),
            groups(Group("a", status="failed", facts={"error": {"status": 400, "code": "x", "message": "y"}})),
            act(ENTRY),
            act(CLOSE, ENTRY),
            act(CLOSE, AddMargin("t2", 5), trade_id="t2"),
            groups(Group("a", (CLOSE,), "t1"), Group("b", (ENTRY,)), Group("c", trade_id="t1")),
            wait("price_above"),
        ],
        ids=str,
    )
    def test_what_makes_sense_stays_as_it_is(self, made: Any) -> None:
        assert plain_decision(made) == made

    @pytest.mark.parametrize("actions", [(CLOSE,), (CLOSE, REST), (ENTRY, CLOSE), (CLOSE, AddMargin("t2", 5))], ids=str)
    def test_a_group_that_names_no_trade_has_that_of_its_first_action_on_one(self, actions: tuple[Any, ...]) -> None:
        assert plain_decision(groups(Group("go", actions))) == groups(Group("go", actions, "t1"))

    def test_facts_are_what_the_ledger_keeps(self) -> None:
        facts = {"price": Decimal("50000.5"), "count": Decimal(3), "ids": ("a", "b")}
        assert plain_decision(wait("x", **facts)) == wait("x", price=50000.5, count=3, ids=["a", "b"])
        assert plain_decision(act(CLOSE, facts=facts)).facts == {"price": 50000.5, "count": 3, "ids": ["a", "b"]}

    def test_nothing_is_shared_with_what_the_plugin_keeps(self) -> None:
        kept: dict[str, Any] = {"ids": ["a"]}
        plain = plain_decision(Wait("x", kept))
        kept["ids"].append("b")
        kept["more"] = 1
        assert plain.facts == {"ids": ["a"]}

    def test_a_decision_that_changes_with_each_look_is_looked_at_once(self) -> None:
        Shifty.looks = (f"t{number}" for number in range(100))
        plain = plain_decision(Shifty(groups=(), action="go"))
        assert type(plain) is Act
        assert plain.groups == plain.groups
        assert plain.groups[0].actions == (ClosePosition("t0"),)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text() | st.floats(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        )
    )
    def test_any_fact_is_kept_or_refused(self, fact: Any) -> None:
        try:
            plain = plain_decision(wait("x", fact=fact))
        except Junk:
            return
        assert plain == wait("x", fact=fact)
        assert plain_decision(plain) == plain


LOOSE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 7, 10**15, 10**15 - 1, 10**5000]),
    st.floats(),
    st.decimals(),
    st.decimals(allow_nan=False, min_value=-10, max_value=100, places=1),
    st.sampled_from([Decimal("sNaN"), Decimal("1E+999999"), Decimal("-0"), Decimal("1E-400"), Decimal("50000.50")]),
    st.text(max_size=5),
    st.sampled_from(
        ["buy", "sell", "market", "limit", "t1", "\\u0000", "a\0", "a\nb", "\ud800", "", " ", "x" * 201, "5"]
    ),
    st.binary(max_size=2),
    st.lists(st.integers(), max_size=2),
)
KINDS = [ClosePosition, OpenPosition, AddMargin, SetStopLoss, ReduceCrossPosition]
LIKELY = {
    "side": "buy",
    "quantity": 100,
    "leverage": Decimal(10),
    "type": "market",
    "trade_id": "t1",
    "amount": 5,
    "value": Decimal("48000.5"),
    "position_id": "c1",
    "held": 200,
}


@st.composite
def loose_decisions(draw: st.DrawFn) -> Any:
    """A decision of our own classes, a few of its values any, as a plugin could force them in unchecked."""

    def mostly(likely: Any) -> Any:
        return draw(LOOSE) if draw(st.integers(0, 19)) == 19 else likely

    def facts() -> Any:
        name = draw(st.one_of(st.just("a"), st.text(max_size=3), st.integers()))
        return mostly({name: draw(LOOSE), "b": "word"} if draw(st.booleans()) else {})

    def action() -> Any:
        kind: Any = draw(st.sampled_from(KINDS))
        made = object.__new__(kind)
        for name in kind.__match_args__:
            object.__setattr__(made, name, mostly(LIKELY.get(name)))
        return made

    def group(trade_id: str) -> Any:
        actions = tuple(action() for _ in range(draw(st.integers(0, 2))))
        return Group(mostly("go"), mostly(actions), mostly(trade_id), mostly("completed"), facts())

    if draw(st.integers(0, 3)) == 0:
        return Wait(mostly("x"), facts())
    made = tuple(group(f"t{number}") for number in range(draw(st.integers(0, 2))))
    return Act(mostly(made), mostly("go"), mostly(draw(st.booleans())), facts())


class TestAnew:
    """What is made anew without the JSON is what the JSON would have given back, to the type of each value."""

    @given(loose_decisions())
    @settings(max_examples=500)
    def test_as_the_ledger_gives_it_back(self, decision: Any) -> None:
        anew = made_anew(decision)
        if anew is not None:
            assert repr(anew) == repr(through_json(decision))

    @pytest.mark.parametrize(
        "decision",
        [
            act(CLOSE, REST, name="reduce_position", trade_id="t1", facts={"price": Decimal("50000.5"), "side": "b"}),
            wait("price_not_triggered", currentPrice=Decimal(50_000), share=0.5, ready=False, none=None),
            groups(Group("a", (CLOSE,), "t1"), Group("b", status="pending", trade_id="t2"), lists_trades=True),
        ],
        ids=str,
    )
    def test_the_usual_ones_need_no_json(self, decision: Any) -> None:
        assert repr(made_anew(decision)) == repr(through_json(decision))

    @pytest.mark.parametrize(
        "decision",
        [
            Shifty(groups=(), action="go"),
            act(Sneaky("t1")),
            wait("x", ids=["a"]),
            wait("x", name=type("S", (str,), {})("a")),
        ],
        ids=lambda decision: type(decision).__name__,
    )
    def test_what_may_be_a_plugins_code_does(self, decision: Any) -> None:
        assert made_anew(decision) is None


class Config(AutomationConfig):
    """Nothing."""

    cooldown_seconds: Any = None


class Handler(AutomationHandler[Config]):
    """Has two actions."""

    type, title, config_model = "h", "H", Config
    actions: ClassVar[Mapping[str, Lane]] = {"go": "default", "guard": "protect"}

    def __init__(self, action: Any = "go", config: Any = None, ignored: Any = ()) -> None:
        self.answers = action, config or Config(), ignored

    def choose_action(self, job_action: str | None, config: Any) -> Any:
        return self.answers[0]

    def parse_config(self, raw: Any, action: str) -> Any:
        assert action in self.actions
        return self.answers[1]

    def ignored(self, raw: Any, action: str | None = None) -> Any:
        return self.answers[2]

    def decide(self, context: Any) -> Wait:
        return wait("never")


class TestConfigs:
    def test_what_makes_sense(self) -> None:
        config = Config()
        assert plain_config(Handler("guard", config, ["enabled"]), None, {}) == ("guard", config, ("enabled",))

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ((None, Config(), ()), "choose_action() returned None"),
            (("fly", Config(), ()), "choose_action() returned 'fly', which is none of its actions"),
            ((["go"], Config(), ()), "choose_action() returned ['go']"),
            (("go", {"action": "go"}, ()), "parse_config() returned dict, not an AutomationConfig"),
            (("go", 7, ()), "parse_config() returned int"),
            (("go", Config(), None), "ignored() returned None"),
            (("go", Config(), "enabled"), "ignored() returned 'enabled'"),
            (("go", Config(), (["enabled"],)), "ignored() returned (['enabled'],)"),
            (("go", Config(cooldown_seconds="soon"), ()), "cooldown_seconds 'soon'"),
            (("go", Config(cooldown_seconds=-1), ()), "cooldown_seconds -1"),
        ],
    )
    def test_junk_is_refused_with_words(self, given: tuple[Any, Any, Any], told: str) -> None:
        with pytest.raises(Junk) as caught:
            plain_config(Handler(*given), None, {})
        assert told in str(caught.value)


class OwnRefused(Refused):
    """A plugin's own class."""

    default_code = "own_default"

    def as_dict(self) -> dict[str, Any]:
        raise SystemExit("never")


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            AxisorError("m", status=400, code="own"),
            errors.InvalidJob("m"),
            errors.InvalidConfig("m"),
            NotFound("m", code="trade_not_found", account_id="a", account_name="n"),
            Refused("m"),
            StaleData("m"),
            Unavailable("m", retry_after=2.5),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_it_may_raise_passes_as_it_is(self, error: AxisorError) -> None:
        assert plain_error(error) is error

    def test_details_become_plain(self) -> None:
        plain = plain_error(StaleData("m", details={"seen": (1, 2)}))
        assert (type(plain), plain.details) == (StaleData, {"seen": [1, 2]})

    def test_a_class_of_its_own_counts_as_the_one_of_ours_below_it(self) -> None:
        plain = plain_error(OwnRefused("m", details={"a": 1}))
        assert type(plain) is Refused
        assert plain.as_dict() == {"status": 400, "code": "own_default", "message": "m", "details": {"a": 1}}

    def test_what_no_database_keeps_is_replaced_and_what_is_long_is_cut(self) -> None:
        plain = plain_error(Refused("a\x00b\ud800" + "x" * 5000))
        assert plain.message.startswith("a\ufffdb?xx")
        assert len(plain.message) == 2000

    @pytest.mark.parametrize(
        "error",
        [
            errors.LeaseLost("m"),
            errors.Held("m"),
            errors.Changed("m"),
            errors.StorageError("m"),
            errors.CircuitOpen("m"),
            errors.Throttled("m"),
            errors.OutcomeUnknown("m"),
            errors.Rejected("m"),
            errors.SettingsError("m"),
            errors.PluginError("m"),
            errors.CredentialsError("m"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_the_cores_own_are_not_its_to_raise(self, error: AxisorError) -> None:
        with pytest.raises(Junk, match=f"raised {type(error).__name__}, which only the core raises: m"):
            plain_error(error)

    @pytest.mark.parametrize(
        "change",
        [
            lambda error: setattr(error, "code", None),
            lambda error: setattr(error, "code", "not a code"),
            lambda error: setattr(error, "code", "x" * 65),
            lambda error: setattr(error, "status", "400"),
            lambda error: setattr(error, "status", 200),
            lambda error: setattr(error, "status", True),
            lambda error: setattr(error, "retry_after", math.nan),
            lambda error: setattr(error, "retry_after", "soon"),
            lambda error: setattr(error, "retry_after", -1),
            lambda error: setattr(error, "account_id", 7),
            lambda error: setattr(error, "details", {"seen": {1}}),
            lambda error: setattr(error, "details", {"seen": math.inf}),
            lambda error: setattr(error, "details", {"seen": "x" * 30_000}),
            lambda error: setattr(error, "details", {"seen": "\ud800"}),
            lambda error: setattr(error, "details", 7),
        ],
    )
    def test_values_that_make_no_sense_are_junk(self, change: Callable[[AxisorError], None]) -> None:
        error = Unavailable("m")
        change(error)
        with pytest.raises(Junk, match="raised Unavailable with "):
            plain_error(error)
