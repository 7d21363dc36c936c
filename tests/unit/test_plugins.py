"""Plugins: what is broken fails alone, and says so; what is ambiguous stops the start."""

from __future__ import annotations

import asyncio
import decimal
import importlib.metadata
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from axisor_executor import Act, AutomationConfig, AutomationHandler, Decision, act, hookimpl
from axisor_executor.automation import AccountContext, Lane
from axisor_executor.errors import PluginError, UnknownAutomationType
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.plugins import Found, Registry, discover, load

ALERT = Alert(kind="api_error", severity="error", message="m")
FINISHED = Finished("e", "u", "a", "t", None, None, "completed", {}, 0.1)


class Config(AutomationConfig):
    action: str = "go"


class Handler(AutomationHandler[Config]):
    type = "good"
    title = "Good"
    actions: ClassVar[Mapping[str, Lane]] = {"go": "default"}
    config_model = Config

    def decide(self, context: AccountContext[Config]) -> Decision:
        return act(name="go")


def found(name: str, load: Callable[[], Any], *, distribution: str | None = None, version: str = "1.2") -> Found:
    return Found(name, distribution or f"axisor-{name}", version, load)


def of(name: str, **hooks: Any) -> Found:
    """A plugin whose module has these functions (or whatever is given) in it."""
    return found(name, lambda: SimpleNamespace(**hooks))


def registering(*handlers: Any) -> Any:
    @hookimpl
    def axisor_register_automations(register: Callable[[Any], None]) -> None:
        for handler in handlers:
            register(handler)

    return axisor_register_automations


def handler_for(automation_type: str, **attributes: Any) -> Handler:
    return type("Own", (Handler,), {"type": automation_type, **attributes})()


def with_type(name: str, automation_type: str) -> Found:
    return of(name, axisor_register_automations=registering(handler_for(automation_type)))


GOOD = of("good", axisor_register_automations=registering(Handler()))


def states(registry: Registry) -> dict[str, str]:
    return {plugin.found.name: plugin.state for plugin in registry.plugins}


def reason_of(registry: Registry, name: str) -> str:
    return next(plugin.reason or "" for plugin in registry.plugins if plugin.found.name == name)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class TestLoading:
    def test_a_good_one_has_its_types(self) -> None:
        registry = load([GOOD])
        (plugin,) = registry.plugins
        assert (plugin.state, plugin.types, plugin.reason) == ("loaded", ("good",), None)
        assert registry.handler("good").found is GOOD

    def test_an_unknown_type_names_those_that_are_there_and_what_failed(self) -> None:
        broken = found("broken", raising(ImportError("no module")))
        with pytest.raises(UnknownAutomationType) as caught:
            load([GOOD, with_type("also", "also"), broken]).handler("bad")
        assert "bad; installed: also, good; failed to load: axisor-broken 1.2 [broken]" in caught.value.message

    def test_none_at_all_is_fine(self) -> None:
        with pytest.raises(UnknownAutomationType, match="installed: none"):
            load([]).handler("good")

    def test_exchanges_are_registered_by_slug(self) -> None:
        @hookimpl
        def axisor_register_exchanges(register: Callable[[str, Any], None]) -> None:
            register("moon", raising(AssertionError()))

        registry = load([of("moon", axisor_register_exchanges=axisor_register_exchanges)])
        assert list(registry.exchanges) == ["moon"]
        assert registry.plugins[0].exchanges == ("moon",)

    def test_simulations_are_registered_by_slug(self) -> None:
        @hookimpl
        def axisor_register_simulations(register: Callable[[str, Any], None]) -> None:
            register("moon", factory)

        factory = raising(AssertionError())
        registry = load([of("moon", axisor_register_simulations=axisor_register_simulations)])
        assert registry.simulations == {"moon": factory}
        assert (registry.plugins[0].simulations, registry.plugins[0].exchanges) == (("moon",), ())


@hookimpl
def axisor_register_automation(register: Any) -> None:
    """Misspelt: there is no such hook."""


def unmarked(register: Any) -> None:
    """What the hook should be, without its marker."""


@hookimpl
def axisor_alert(alarm: Any) -> None:
    """The hook has no argument of this name."""


@hookimpl(wrapper=True)
def axisor_execution_finished(finished: Any) -> Any:
    """A wrapper has nothing to wrap: observers are called one by one."""
    return (yield)


@hookimpl(specname="axisor_alrt")
def on_alert(alert: Any) -> None:
    """Marked for a hook that does not exist."""


@hookimpl
async def later(alert: Any) -> None:
    """Called, it is a coroutine that nobody awaits."""


@hookimpl
def bit_by_bit(register: Any) -> Any:
    """Called, it is a generator that nobody asks."""
    yield


