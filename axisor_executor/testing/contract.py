"""The cases that every handler passes; a plugin's tests inherit them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar, NoReturn

from axisor_executor.automation import Act, OpenPosition
from axisor_executor.errors import AxisorError, InvalidConfig, PluginError, Rejected, StaleData, Unavailable
from axisor_executor.exchange.base import Trade
from axisor_executor.hookspecs import hookimpl
from axisor_executor.plugins import Found, Registered, load
from axisor_executor.run.decide import check_reopens, decide
from axisor_executor.run.plain import Junk
from axisor_executor.run.reading import read
from axisor_executor.testing import documented, mirroring, repeated
from axisor_executor.testing.cases import (
    Case,
    Handler,
    Outcome,
    ask,
    crowded,
    deciders,
    found,
    fresh,
    in_time,
    ladder,
    not_storable,
    twin_cases,
)
from axisor_executor.testing.defaults import Price
from axisor_executor.testing.purity import Watch, no_collection

FOREIGN = "a-trade-of-another-account"
CROWD = 300
UNREADABLE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "running": ({"running": None},),
    "open_orders": ({"open_orders": None}, {"running": (), "open_orders": None}),
    "finished": ({"finished": None}, {"running": (), "open_orders": (), "finished": None}),
    "own_trades": ({"own": None},),
    "own_entries": ({"entries": None},),
    "acted_on": ({"acted_on": None},),
    "cross_position": ({"cross_position": None},),
    "balance": ({"balance": None},),
}
"""How each fact is made unreadable; some are read only where nothing was found before."""


class HandlerContract:
    """Acceptance cases for a handler: inherit, name the handler and its configs, and run pytest.

    ::

        class TestTrailingStop(HandlerContract):
            handler = TrailingStop
            configs = [{"action": "trail", "distance_percent": 2}]

    Each config is tried on an account with one trade, a long and a short at 10x from 50 000, at several prices,
    with a job that names the trade and with one that names none. Where the handler acts in none of these, give
    :attr:`trade`, :attr:`price` or whole :attr:`cases`.

    Attributes:
        handler: the handler's class, or an instance.
        configs: valid configs as rows carry them; at least one for each action.
        cases: further situations, beside those made of ``configs``.
        trade: the account's one trade, instead of a long and a short.
        price: the last price in USD per BTC, instead of several.
        mirrored: the handler treats longs and shorts alike: reflected prices give the reflected decision.
        decide_seconds: how long a decision may take; the core's own limit is ``AXISOR_DECIDE_SECONDS``.
    """

    handler: ClassVar[Any]
    configs: ClassVar[Sequence[Mapping[str, Any]]] = ()
    cases: ClassVar[Sequence[Case]] = ()
    trade: ClassVar[Trade | None] = None
    price: ClassVar[Price | None] = None
    mirrored: ClassVar[bool] = False
    decide_seconds: ClassVar[float] = 20.0

    def chooses_trades(self, config: Mapping[str, Any]) -> bool:  # noqa: ARG002  (for overriding)
        """Return whether this config says itself which trades are acted on, whatever trade a job names."""
        return False

    def acts_each_time(self, config: Mapping[str, Any]) -> bool:  # noqa: ARG002  (for overriding)
        """Return whether each job is an order of its own with this config, as for an entry without a limit."""
        return False

    def mirror_config(self, config: Mapping[str, Any], axis: Decimal) -> Mapping[str, Any]:
        """Return ``config`` for the other side. By default ``side`` and what has the unit USD per BTC are mirrored."""
        return mirroring.mirror_config(self._fresh(), config, axis)

    def test_01_registers(self) -> None:
        """The core takes the handler: type, title, actions and lanes are there, entries are actions."""
        handler = self._fresh()

        @hookimpl
        def axisor_register_automations(register: Any) -> None:
            register(handler)

        module = SimpleNamespace(axisor_register_automations=axisor_register_automations)
        plugin = load([Found("contract", "under test", "0", lambda: module)]).plugins[0]
        if plugin.state != "loaded":
            _fail(f"the core refuses the handler: {plugin.reason}", "Set the class attributes that it names.")

    def test_02_takes_its_configs(self) -> None:
        """Every config given here is valid, and every action has one."""
        handler = self._fresh()
        named = set()
        for config, wanted in self._given():
            try:
                named.add(read(handler, config, wanted).action)
            except (AxisorError, Junk, TypeError, ValueError) as error:
                _fail(f"{dict(config)} is refused: {error}", "Mend the config in configs, or the config model.")
        missing = sorted(set(handler.actions) - named)
        if missing:
            _fail(f"no config means {', '.join(missing)}", "Give configs at least one valid config for each action.")

    def test_03_documents_its_config(self) -> None:
        """Every key has a description and an example that is valid, every number a unit."""
        found = documented.problems(self._fresh(), self._given())
        if found:
            _fail("\n".join(found), "Document each field of the config model: users configure with it.")

    def test_04_refuses_unknown_keys(self) -> None:
        """A key that is misspelt or not known is refused by name: it must not turn a condition off silently."""
        handler = self._fresh()
        for config, wanted in self._given():
            for wrong, misspelt in documented.misspelt(handler, config):
                try:
                    read(handler, misspelt, wanted)
                except InvalidConfig as error:
                    if wrong not in str(error):
                        _fail(
                            f"the refusal does not name {wrong!r}: {error}", "Raise InvalidConfig with the key in it."
                        )
                else:
                    _fail(
                        f"{misspelt} is taken, with the unknown key {wrong!r}",
                        'Leave extra="forbid" of AutomationConfig as it is, and hand every key to parse_config.',
                    )

    def test_05_acts(self) -> None:
        """Each action acts in one of the cases at least: the others would prove nothing."""
        handler = self._fresh()
        acting = {case.context(handler).job.action for case, outcome in self._chosen() if outcome.actions}
        missing = sorted(set(handler.actions) - acting)
        if missing:
            seen = "\n".join(f"  {case}: {outcome}" for case, outcome in self._chosen())
            _fail(
                f"{', '.join(missing)} acts in none of the cases:\n{seen}",
                "Set trade or price, or give cases in which the condition holds.",
            )

    def test_06_is_pure(self) -> None:
        """A decision comes from the context alone: no file, network, process, thread, clock or chance."""
        for case, _ in self._chosen():
            reached = self._reaches_for(case)
            if reached:
                _fail(
                    f"{case}\ndecide() reached for {reached[0]}",
                    "Take the time from context.now and facts from the context; put what should be logged into facts.",
                )

    def test_07_decides_alike(self) -> None:
        """The same context gives the same decision."""
        for case, first in self._chosen():
            again = self._ask(case)
            if again.comparable != first.comparable:
                _fail(
                    f"{case}\nthe same context gave two decisions:\n  {first.comparable}\n  {again.comparable}",
                    "Decide from the context alone: no counters, no ids, no order of a set.",
                )

    def test_08_changes_nothing(self) -> None:
        """Config, job and trades are the same after a decision as before."""
        for case, _ in self._chosen():
            handler = self._fresh()
            context = case.context(handler)
            before = _facts(context)
            ask(handler, context, self.decide_seconds)
            changed = [name for name, value in _facts(context).items() if value != before[name]]
            if changed:
                _fail(
                    f"{case}\ndecide() changed its {', '.join(changed)}",
                    "Build new values instead of changing those of the context: other decisions read them, too.",
                )

    def test_09_keeps_no_state(self) -> None:
        """One instance serves all threads: one that has decided a lot decides as a new one."""
        chosen = self._chosen()
        used = self._fresh()
        for case, _ in [*chosen, *reversed(chosen)]:
            outcome, expected = (
                ask(used, case.context(used), self.decide_seconds).comparable,
                self._ask(case).comparable,
            )
            if outcome != expected == self._ask(case).comparable:
                _fail(
                    f"{case}\nan instance that has decided before gives\n  {outcome}\na new one\n  {expected}",
                    "Keep nothing on the handler, its class or its module: what is to be known stands in the context.",
                )

    def test_10_refuses_stale_prices(self) -> None:
        """A price that is stale, missing or not positive is an error: neither a reason to act nor to wait."""
        for case, _ in self._chosen():
            for price in (None, 0, -1):
                outcome = self._ask(case, price=price)
                if "price" in outcome.asked and not isinstance(outcome.error, (StaleData, Unavailable)):
                    shown = "stale" if price is None else price
                    _fail(
                        f"{case}\nthe price is {shown}, and it {outcome}",
                        "Read context.price() and let StaleData pass: the core tries the run again.",
                    )

    def test_11_takes_unread_for_unknown(self) -> None:
        """Trades, orders, balance or positions that can't be read are an error, never "nothing to do"."""
        for case, _ in self._chosen():
            for fact, ways in UNREADABLE.items():
                for way in ways:
                    outcome = self._ask(case, **way)
                    told = isinstance(outcome.error, (StaleData, Unavailable)) or outcome.failed_groups
                    if fact in outcome.asked and not told:
                        _fail(
                            f"{case}\n{fact} can't be read, and it {outcome}",
                            "Let Unavailable and StaleData pass (or list the trade as failed): the core tries again.",
                        )

    def test_12_leaves_foreign_trades_alone(self) -> None:
        """Nothing is sent for a job that names a trade of another account, nor to another trade than is named."""
        for case, outcome in self._chosen():
            visible = _visible(case)
            foreign = self._ask(case, trade_id=FOREIGN)
            if foreign.error is not None and not isinstance(foreign.error, AxisorError):
                _fail(f"{case}\nfor a trade that is not there it {foreign}", "Get it from context.trade().")
            for action in (*outcome.actions, *foreign.actions):
                wanted = {action.target, getattr(action, "replaces", None)} - {None}
                if not wanted <= visible:
                    _fail(f"{case}\n{action!r} is about no trade of this account", "Act on what the context shows.")
            unasked = [one for one in foreign.actions if not self._is_entry(case, one)]
            if unasked and not self.chooses_trades(case.config):
                _fail(
                    f"{case}\nthe job named {FOREIGN}, which this account hasn't, and it {foreign}",
                    "Get the job's trade from context.trade(), which raises NotFound. If this config says itself which"
                    " trades are meant, let chooses_trades(config) return True for it.",
                )
            for named, twins in twin_cases(case):
                strayed = [one for one in self._ask(twins).actions if one.target not in (None, named)]
                if strayed and not self.chooses_trades(case.config):
                    _fail(
                        f"{twins}\n{strayed[0]!r} is about another trade", "Act on context.trade(), not on the first."
                    )

    def test_13_treats_longs_and_shorts_alike(self) -> None:
        """Where ``mirrored`` says so: with everything reflected, the reflected decision."""
        if not self.mirrored:
            import pytest

            pytest.skip("mirrored is not claimed")
        for case, outcome in self._chosen():
            axis = mirroring.axis_of(case)
            other = mirroring.mirror(case, self.mirror_config(case.config, axis), axis)
            expected = mirroring.mirror_shape(mirroring.shape(outcome, case.exchange.price))
            reflected = self._ask(other)
            if mirroring.shape(reflected, other.exchange.price) != expected:
                _fail(
                    f"{case}\n  it {outcome}\n{other}\n  it {reflected}",
                    "Mirror every comparison for trades that are not is_long, or do not claim mirrored.",
                )

    def test_14_acts_once(self) -> None:
        """Decided again at each point of its own decision, nothing is done twice, refused or contradicted."""
        for case, outcome in self._chosen():
            if not outcome.actions:
                continue
            anew = self.acts_each_time(case.config)
            for problem in repeated.problems(self._fresh, case, self.decide_seconds, acts_each_time=anew):
                _fail(
                    f"{case}\n{problem}",
                    "Look in the context whether the effect is there already, and wait or return act(name=...) without"
                    " actions. Where each job is to act anew, let acts_each_time(config) return True.",
                )

    def test_15_can_be_stored(self) -> None:
        """Decisions and errors are JSON, and a plan comes back from the ledger as it was."""
        for case, outcome in self._chosen():
            problem = not_storable(outcome)
            if problem is not None:
                _fail(
                    f"{case}\nit {outcome}: {problem}",
                    "Use texts, numbers, lists and mappings in facts and details, and the core's own actions.",
                )

    def test_16_makes_sense_to_the_core(self) -> None:
        """The core takes the decisions: their groups, replacements and entries; errors are those of the library."""
        for case, outcome in self._chosen():
            if not_storable(outcome) is not None:
                continue  # which has a case of its own
            handler = self._fresh()
            context = case.context(handler)
            try:
                decision = decide(Registered(handler, found(handler)), context, deciders, self.decide_seconds)
                if isinstance(decision, Act):
                    check_reopens(decision, context.reads, "the handler")
            except PluginError as error:
                _fail(f"{case}\n{error}", "Return act(...) or wait(...), and raise only axisor_executor.errors.")
            except AxisorError:
                continue
            opens = [one for one in outcome.actions if isinstance(one, OpenPosition) and one.replaces is None]
            if opens and context.job.action not in handler.entries:
                _fail(
                    f"{case}\n{context.job.action} opens new risk, and is not in entries",
                    f'Set entries = frozenset({{"{context.job.action}"}}): an inactive account then refuses it.',
                )

    def test_17_asks_for_what_the_exchange_takes(self) -> None:
        """Nothing is sent that the exchange would refuse on the facts that were there."""
        for case, outcome in self._chosen():
            try:
                if isinstance(outcome.decision, Act):
                    case.exchange.copy().carry_out(outcome.decision)
            except Rejected as refusal:
                _fail(
                    f"{case}\nit {outcome}; the exchange would say: {refusal}",
                    "Check it first (axisor_executor.arithmetic has stoploss_problem, takeprofit_problem),"
                    " and raise Refused or wait.",
                )

    def test_18_is_quick(self) -> None:
        """A decision is there within the limit, on an account with hundreds of trades, too."""
        for case, alone in self._chosen():
            for number, outcome in ((0, alone), (CROWD, self._ask(crowded(case, trades=CROWD)))):
                if isinstance(outcome.error, PluginError) and outcome.error.code == "plugin_timeout":
                    _fail(
                        f"{case}\nwith {number} more trades of each state: {outcome.error}",
                        "Look at each trade once, and wait for nothing.",
                    )

    def _fresh(self) -> Handler:
        return fresh(self.handler)

    def _ask(self, case: Case, **changes: Any) -> Outcome:
        handler = self._fresh()
        return ask(handler, case.context(handler, **changes), self.decide_seconds)

    def _reaches_for(self, case: Case) -> list[str]:
        handler, watch = self._fresh(), Watch()
        with no_collection(), contextlib.suppress(AxisorError):  # whatever it raises has a case of its own
            in_time(handler, lambda: watch.call(lambda: handler.decide(case.context(handler))), self.decide_seconds)
        return watch.found

    def _is_entry(self, case: Case, action: Any) -> bool:
        entries = self._fresh().entries
        return action.target is None and case.context(self._fresh()).job.action in entries

    def _given(self) -> list[documented.Given]:
        return [*((config, None) for config in self.configs), *((case.config, case.action) for case in self.cases)]

    def _chosen(self) -> list[tuple[Case, Outcome]]:
        """Return all given cases, and of those made of configs the first of each kind of outcome."""
        chosen = [(case, self._ask(case)) for case in self.cases]
        for config in self.configs:
            kept: dict[Any, tuple[Case, Outcome]] = {}
            for case in self._valid(ladder(config, self.price, self.trade)):
                outcome = self._ask(case)
                sides = tuple(trade.side for trade in case.exchange.trades.values())
                kept.setdefault((sides, case.trade_id is None, outcome.kind), (case, outcome))
            chosen += kept.values()
        return chosen

    def _valid(self, cases: Iterator[Case]) -> Iterator[Case]:
        for case in cases:
            try:
                case.context(self._fresh())
            except AxisorError:
                return  # the config is refused, which test_02 tells
            yield case


def _fail(what: str, advice: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(f"{what}\n-> {advice}")


def _facts(context: Any) -> dict[str, Any]:
    reads = {name: value for name, value in vars(context.reads).items() if name != "asked"}
    facts = {"config": context.config.model_dump(), "job": context.job, "account": context.account, **reads}
    return copy.deepcopy(facts)


def _visible(case: Case) -> set[str | None]:
    visible = {trade.id for trade in case.exchange.trades.values() if trade.state in ("running", "open")}
    return {*visible, case.exchange.cross.id if case.exchange.cross else None}
