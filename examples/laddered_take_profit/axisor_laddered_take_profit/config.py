"""The config of a laddered take profit, as the automation's row carries it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.automation import AutomationConfig, Number

MOST_RUNGS = 20


class Rung(BaseModel):
    """One step: how far the trade must have gained, and how much of it is sold then."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pnl_percent: Annotated[Decimal, Number(above=0, most=10_000, unit="percent")] | None = Field(
        None,
        description=(
            "Reached once the P&L of the trade as it was opened is at least this share of the margin that it was opened"
            " with, whatever was sold of it, or added to its margin, since."
        ),
        examples=[20],
    )
    price: Annotated[Decimal, Number(above=0, most=MAX_PRICE, unit="USD per BTC")] | None = Field(
        None,
        description="Reached at this price: a long's at or above it, a short's at or below. Instead of pnl_percent.",
        examples=[60_000],
    )
    sell_percent: Annotated[Decimal, Number(above=0, most=100, unit="percent")] = Field(
        description="How much to sell, in percent of the quantity that the trade was opened with.", examples=[25]
    )

    @model_validator(mode="after")
    def _reached_by_one_thing(self) -> Rung:
        if (self.pnl_percent is None) == (self.price is None):
            raise ValueError("a rung needs either pnl_percent or price, not both")
        return self


class LadderedTakeProfitConfig(AutomationConfig):
    """The ladder, and how far the market may move while a step is taken."""

    rungs: tuple[Rung, ...] = Field(
        min_length=1,
        max_length=MOST_RUNGS,
        description=(
            "The steps, in any order: each with pnl_percent (percent of the margin) or price (USD per BTC), and"
            " sell_percent (percent of the original quantity); all together at most 100 percent."
        ),
        examples=[[{"pnl_percent": 20, "sell_percent": 25}, {"pnl_percent": 50, "sell_percent": 50}]],
    )
    max_reopen_slippage_percent: Annotated[Decimal, Number(above=0, most=100, unit="percent")] = Field(
        Decimal(1),
        description=(
            "The remainder is reopened only while the market is within this distance, either way, of the price at"
            " which it was decided; the balance must suffice anywhere within it."
        ),
        examples=[0.5],
        json_schema_extra={"default": 1},
    )

    @model_validator(mode="after")
    def _consistent(self) -> LadderedTakeProfitConfig:
        """Refuse to sell more than there is, and two rungs at one place, of which one must be a mistake."""
        total = sum(rung.sell_percent for rung in self.rungs)
        if total > 100:
            raise ValueError(f"rungs: sell {total} percent together; must be 100 at most")
        places = [(rung.pnl_percent, rung.price) for rung in self.rungs]
        if len(set(places)) < len(places):
            raise ValueError("rungs: two of them are reached at the same place; make them one")
        return self
