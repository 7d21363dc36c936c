"""The config of a trailing stop, as the automation's row carries it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StrictBool, model_validator

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.automation import AutomationConfig, Number


class TrailingStopConfig(AutomationConfig):
    """How far behind the price the stop loss is kept, of which trades, and from when on."""

    distance_percent: Annotated[Decimal, Number(above=0, most=90, unit="percent")] | None = Field(
        None,
        description="How far behind the last price the stop loss is kept, in percent of that price.",
        examples=[2],
    )
    distance_usd: Annotated[Decimal, Number(above=0, most=MAX_PRICE, unit="USD")] | None = Field(
        None,
        description="The same in USD. With both, the wider of the two counts; one of them is needed.",
        examples=[1_000],
    )
    activation_pnl_percent: Annotated[Decimal, Number(least=-100, most=10_000, unit="percent")] | None = Field(
        None,
        description="Begin only once the P&L is at least this share of the trade's margin. Left out: at once.",
        examples=[10],
    )
    min_step_percent: Annotated[Decimal, Number(least=0, most=50, unit="percent")] = Field(
        Decimal("0.1"),
        description=(
            "Move the stop loss only by at least this share of the last price, so that not every tick sends a"
            " request; 0: by any step of 0.5 USD."
        ),
        examples=[0.25],
        json_schema_extra={"default": 0.1},
    )
    scope: Literal["all"] | None = Field(
        None,
        description="all: every running trade of the account, in one pass. Left out: the trade that the job names.",
        examples=["all"],
    )
    replace_exchange_trailing: StrictBool = Field(
        False,
        description=(
            "Also move a stop loss that the exchange itself trails, which makes it a fixed one. Otherwise such a trade"
            " is left alone, and the result says so."
        ),
        examples=[True],
    )

    @model_validator(mode="after")
    def _has_a_distance(self) -> TrailingStopConfig:
        if self.distance_percent is None and self.distance_usd is None:
            raise ValueError("distance_percent: missing; a trailing stop needs it, or distance_usd")
        return self