class WithMethods:
    """Its hook needs an instance."""

    @hookimpl
    def axisor_alert(self, alert: Any) -> None:
        """Never called with a ``self``."""


def for_exchange(*slugs: str) -> Any:
    @hookimpl
    def axisor_register_exchanges(register: Callable[[str, Any], None]) -> None:
        for slug in slugs:
            register(slug, raising(AssertionError()))

    return axisor_register_exchanges


def with_handler(**attributes: Any) -> Found:
    return of("broken", axisor_register_automations=registering(handler_for(**{"automation_type": "x"} | attributes)))


BROKEN: dict[str, tuple[Found, str]] = {
    "fails to import": (found("broken", raising(ImportError("no module"))), "ImportError: no module"),
    "is cancelled at import": (found("broken", raising(asyncio.CancelledError("gone"))), "CancelledError: gone"),
    "exits at import": (found("broken", raising(SystemExit(2))), "SystemExit: 2"),
    "raises in its hook": (
        of("broken", axisor_register_automations=hookimpl(raising(ValueError("half way")))),
        "ValueError: half way",
    ),
    "misspells a hook, with the marker": (
        of("broken", axisor_register_automation=axisor_register_automation),
        "axisor_register_automation is no hook of axisor_executor; there are: axisor_alert,",
    ),
    "misspells a hook, without the marker": (
        of("broken", axisor_registers_automations=unmarked),
        "axisor_registers_automations is no hook",
    ),
    "misspells a hook in its marker": (of("broken", on_alert=on_alert), "axisor_alrt"),
    "forgets the marker": (of("broken", axisor_register_automations=unmarked), "lacks the @hookimpl marker"),
    "takes an unknown argument": (of("broken", axisor_alert=axisor_alert), "alarm"),
    "wraps a hook": (of("broken", axisor_execution_finished=axisor_execution_finished), "wrapper"),
    "has a hook that is async": (of("broken", axisor_alert=later), "axisor_alert is async or has a yield: "),
    "has a hook that yields": (of("broken", axisor_register_automations=bit_by_bit), "is async or has a yield: "),
    "is a class with hooks": (found("broken", lambda: WithMethods), "axisor_alert is a method of a class: "),
    "is a handler's class": (found("broken", lambda: Handler), "implements no hook; there are: axisor_alert, axisor_"),
    "is an empty module": (of("broken"), "what its entry point names implements no hook; there are: axisor_alert,"),
    "is nothing": (found("broken", lambda: None), "what its entry point names implements no hook"),
    "registers the core's own exchange": (
        of("broken", axisor_register_exchanges=for_exchange("moon", "lnmarkets")),
        "PluginError: exchange 'lnmarkets' is the core's own",
    ),
    "registers a class": (of("broken", axisor_register_automations=registering(Handler)), "takes an instance"),
    "registers nothing of ours": (of("broken", axisor_register_automations=registering("x")), "takes an instance"),
    "registers a handler without a type": (
        of("broken", axisor_register_automations=registering(handler_for(""))),
        "must set type",
    ),
    "registers a handler without actions": (
        of("broken", axisor_register_automations=registering(handler_for("x", actions={}))),
        "must set actions",
    ),
    "registers an unknown lane": (
        of("broken", axisor_register_automations=registering(handler_for("x", actions={"go": "fast"}))),
        "lane must be protect or default",
    ),
    "registers a type that is no text": (with_handler(automation_type=5), "Own.type must be a text, got 5"),
    "registers a title that is no text": (with_handler(title=("Good",)), "Own.title must be a text, got ('Good',)"),
    "registers actions without lanes": (
        with_handler(actions={"go"}),
        "Own.actions must be a mapping of names to lanes, got {'go'}",
    ),
    "registers an action that is no text": (
        with_handler(actions={1: "default"}),
        "Own.actions must be a mapping of names to lanes, got {1: 'default'}",
    ),
    "registers a config that is none of ours": (
        with_handler(config_model=dict),
        "Own.config_model must be a subclass of AutomationConfig, got <class 'dict'>",
    ),
    "registers a config instead of its class": (
        with_handler(config_model=Config()),
        "Own.config_model must be a subclass of AutomationConfig, got Config(",
    ),
    "registers entries that are none of its actions": (
        with_handler(entries=("fly", "go")),
        "Own.entries has ['fly'], which are none of its actions: go",
    ),
    "registers entries as one text": (
        with_handler(entries="go"),
        "Own.entries must be a set of actions' names, got 'go'",
    ),
    "registers entries that are no texts": (
        with_handler(entries=(["go"],)),
        "Own.entries must be a set of actions' names, got (['go'],)",
    ),
    "registers no answer to whether it collapses": (
        with_handler(collapses="no"),
        "Own.collapses must be True or False, got 'no'",
    ),
    "registers a type twice": (
        of("broken", axisor_register_automations=registering(handler_for("x"), handler_for("x"))),
        "registers automation type 'x' twice",
    ),
}


