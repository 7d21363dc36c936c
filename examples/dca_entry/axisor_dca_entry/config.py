"""The config of a DCA entry, as the automation's row carries it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from axisor_executor.arithmetic import MAX_PRICE, MAX_QUANTITY
from axisor_executor.automation import AutomationConfig, Number, Whole
from axisor_executor.automation.handler import ALL_SATS

BELOW = Number(above=0, most=MAX_PRICE, unit="USD per BTC", if_absent="to buy at any price")


class DcaEntryConfig(AutomationConfig):
    """What to buy each time, what it may come to in any seven days, and when not to."""

    quantity: Annotated[int, Whole(least=1, most=MAX_QUANTITY, unit="USD")] = Field(
        description="The size of each trade in whole USD.", examples=[50]
    )
    leverage: Annotated[Decimal, Number(least=1, most=100, unit="factor")] = Field(
        Decimal(1), description="The leverage.", examples=[2], json_schema_extra={"default": 1}
    )
    weekly_budget_usd: Annotated[int, Whole(least=1, unit="USD")] | None = Field(
        None,
        description="The most that is bought in any seven days, in USD; this or weekly_budget_sats is needed.",
        examples=[400],
    )
    weekly_budget_sats: Annotated[int, Whole(least=1, most=ALL_SATS, unit="sats")] | None = Field(
        None,
        description="The most margin that is put into new trades in any seven days, in sats. With both, both hold.",
        examples=[500_000],
    )
    below_price: Annotated[Decimal, BELOW] | None = Field(
        None,
        description="Buy only at or below this last price, in USD per BTC. Left out: at any price.",
        examples=[60_000],
    )
    drop_percent: Annotated[Decimal, Number(above=0, most=99, unit="percent")] | None = Field(
        None,
        description=(
            "Buy only when the last price is at least this much below that of the last entry; one of more than seven"
            " days ago counts no more."
        ),
        examples=[3],
    )
    min_hours_between: Annotated[Decimal, Number(above=0, most=168, unit="hours")] | None = Field(
        None,
        description="Leave at least so many hours between two entries, however often a job comes.",
        examples=[20],
    )
    max_open_trades: Annotated[int, Whole(least=1, unit="trades and orders")] | None = Field(
        None,
        description=(
            "Buy only while fewer than this many running trades and open orders of this automation exist. Left out: no"
            " limit but the budget."
        ),
        examples=[10],
    )

    @model_validator(mode="after")
    def _has_a_budget(self) -> DcaEntryConfig:
        if self.weekly_budget_usd is None and self.weekly_budget_sats is None:
            raise ValueError("weekly_budget_usd: missing; a DCA entry needs it, or weekly_budget_sats")
        if self.weekly_budget_usd is not None and self.weekly_budget_usd < self.quantity:
            raise ValueError(f"weekly_budget_usd: {self.weekly_budget_usd} never suffices for {self.quantity} USD")
        return self
