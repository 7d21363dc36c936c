"""The config of an auto entry, as the automation's row carries it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.automation import AutomationConfig, Number, Price, Whole
from axisor_executor.automation.fields import quoted
from axisor_executor.exchange.base import PRICE_STEP, Side

TRIGGER = Number(above=0, most=MAX_PRICE, unit="USD per BTC", if_absent="to enter at once")
_SIDES = {"b": "buy", "buy": "buy", "s": "sell", "sell": "sell"}


class AutoEntryConfig(AutomationConfig):
    """The trade to open, and when."""

    action: Literal["open_position"] = Field(
        "open_position", description="The one thing an auto entry does.", examples=["open_position"]
    )
    side: Side = Field(
        description="buy (or b) opens a long, sell (or s) a short; upper and lower case alike.",
        examples=["b"],
        json_schema_extra={"enum": ["buy", "sell", "b", "s"]},
    )
    quantity: Annotated[int, Whole(least=1, most=500_000, unit="USD")] = Field(
        description="The size of the trade in whole USD.", examples=[100]
    )
    leverage: Annotated[Decimal, Number(least=1, most=100, unit="factor")] = Field(
        Decimal(10), description="The leverage.", examples=[10], json_schema_extra={"default": 10}
    )
    market: Literal["btcusd"] = Field("btcusd", description="The market; there is one.", examples=["btcusd"])
    stoploss: Annotated[Decimal, Price()] | None = Field(
        None,
        description="The stop loss in USD per BTC, in steps of 0.5; 0, empty or left out: none.",
        examples=[45_000],
    )
    takeprofit: Annotated[Decimal, Price()] | None = Field(
        None,
        description="The take profit in USD per BTC, in steps of 0.5; 0, empty or left out: none.",
        examples=[60_000],
    )
    trigger_price: Annotated[Decimal, TRIGGER] | None = Field(
        None,
        description=(
            "The price in USD per BTC to enter at: a buy at or below it, a sell at or above it. Left out: at once."
        ),
        examples=[50_000],
    )
    trigger_type: Literal["market", "limit"] = Field(
        "market",
        description=(
            "market waits until the last price has reached trigger_price and then enters at the market; limit places"
            " a limit order at trigger_price at once."
        ),
        examples=["limit"],
    )
    max_open_trades: Annotated[int, Whole(least=1, unit="trades and orders")] | None = Field(
        None,
        description=(
            "Enter only while fewer than this many running trades and open orders of this automation exist. Left"
            " out: no limit."
        ),
        examples=[1],
    )

    @field_validator("side", mode="before")
    @classmethod
    def _side(cls, value: Any) -> Any:
        side = _SIDES.get(value.strip().lower()) if isinstance(value, str) else None
        if side is None:
            raise ValueError(f"must be buy or b (long), sell or s (short), got {quoted(value)}")
        return side

    @field_validator("market", mode="before")
    @classmethod
    def _market(cls, value: Any) -> Any:
        if not isinstance(value, str) or value.strip().lower() != "btcusd":
            raise ValueError(f"must be btcusd, got {quoted(value)}")
        return "btcusd"

    @field_validator("stoploss", "takeprofit", mode="before")
    @classmethod
    def _zero_is_none(cls, value: Any) -> Any:
        """Take 0 for none, as the exchange shows it, and a form's empty text likewise."""
        if isinstance(value, str) and not value.strip():
            return None
        try:
            return None if Number().parse(value) == 0 else value
        except ValueError:
            return value

    @model_validator(mode="after")
    def _consistent(self) -> AutoEntryConfig:
        """Refuse what no price could make right."""
        if self.trigger_type == "limit":
            if self.trigger_price is None:
                raise ValueError("trigger_price: missing; trigger_type limit needs it (USD per BTC)")
            if self.trigger_price % PRICE_STEP:
                raise ValueError(
                    f"trigger_price: a limit order's price must be in steps of {PRICE_STEP}, got {self.trigger_price}"
                )
        if self.stoploss is not None and self.takeprofit is not None:
            low, high = ("stoploss", "takeprofit") if self.side == "buy" else ("takeprofit", "stoploss")
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low}: must be below the {high} for a {self.side}")
        return self
