"""Field types for configs: numbers as existing rows carry them, with messages that say what is allowed.

Use them in annotations: ``Annotated[Decimal, Number(above=0, most=100, unit="percent")]``. All of them take JSON
numbers and numbers written as text (``"50"``), and refuse ``true``/``false``, which JSON must not turn into 1 and 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import MAX_PREC, Context, Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.exchange.base import PRICE_STEP

_TEXT = r"^[+-]?[0-9]{1,15}(\.[0-9]{1,15})?$"
_SHOWN = 80
_FINEST_PERCENT = Decimal("1e-9")
_ANY_SIZE = Context(prec=MAX_PREC)


def quoted(value: Any) -> str:
    """Return a config's value as an error message shows it: as it is written, cut to 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def to_decimal(value: Any) -> Decimal:
    """Return the number that a JSON value stands for, exactly as it is written.

    Raises:
        ValueError: it is none (a boolean, a list, ``"abc"``, ``NaN``).
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be a number, got {quoted(value)}")  # noqa: TRY004  (pydantic reports ValueError alone)
    elif isinstance(value, str):
        if not re.fullmatch(_TEXT, value.strip()):
            raise ValueError(f"must be a number, got {quoted(value)}")
        number = Decimal(value.strip())
    else:
        number = Decimal(repr(value))
    if not number.is_finite():
        raise ValueError(f"must be a finite number, got {quoted(value)}")
    return number


def _without_noise(percentage: Decimal) -> Decimal:
    """Return a percentage rounded to 9 decimals; one that has no more stays as it is written.

    What a program has computed in binary is off in its last digits (``0.07 * 100`` gives 7.000000000000001), and that
    would count in full where a share is rounded up: 8 of 100 USD instead of 7.
    """
    rounded = percentage.quantize(_FINEST_PERCENT, context=_ANY_SIZE)
    return percentage if percentage == rounded else rounded


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number. ``above`` excludes its bound, ``least`` and ``most`` include it; messages show ``unit``.

    It is taken exactly as it is written; one whose ``unit`` is ``percent`` is rounded to 9 decimals first.
    ``if_absent`` says, where 0 is refused, what leaving the key out would do (``"to act at any price"``).
    """

    unit: str = ""
    above: Decimal | int | None = None
    least: Decimal | int | None = None
    most: Decimal | int | None = None
    if_absent: str = ""

    @property
    def allowed(self) -> str:
        """Return what is allowed, in words: ``"a number above 0 and up to 100 (percent)"``."""
        words = [self._noun()]
        if self.above is not None:
            words.append(f"above {self.above}")
        if self.least is not None and self.most is not None:
            words.append(f"from {self.least} to {self.most}")
        elif self.least is not None:
            words.append(f"of at least {self.least}")
        elif self.most is not None:
            words.append(("and " if self.above is not None else "") + f"up to {self.most}")
        return " ".join(words) + (f" ({self.unit})" if self.unit else "")

    def parse(self, value: Any) -> Any:
        """Return the number, or raise ``ValueError`` with what is allowed."""
        try:
            number = to_decimal(value)
        except ValueError:
            raise ValueError(f"must be {self.allowed}, got {quoted(value)}") from None
        if self.unit == "percent":
            number = _without_noise(number)
        if not self._within(number):
            raise ValueError(f"must be {self.allowed}, got {quoted(value)}{self._hint(number)}")
        return self._convert(number)

    def _hint(self, number: Decimal) -> str:
        """Say to whoever wrote 0 for "none" how to say so, and what it means."""
        return f"; leave the key out {self.if_absent}" if number == 0 and self.if_absent else ""

    def _noun(self) -> str:
        return "a number"

    def _within(self, number: Decimal) -> bool:
        return (
            (self.above is None or number > self.above)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
        )

    def _convert(self, number: Decimal) -> Any:
        return number

    def _json_number(self) -> dict[str, Any]:
        bounds = {"exclusiveMinimum": self.above, "minimum": self.least, "maximum": self.most}
        return {"type": "number"} | {key: _plain(bound) for key, bound in bounds.items() if bound is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with :meth:`parse` alone."""
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Show a number (or one as text), its bounds and its unit."""
        shown: dict[str, Any] = {"anyOf": [self._json_number(), {"type": "string", "pattern": _TEXT}]}
        return shown | ({"unit": self.unit} if self.unit else {})


@dataclass(frozen=True, slots=True)
class Whole(Number):
    """A whole number (``5``, ``5.0`` and ``"5"``; not ``5.5``), given as ``int``."""

    def _noun(self) -> str:
        return "a whole number"

    def _within(self, number: Decimal) -> bool:
        return number == number.to_integral_value() and Number._within(self, number)

    def _convert(self, number: Decimal) -> int:
        return int(number)

    def _json_number(self) -> dict[str, Any]:
        return Number._json_number(self) | {"type": "integer"}


@dataclass(frozen=True, slots=True)
class Price(Number):
    """A price as the exchange takes it: above 0, in steps of 0.5 (USD per BTC); never rounded silently."""

    unit: str = "USD per BTC"
    above: Decimal | int | None = 0
    most: Decimal | int | None = MAX_PRICE

    def _noun(self) -> str:
        return f"a price in steps of {PRICE_STEP}"

    def _within(self, number: Decimal) -> bool:
        return Number._within(self, number) and number % PRICE_STEP == 0

    def _json_number(self) -> dict[str, Any]:
        return Number._json_number(self) | {"multipleOf": float(PRICE_STEP)}


def _plain(bound: Decimal | int) -> int | float:
    return int(bound) if bound == int(bound) else float(bound)
