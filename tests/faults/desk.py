"""A third party's plugin, as small as they come: what the built-in ones never ask for.

That is to cash in, to cancel, and to take a certain amount from the cross position.
"""

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
    ReduceCrossPosition,
    Whole,
    act,
    wait,
)
from axisor_executor.hookspecs import hookimpl


class DeskConfig(AutomationConfig):
    """What to do with the job's trade, or with the cross position."""

    action: str = "cancel"
    amount: Annotated[int, Whole(above=0, unit="sats")] = Field(1, description="cash_in: sats to take.")
    quantity: Annotated[int, Whole(above=0, unit="USD")] = Field(1, description="trim_cross: USD to take.")


class Desk(AutomationHandler[DeskConfig]):
    """Cancels an order, takes money out of a trade, or reduces the cross position by a fixed quantity."""

    type = "desk"
    title = "Desk"
    actions: ClassVar[Mapping[str, Lane]] = {"cancel": "default", "cash_in": "default", "trim_cross": "default"}
    config_model = DeskConfig

    def decide(self, context: AccountContext[DeskConfig]) -> Decision:
        """Act at once."""
        if context.job.action == "trim_cross":
            position, quantity = context.cross_position(), context.config.quantity
            held = abs(position.quantity)
            if position.side is None or held < quantity:
                return wait("too_little_held")
            return act(ReduceCrossPosition(position.id, position.side, held, quantity))
        trade = context.trade()
        if context.job.action == "cancel":
            return act(CancelOrder(trade.id))
        return act(CashIn(trade.id, context.config.amount))


@hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    """Register the automation type ``desk``."""
    register(Desk())