class TestBroken:
    @pytest.mark.parametrize("kind", BROKEN)
    def test_it_fails_alone_and_says_why(self, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        broken, reason = BROKEN[kind]
        with caplog.at_level(logging.ERROR, "axisor_executor"):
            registry = load([broken, GOOD, with_type("late", "late")])
        assert states(registry) == {"broken": "failed", "good": "loaded", "late": "loaded"}
        assert reason in reason_of(registry, "broken")
        assert sorted(registry.handlers) == ["good", "late"]
        assert "axisor-broken 1.2 [broken]" in caplog.text

    @pytest.mark.parametrize("kind", BROKEN)
    def test_nothing_of_it_is_ever_called(self, kind: str) -> None:
        registry = load([BROKEN[kind][0], GOOD])
        registry.tell_alert(ALERT)
        registry.tell_finished(FINISHED)
        registry.flush()
        assert [name for name, _ in registry.manager.list_name_plugin()] == [GOOD.display_name]

    def test_what_it_registered_before_it_failed_is_not_kept(self) -> None:
        @hookimpl
        def axisor_register_automations(register: Callable[[Any], None]) -> None:
            register(handler_for("half"))
            raise ValueError("half way")

        registry = load([of("broken", axisor_register_automations=axisor_register_automations)])
        assert registry.handlers == {}

    def test_arithmetic_that_it_sets_at_import_is_its_own(self) -> None:
        """``getcontext().prec = 4`` at the top of a module is often seen: it holds for whoever imports it."""

        def load_coarse() -> Any:
            decimal.getcontext().prec = 4
            return SimpleNamespace(axisor_register_automations=registering(Handler()))

        with decimal.localcontext() as before:
            load([found("coarse", load_coarse)])
            assert decimal.getcontext() is before
            assert before.prec == decimal.DefaultContext.prec

    def test_an_interrupt_is_not_swallowed(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            load([found("broken", raising(KeyboardInterrupt()))])


class TestSameName:
    def test_entry_points_of_one_name_from_two_distributions_both_load(self) -> None:
        first = found("guard", with_type("a", "first").load, distribution="axisor-first")
        second = found("guard", with_type("b", "second").load, distribution="axisor-second")
        assert sorted(load([first, second]).handlers) == ["first", "second"]

    def test_the_same_entry_point_twice_is_said_and_the_first_stays_whole(self) -> None:
        alerts: list[Alert] = []

        @hookimpl
        def axisor_alert(alert: Alert) -> None:
            alerts.append(alert)

        first = of("twin", axisor_register_automations=registering(Handler()), axisor_alert=axisor_alert)
        second = with_type("twin", "other")
        registry = load([first, second])
        assert [plugin.state for plugin in registry.plugins] == ["loaded", "failed"]
        registry.tell_alert(ALERT)
        registry.flush()
        assert alerts == [ALERT]
        assert list(registry.handlers) == ["good"]

    def test_one_module_under_two_names_fails_the_second(self) -> None:
        module = GOOD.load()
        registry = load([found("one", lambda: module), found("two", lambda: module)])
        assert states(registry) == {"one": "loaded", "two": "failed"}

    def test_two_plugins_for_one_type_stop_the_start_and_are_both_named(self) -> None:
        with pytest.raises(PluginError) as caught:
            load([with_type("one", "moon"), with_type("two", "moon")])
        assert caught.value.code == "plugin_conflict"
        for name in ("'moon'", "axisor-one 1.2 [one]", "axisor-two 1.2 [two]", "AXISOR_DISABLED_PLUGINS"):
            assert name in caught.value.message

    def test_two_plugins_for_one_simulation_too(self) -> None:
        def simulation(name: str, *slugs: str) -> Found:
            @hookimpl
            def axisor_register_simulations(register: Callable[[str, Any], None]) -> None:
                for slug in slugs:
                    register(slug, raising(AssertionError()))

            return of(name, axisor_register_simulations=axisor_register_simulations)

        with pytest.raises(PluginError, match=r"simulation 'moon' .*axisor-one .*axisor-two ") as caught:
            load([simulation("one", "moon"), simulation("two", "moon")])
        assert caught.value.code == "plugin_conflict"
        twice = load([simulation("one", "moon", "moon"), simulation("two", "")])
        assert "registers simulation 'moon' twice" in reason_of(twice, "one")
        assert "a simulation needs a slug and a factory" in reason_of(twice, "two")
        assert twice.simulations == {}

    def test_two_plugins_for_one_exchange_too(self) -> None:
        one, two = (of(name, axisor_register_exchanges=for_exchange("moon")) for name in ("one", "two"))
        with pytest.raises(PluginError, match=r"exchange 'moon' .*axisor-one .*axisor-two ") as caught:
            load([one, two])
        assert caught.value.code == "plugin_conflict"


class TestDisabledAndRequired:
    @pytest.mark.parametrize("name", ["good", "axisor-good"])
    def test_a_disabled_one_is_not_even_imported(self, name: str) -> None:
        untouchable = found("good", raising(AssertionError("imported")))
        registry = load([untouchable], disabled=[name])
        assert states(registry) == {"good": "disabled"}
        assert "AXISOR_DISABLED_PLUGINS" in reason_of(registry, "good")

    def test_disabling_one_of_two_resolves_their_conflict(self) -> None:
        registry = load([with_type("one", "moon"), with_type("two", "moon")], disabled=["two"])
        assert registry.handler("moon").found.name == "one"

    @pytest.mark.parametrize("name", ["good", "axisor-good"])
    def test_a_required_one_that_is_there_is_fine(self, name: str) -> None:
        assert states(load([GOOD], required=[name])) == {"good": "loaded"}

    @pytest.mark.parametrize(
        ("plugins", "disabled", "reason"),
        [
            ([], (), "not installed"),
            ([found("good", raising(ImportError("gone")))], (), "ImportError: gone"),
            ([GOOD], ("good",), "AXISOR_DISABLED_PLUGINS"),
        ],
        ids=["missing", "failed", "disabled"],
    )
    def test_a_required_one_that_does_not_load_stops_the_start(
        self, plugins: list[Found], disabled: tuple[str, ...], reason: str
    ) -> None:
        with pytest.raises(PluginError, match="required plugin good is not loaded") as caught:
            load(plugins, disabled=disabled, required=["good"])
        assert (caught.value.code, reason in caught.value.message) == ("plugin_required", True)


class TestObservers:
    def test_each_is_told_whatever_the_others_do(self, caplog: pytest.LogCaptureFixture) -> None:
        told: list[str] = []

        def observer(name: str, error: BaseException | None = None) -> Found:
            @hookimpl
            def axisor_alert(alert: Alert) -> None:
                told.append(f"{name} {alert.kind}")
                if error is not None:
                    raise error

            @hookimpl
            def axisor_execution_finished() -> None:
                told.append(f"{name} finished")
                if error is not None:
                    raise error

            return of(name, axisor_alert=axisor_alert, axisor_execution_finished=axisor_execution_finished)

        registry = load([observer("a"), observer("b", ValueError("no")), observer("c", SystemExit(1)), observer("d")])
        registry.tell_alert(ALERT)
        registry.tell_finished(FINISHED)
        registry.flush()
        assert sorted(told) == sorted(f"{name} {what}" for name in "abcd" for what in ("api_error", "finished"))
        assert "axisor-b 1.2 [b]: axisor_alert raised ValueError: no" in caplog.text
        assert "axisor-c 1.2 [c]: axisor_execution_finished raised SystemExit" in caplog.text

    def test_one_that_hangs_delays_nobody(self) -> None:
        go_on, heard = threading.Event(), threading.Event()

        @hookimpl
        def axisor_alert(alert: Alert) -> None:
            go_on.wait(30)

        @hookimpl
        def hears(alert: Alert) -> None:
            heard.set()

        registry = load([of("slow", axisor_alert=axisor_alert), of("quick", axisor_alert=hears)])
        registry.tell_alert(ALERT)
        assert heard.wait(10)
        go_on.set()
        registry.flush()


class TestDiscovery:
    def test_the_plugins_of_this_repository_are_found_in_order(self) -> None:
        names = [(one.distribution, one.name) for one in discover()]
        assert names == sorted(names)
        assert {"axisor-auto-entry", "axisor-margin-guard", "axisor-tp-sl"} <= {name for name, _ in names}

    def test_an_entry_point_that_names_no_module_fails_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``point.module`` raises for it, which would stop every worker and ``enqueue()``."""
        points = [
            importlib.metadata.EntryPoint("broken", "axisor-broken", "axisor_executor"),
            importlib.metadata.EntryPoint("guard", "axisor_margin_guard : hooks [extra]", "axisor_executor"),
        ]
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
        broken, guard = discover()
        assert guard.module == "axisor_margin_guard"
        assert states(load([broken, GOOD])) == {"broken": "failed", "good": "loaded"}

    def test_nothing_is_imported_for_it(self) -> None:
        code = (
            "import sys, axisor_executor.plugins as p; assert p.discover(); "
            "assert not [m for m in sys.modules if m.startswith(('axisor_tp_sl', 'axisor_margin_guard'))]"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_decision_is_a_plain_value() -> None:
    assert isinstance(Handler().decide(None), Act)  # type: ignore[arg-type]
