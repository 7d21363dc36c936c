"""A plugin whose decisions the test makes: what a third party's handler may come up with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from axisor_executor.automation import AccountContext, AutomationConfig, AutomationHandler, Decision, Lane
from axisor_executor.exchange.base import ClientFactory, ExchangeOptions
from axisor_executor.hookspecs import hookimpl
from axisor_executor.plugins import Found
from tests.harness.world import plugin


class PuppetConfig(AutomationConfig):
    """Nothing to configure."""

    action: str = "go"


class Puppet(AutomationHandler[PuppetConfig]):
    """Decides what ``decision`` says: a value, an exception to raise, or a function of the context."""

    type = "puppet"
    title = "Puppet"
    actions: ClassVar[Mapping[str, Lane]] = {"go": "default", "guard": "protect"}
    config_model = PuppetConfig

    def __init__(self) -> None:
        self.decision: Any = None
        self.asked = 0

    def decide(self, context: AccountContext[PuppetConfig]) -> Decision:
        self.asked += 1
        if isinstance(self.decision, BaseException):
            raise self.decision
        return self.decision(context) if callable(self.decision) else self.decision

    @hookimpl
    def axisor_register_automations(self, register: Callable[[AutomationHandler[Any]], None]) -> None:
        """Register the automation type ``puppet``."""
        register(self)

    @property
    def plugin(self) -> Found:
        """This handler as an installed plugin: ``axisor-puppet 1.0``."""
        return plugin("puppet", self)


CONFIG = {"action": "go"}


class StubExchange:
    """A plugin with an exchange of its own, slug ``stub``: every client it makes fails with ``error``."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[ExchangeOptions] = []

    @hookimpl
    def axisor_register_exchanges(self, register: Callable[[str, ClientFactory], None]) -> None:
        """Register the exchange ``stub``."""
        register("stub", self.client)

    def client(self, options: ExchangeOptions, credentials: object) -> Any:
        """Make a client: none comes of it."""
        self.asked.append(options)
        raise self.error

    @property
    def plugin(self) -> Found:
        """This exchange as an installed plugin: ``axisor-stub 1.0``."""
        return plugin("stub", self)
