"""What to try: automations, and the positions that are open at the start, as a file says it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from axisor_executor.automation.fields import Number, Price, Whole, quoted
from axisor_executor.automation.handler import problems_of
from axisor_executor.errors import InvalidConfig
from axisor_executor.exchange.base import OrderType, Side

EACH = "each"
MOST_BYTES = 1_048_576
MOST_AUTOMATIONS = 100
LONGEST_EVERY = 7 * 86_400

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIDES = {"b": "buy", "s": "sell"}


def seconds_of(value: Any) -> int:
    """Return the seconds of a time such as ``30s``, ``5m``, ``1h`` or ``1d``, or of a whole number of seconds.

    Raises:
        ValueError: it is none, or not from 1 second to 7 days.
    """
    found = re.fullmatch(r"([0-9]{1,8})([smhd]?)", value) if isinstance(value, str) else None
    seconds = int(found[1]) * _UNITS.get(found[2], 1) if found else value
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_EVERY:
        raise ValueError(f"must be a time from 1s to 7d, such as 5m or 1h, got {quoted(value)}")
    return seconds


def _side(value: Any) -> Any:
    return _SIDES.get(value, value) if isinstance(value, str) else value


def _name(value: str) -> str:
    if value == EACH:
        raise ValueError(f"{EACH!r} stands for every running trade; call it otherwise")
    return value


Every = Annotated[int, BeforeValidator(seconds_of)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f@]+$")]
Leverage = Annotated[Any, Number(least=1, most=100)]
Quantity = Annotated[int, Whole(least=1, unit="USD")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlannedAutomation(_Part):
    """One automation: its row's type and config, and the jobs that it gets.

    ``action`` is the jobs' (absent: the config's); ``trade`` the name of a position, or ``each``: a job for every
    running trade; ``every`` how often, in seconds.
    """

    type: Annotated[str, Field(min_length=1, max_length=200)]
    config: dict[str, Any] = Field(default_factory=dict)
    id: Name | None = None
    action: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    trade: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    every: Every | None = None


class Position(_Part):
    """An isolated trade (or, with a ``price``, a limit order) placed when the first candle opens."""

    name: Annotated[Name, AfterValidator(_name)]
    side: Annotated[Side, BeforeValidator(_side)]
    quantity: Quantity
    leverage: Leverage
    price: Annotated[Any, Price()] | None = None
    stoploss: Annotated[Any, Price()] | None = None
    takeprofit: Annotated[Any, Price()] | None = None

    @property
    def order_type(self) -> OrderType:
        """``limit`` where it names a price."""
        return "market" if self.price is None else "limit"


class CrossStart(_Part):
    """The cross wallet (sats), its leverage, and the position that is opened when the first candle opens."""

    deposit: Annotated[int, Whole(least=1, unit="sats")]
    leverage: Annotated[int, Whole(least=1, most=100)] = 1
    side: Annotated[Side, BeforeValidator(_side)] | None = None
    quantity: Quantity | None = None

    @model_validator(mode="after")
    def _side_and_quantity(self) -> CrossStart:
        if (self.side is None) != (self.quantity is None):
            raise ValueError("side and quantity go together")
        return self


class Scenario(_Part):
    """What is tried. Names of positions may stand in configs, with an ``@`` before them."""

    automations: Annotated[tuple[PlannedAutomation, ...], Field(min_length=1, max_length=MOST_AUTOMATIONS)]
    positions: tuple[Position, ...] = ()
    cross: CrossStart | None = None

    @model_validator(mode="after")
    def _names(self) -> Scenario:
        names = [one.name for one in self.positions]
        _unique("positions", names)
        _unique("automations", [one.id for one in self.automations if one.id is not None])
        for one in self.automations:
            if one.trade is not None and one.trade not in {*names, EACH}:
                known = ", ".join([*names, EACH])
                raise ValueError(f"trade {quoted(one.trade)} is none of the positions; there are: {known}")
        return self


def read_scenario(path: Path) -> Scenario:
    """Read a scenario: ``{"automations": [...], "positions": [...], "cross": {...}}``, or one automation by itself.

    Raises:
        InvalidConfig: ``backtest_file_invalid``, with every problem.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _invalid(f"{path} is larger than {MOST_BYTES} bytes")
        given = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise _invalid(f"can't read {path}: {error.strerror or type(error).__name__}") from None
    except (ValueError, RecursionError) as error:
        raise _invalid(f"{path} is no JSON: {error}") from None
    return parse_scenario(given)


def parse_scenario(given: Any) -> Scenario:
    """Return the scenario that a JSON value is; one automation may stand by itself, beside the positions.

    Raises:
        InvalidConfig: ``backtest_file_invalid``, with every problem.
    """
    if isinstance(given, list):
        given = {"automations": given}
    if isinstance(given, Mapping) and "type" in given and "automations" not in given:
        around = {key: given[key] for key in ("positions", "cross") if key in given}
        given = {"automations": [{key: value for key, value in given.items() if key not in around}], **around}
    try:
        return Scenario.model_validate(given)
    except ValidationError as error:
        raise _invalid("; ".join(_problem(item) for item in problems_of(error))) from None


def with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a config with every text ``@name`` replaced by the id of the position of that name.

    Raises:
        InvalidConfig: there is no such position.
    """
    if isinstance(value, Mapping):
        return {key: with_ids(item, ids) for key, item in value.items()}
    if isinstance(value, list):
        return [with_ids(item, ids) for item in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value[1:] not in ids:
        raise _invalid(f"config: {quoted(value)} is none of the positions; there are: {', '.join(ids) or 'none'}")
    return ids[value[1:]]


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} are called {name!r}")
        seen.add(name)


def _problem(item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _invalid(message: str) -> InvalidConfig:
    return InvalidConfig(message, code="backtest_file_invalid")
