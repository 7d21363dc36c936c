"""The config of a take profit / stop loss automation, as the automation's row carries it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.automation import AutomationConfig, Number, Price

TRIGGER = Number(above=0, most=MAX_PRICE, unit="USD per BTC", if_absent="to act at any price")


class TpSlConfig(AutomationConfig):
    """What to do with a trade, and the conditions that must all hold first."""

    used_only_by: ClassVar[Mapping[str, frozenset[str]]] = {
        "new_takeprofit": frozenset({"update_tp"}),
        "new_stoploss": frozenset({"update_sl"}),
    }

    action: Literal["update_tp", "update_sl", "close_tp", "close_sl"] = Field(
        description=(
            "update_tp and update_sl set the trade's take profit or stop loss; close_tp and close_sl close it, and"
            " differ in the side on which trigger_price lies."
        ),
        examples=["close_sl"],
    )
    new_takeprofit: Annotated[Decimal, Price()] | None = Field(
        None, description="update_tp: the take profit to set, in USD per BTC, in steps of 0.5.", examples=[65_000]
    )
    new_stoploss: Annotated[Decimal, Price()] | None = Field(
        None,
        description=(
            "update_sl: the stop loss to set, in USD per BTC, in steps of 0.5. Every job whose conditions hold sets it"
            " again, also where the present one is tighter."
        ),
        examples=[48_000.5],
    )
    trigger_price: Annotated[Decimal, TRIGGER] | None = Field(
        None,
        description=(
            "Act only when the last price (USD per BTC) has reached this one: in the trade's favour for update_tp,"
            " update_sl and close_tp (a long: at or above it), against it for close_sl (a long: at or below it)."
        ),
        examples=[60_000],
    )
    trigger_pnl_percentage: Annotated[Decimal, Number(unit="percent")] | None = Field(
        None,
        description=(
            "Act only when the trade's P&L in percent of its margin has reached this. A loss is negative, whatever the"
            " action: at or above it when it is 0 or more (25: a gain of 25 percent, also for close_sl), at or below it"
            " when it is negative (-25: a loss of 25 percent, also for close_tp; below -100 never happens)."
        ),
        examples=[-25],
    )

    @model_validator(mode="after")
    def _complete(self) -> TpSlConfig:
        """Refuse an update without its value."""
        if self.action == "update_tp" and self.new_takeprofit is None:
            raise ValueError("new_takeprofit: missing; update_tp needs it (USD per BTC, in steps of 0.5)")
        if self.action == "update_sl" and self.new_stoploss is None:
            raise ValueError("new_stoploss: missing; update_sl needs it (USD per BTC, in steps of 0.5)")
        return self
