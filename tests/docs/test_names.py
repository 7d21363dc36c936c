"""Everything public is documented: names, hooks with their exact signatures, and what a plugin author works with."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import axisor_executor
from axisor_executor import automation, exchange, hookspecs, testing
from axisor_executor.automation import AccountContext, Act, Group, Wait
from axisor_executor.automation.actions import ACTIONS
from axisor_executor.exchange import LNMarketsClient
from axisor_executor.exchange.base import ExchangeClient, ExchangeOptions, Trade
from axisor_executor.exchange.networks import Network
from axisor_executor.exchange.simulation import SimulatedClient, Simulation, SimulationOptions
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.plugins import Found, load
from tests.docs.pages import everything, page, prose, section, table

PLUGINS = page("writing-a-plugin.md")
NOT_FOR_AUTHORS = {"Action", "Reads", "action_from_dict", "jsonable"}  # the core's own, shared through the package
HOOKS = [name for name in vars(hookspecs) if name.startswith("axisor_")]


def signature(function: Any) -> str:
    """Return a function's signature as it is written."""
    return f"{function.__name__}{inspect.signature(function)}".replace("'", "")


def named(text: str) -> set[str]:
    """Return the words that stand in code marks."""
    return {word for marked in re.findall(r"`([^`\n]+)`", prose(text)) for word in re.findall(r"\w+", marked)}


class TestPublicNames:
    @pytest.mark.parametrize("name", axisor_executor.__all__)
    def test_a_name_of_the_library_stands_in_the_overview(self, name: str) -> None:
        assert name in named(section(page("index.md"), "The library"))

    @pytest.mark.parametrize(
        "name", sorted(set(automation.__all__) - {"Action", "Reads", "action_from_dict", "jsonable"})
    )
    def test_a_name_for_plugins_stands_in_the_docs(self, name: str) -> None:
        assert name in everything()

    @pytest.mark.parametrize("name", ["enqueue", "execute", "get_result", "get_automation_config"])
    def test_a_function_stands_with_its_arguments(self, name: str) -> None:
        parameters = inspect.signature(getattr(axisor_executor, name)).parameters.values()
        shown = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in parameters]
        assert f"`{name}({', '.join(shown)})`" in page("index.md")


class TestHooks:
    @pytest.mark.parametrize("name", HOOKS)
    def test_a_hook_has_a_section_with_its_exact_signature(self, name: str) -> None:
        assert signature(getattr(hookspecs, name)) in section(PLUGINS, name)

    @pytest.mark.parametrize(("name", "kind"), [("axisor_alert", Alert), ("axisor_execution_finished", Finished)])
    def test_every_field_of_what_observers_get_is_named(self, name: str, kind: type) -> None:
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields <= named(section(PLUGINS, name))

    def test_every_method_of_a_client_is_named(self) -> None:
        methods = {name for name in vars(ExchangeClient) if not name.startswith("_")}
        options = {field.name for field in dataclasses.fields(ExchangeOptions)}
        assert methods | options <= named(section(PLUGINS, "axisor_register_exchanges"))

    def test_everything_of_a_simulation_is_named(self) -> None:
        members = {name for name in vars(Simulation) if not name.startswith("_")}
        members |= {name for name in vars(SimulatedClient) if not name.startswith("_")}
        options = {field.name for field in dataclasses.fields(SimulationOptions)}
        assert members | options <= named(section(PLUGINS, "axisor_register_simulations"))


class TestClient:
    PAGE = page("exchange-client.md")

    def test_every_call_is_listed(self) -> None:
        calls = {name for name, _ in inspect.getmembers(LNMarketsClient, inspect.isfunction) if name[0] != "_"}
        listed = {word for row in table(section(self.PAGE, "Calls")) for cell in row[1:] for word in cell.split(", ")}
        assert {word.partition("(")[0] for word in listed} - {""} == calls

    def test_everything_that_it_takes_and_gives_is_named(self) -> None:
        values = {name for name in exchange.__all__ if dataclasses.is_dataclass(getattr(exchange, name))}
        options = {field.name for field in dataclasses.fields(ExchangeOptions)}
        assert values | options <= named(self.PAGE)

    def test_every_network_is_listed(self) -> None:
        assert {row[0].split(",")[0].split(":")[0] for row in table(section(self.PAGE, "Networks"))} == set(
            get_args(Network)
        )


class TestHandler:
    def test_every_attribute_is_listed(self) -> None:
        rows = table(section(PLUGINS, "The handler"))
        declared = inspect.get_annotations(automation.AutomationHandler)
        assert {row[0] for row in rows} == declared.keys()

    def test_every_method_is_named(self) -> None:
        methods = {name for name, _ in inspect.getmembers(automation.AutomationHandler, inspect.isfunction)}
        assert {name for name in methods if not name.startswith("_")} <= named(section(PLUGINS, "The handler"))


class TestContext:
    def test_every_attribute_and_method_is_listed(self) -> None:
        text = section(PLUGINS, "The account context")
        attributes, methods = table(text), table(text.split("Every fact is read")[1])
        assert [row[0] for row in attributes] == [field.name for field in dataclasses.fields(AccountContext)]
        public = {name for name, _ in inspect.getmembers(AccountContext, inspect.isfunction) if name[0] != "_"}
        assert {row[0].partition("(")[0] for row in methods} == public

    def test_every_field_of_a_trade_is_named(self) -> None:
        fields = {field.name for field in dataclasses.fields(Trade)} | {"is_long"}
        assert fields <= named(section(PLUGINS, "The account context"))


