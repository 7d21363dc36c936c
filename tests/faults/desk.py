"""A third party's plugin, as small as they come: what the built-in ones never ask for (cash in, cancel)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from axisor_executor.automation import (
    AccountContext,
    AutomationConfig,
    AutomationHandler,
    CancelOrder,
    CashIn,
    Decision,
    Lane,
    Whole,
    act,
)
from axisor_executor.hookspecs import hookimpl


class DeskConfig(AutomationConfig):
    """What to do with the job's trade."""

    action: str = "cancel"
    amount: Annotated[int, Whole(above=0, unit="sats")] = Field(1, description="cash_in: how much to take.")


class Desk(AutomationHandler[DeskConfig]):
    """Cancels an order or takes money out of a trade."""

    type = "desk"
    title = "Desk"
    actions: ClassVar[Mapping[str, Lane]] = {"cancel": "default", "cash_in": "default"}
    config_model = DeskConfig

    def decide(self, context: AccountContext[DeskConfig]) -> Decision:
        """Act at once."""
        trade = context.trade()
        if context.job.action == "cancel":
            return act(CancelOrder(trade.id))
        return act(CashIn(trade.id, context.config.amount))


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``desk``."""
    register(Desk())
