"""The config of a margin guard, as the automation's row carries it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from axisor_executor.automation import AutomationConfig, Number, SpendGuards, Whole
from axisor_executor.automation.fields import quoted

Percentage = Annotated[Decimal, Number(above=0, most=100, unit="percent")]
THRESHOLD = Number(least=5, most=100, unit="percent", if_absent="to act at once")
_REDUCE = frozenset({"reduce_position"})
OF_REOPENING = frozenset({"if_unaffordable", "max_reopen_slippage_percent"})
"""Keys about the reopening of a remainder; a cross position is reduced by one order, so they count as left out."""


class MarginGuardConfig(SpendGuards, AutomationConfig):
    """What a margin guard does, to which trades, and from which share of the way to the liquidation on."""

    used_only_by: ClassVar[Mapping[str, frozenset[str]]] = {
        "reduce_percentage": _REDUCE,
        "if_unaffordable": _REDUCE,
        "max_reopen_slippage_percent": _REDUCE,
        "add_margin_amount": frozenset({"add_margin"}),
    }

    action: Literal["close_position", "reduce_position", "add_margin"] = Field(
        description="What to do with a trade: close it, close a part of it, or add margin to it.",
        examples=["add_margin"],
    )
    margin_mode: Literal["isolated", "cross"] = Field(
        "isolated",
        description=(
            "Which positions are guarded: isolated trades, or the account's one cross position (close_position and"
            " reduce_position; without a tradeId or scope)."
        ),
        examples=["isolated"],
    )
    reduce_percentage: Percentage | None = Field(
        None,
        description="reduce_position: how much of the trade's quantity to close; rounded up to whole USD.",
        examples=[50],
    )
    add_margin_amount: Annotated[int, Whole(above=0, unit="sats")] | None = Field(
        None, description="add_margin: how much to add to the trade's margin each time.", examples=[10_000]
    )
    margin_threshold: Annotated[Decimal, THRESHOLD] | None = Field(
        None,
        description=(
            "Act only when at least this share of the way from entry to liquidation is used up, at the last price."
            " Left out: act at once. Required with a scope."
        ),
        examples=[85],
    )
    scope: Literal["selected", "all"] | None = Field(
        None,
        description="Which running trades to look at in one pass. Left out: the trade that the job names.",
        examples=["all"],
    )
    selected_positions: tuple[str, ...] = Field(
        (),
        description="scope selected: the ids of the trades. A trade that replaced one of them counts as it.",
        examples=[["b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"]],
    )
    if_unaffordable: Literal["refuse", "close"] = Field(
        "refuse",
        description=(
            "reduce_position, when the balance and what the close frees don't cover the remainder's margin and fees at"
            " the worst price within max_reopen_slippage_percent: refuse (nothing is done, an alert is raised) or close"
            " the whole trade."
        ),
        examples=["close"],
    )
    max_reopen_slippage_percent: Percentage = Field(
        Decimal(1),
        description=(
            "reduce_position: the remainder is reopened only while the market is within this distance, either way,"
            " of the price at which it was decided. The balance must suffice anywhere within it, so a wider bound asks"
            " for more balance."
        ),
        examples=[0.5],
        json_schema_extra={"default": 1},
    )

    @field_validator("selected_positions", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> tuple[str, ...]:
        if value is None or _is_blank(value):
            return ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in value):
            raise ValueError(f"must be a list of trade ids (texts that are not blank), got {quoted(value)}")
        return tuple(dict.fromkeys(item.strip() for item in value))

    @field_validator("scope", mode="before")
    @classmethod
    def _no_scope(cls, value: Any) -> Any:
        """Take a form's empty text for no scope: the guard then wants the job's trade, and touches no other."""
        return None if _is_blank(value) else value

    @field_validator("margin_threshold", mode="before")
    @classmethod
    def _percent_not_fraction(cls, value: Any) -> Any:
        """Say why 0.85 is refused: as a fraction it would be 85, as a percentage it would never let go."""
        if value is None:
            return None
        try:
            share = Number().parse(value)
        except ValueError:
            return value
        if 0 < share < 1:
            raise ValueError(
                f"is ambiguous: {quoted(value)} is below 1, and a percentage is never written as a fraction;"
                f" must be {THRESHOLD.allowed}, such as 85"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> MarginGuardConfig:
        """Refuse what the action or the scope leaves open, naming the key."""
        if self.margin_mode == "cross":
            self._check_cross()
        if self.action == "reduce_position" and self.reduce_percentage is None:
            raise ValueError("reduce_percentage: missing; reduce_position needs it (percent, above 0 and up to 100)")
        if self.action == "add_margin" and self.add_margin_amount is None:
            raise ValueError("add_margin_amount: missing; add_margin needs it (whole sats above 0)")
        if self.scope is not None and self.margin_threshold is None:
            raise ValueError(f"margin_threshold: missing; scope {self.scope} needs it (percent, from 5 to 100)")
        if self.scope == "selected" and not self.selected_positions:
            raise ValueError("selected_positions: missing; scope selected needs at least one trade id")
        if self.scope != "selected" and self.selected_positions:
            raise ValueError("selected_positions: only scope selected uses it; set the scope or leave it out")
        return self

    def _check_cross(self) -> None:
        if self.action == "add_margin":
            raise ValueError(
                "margin_mode: cross has no add_margin: a cross position has no margin of its own, it draws on the whole"
                " cross wallet; use close_position or reduce_position, or margin_mode isolated"
            )
        if self.scope is not None or self.selected_positions:
            key = "scope" if self.scope is not None else "selected_positions"
            raise ValueError(f"{key}: an account has one cross position; leave it out with margin_mode cross")


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