class TestDecisions:
    @pytest.mark.parametrize("kind", [Act, Group, Wait])
    def test_every_field_is_named(self, kind: type) -> None:
        assert {field.name for field in dataclasses.fields(kind)} <= named(section(PLUGINS, "Decisions"))

    def test_every_action_is_listed_with_its_fields(self) -> None:
        rows = {row[0]: row for row in table(section(PLUGINS, "Actions"))}
        assert rows.keys() == ACTIONS.keys()
        for name, action in ACTIONS.items():
            fields = [field.name for field in dataclasses.fields(action)]
            assert [word for word in re.findall(r"\w+", rows[name][1]) if word in fields] == fields
            assert rows[name][2].startswith("reduces" if action.risk_reducing else "adds")
            assert rows[name][2].endswith("moves money") is action.moves_money


class TestTesting:
    @pytest.mark.parametrize("function", [testing.make_context, testing.make_trade, testing.make_cross_position])
    def test_every_argument_is_named(self, function: Any) -> None:
        assert set(inspect.signature(function).parameters) <= named(section(PLUGINS, "Testing"))


class TestTraps:
    """What the page says about a plugin that does not load is what the loader says."""

    ROWS = table(section(PLUGINS, "When a plugin does not load"))

    @staticmethod
    def reason(**members: Any) -> str:
        module = SimpleNamespace(**members)
        registry = load([Found("broken", "axisor-broken", "1.0", lambda: module)])
        assert registry.plugins[0].state == "failed"
        return str(registry.plugins[0].reason)

    def check(self, trap: str, reason: str) -> None:
        (row,) = [row for row in self.ROWS if row[0] == trap]
        told = " ".join(reason.split())
        for part in row[1].removeprefix("failed: ").split("..."):
            assert part.strip() in told

    def test_misspelt(self) -> None:
        self.check("a hook's name is misspelt", self.reason(axisor_register_automation=lambda register: None))

    def test_unmarked(self) -> None:
        self.check("the marker is missing", self.reason(axisor_alert=lambda alert: None))

    def test_wrapper(self) -> None:
        def axisor_alert(alert: Any) -> Any:
            return (yield alert)

        marked = hookspecs.hookimpl(wrapper=True)(axisor_alert)
        self.check("a hook is a wrapper", self.reason(axisor_alert=marked))

    def test_async(self) -> None:
        async def axisor_alert(alert: Any) -> None:
            del alert

        marked = hookspecs.hookimpl(axisor_alert)
        self.check("a hook is async, or has a yield", self.reason(axisor_alert=marked))

    def test_no_hook(self) -> None:
        self.check("the entry point names something without hooks, such as the handler's class", self.reason())

    def test_a_class_with_hooks(self) -> None:
        class Hooks:
            @hookspecs.hookimpl
            def axisor_alert(self, alert: Any) -> None:
                del alert

        (plugin,) = load([Found("broken", "axisor-broken", "1.0", lambda: Hooks)]).plugins
        self.check("it names a class whose methods are hooks", str(plugin.reason))

    def test_the_cores_own_exchange(self) -> None:
        def axisor_register_exchanges(register: Any) -> None:
            register("lnmarkets", lambda *_: None)

        marked = hookspecs.hookimpl(axisor_register_exchanges)
        self.check("the core's own exchange is registered", self.reason(axisor_register_exchanges=marked))

    def test_one_name_twice(self) -> None:
        module = SimpleNamespace(axisor_alert=hookspecs.hookimpl(lambda alert: None))
        found = [Found("twice", "axisor-broken", "1.0", lambda: module)] * 2
        (_, second) = load(found).plugins
        self.check("one distribution has two entry points of one name", f"the second failed: {second.reason}")

    def test_strange_argument(self) -> None:
        def axisor_alert(alarm: Any) -> None:
            del alarm

        marked = hookspecs.hookimpl(axisor_alert)
        self.check("an argument that the hook does not have", self.reason(axisor_alert=marked))

    @pytest.mark.parametrize(
        ("trap", "made"),
        [
            ("the class is registered instead of an instance", "class"),
            ("an attribute of the handler is missing", "nameless"),
            ("a lane that there is not", "lane"),
            ("an attribute of the handler is of another kind", "dict"),
            ("an entry that is no action", "fly"),
        ],
    )
    def test_bad_handlers(self, trap: str, made: str) -> None:
        class Nameless(automation.AutomationHandler[Any]):
            type = "nameless"
            title = "" if made == "nameless" else "Nameless"
            actions = {"go": "fast" if made == "lane" else "default"}  # noqa: RUF012
            entries = frozenset({"fly"} if made == "fly" else ())
            config_model = dict if made == "dict" else automation.AutomationConfig

            def decide(self, context: Any) -> Wait:
                return Wait("never")

        def axisor_register_automations(register: Any) -> None:
            register(Nameless if made == "class" else Nameless())

        reason = self.reason(axisor_register_automations=hookspecs.hookimpl(axisor_register_automations))
        self.check(trap, reason)

    def test_another_hook_api(self) -> None:
        self.check("it was built for another hook API", self.reason(axisor_hook_api="9.0"))

    def test_not_importable(self) -> None:
        def broken() -> Any:
            raise ImportError("No module named 'that'")

        registry = load([Found("broken", "axisor-broken", "1.0", broken)])
        self.check("the module can't be imported", str(registry.plugins[0].reason))
