"""From an answer's bytes to the typed values of :mod:`axisor_executor.exchange.base`, strictly.

A field that is missing or of the wrong type makes the whole answer unreadable: what is not known is never guessed.
Fields that are not listed here are ignored. Prices become exact Decimals, never floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn, TypeVar, cast

from axisor_executor.exchange.base import ExchangeAccount, OrderType, Page, Side, Ticker, Trade, TradeState

T = TypeVar("T")

_STATES: tuple[TradeState, ...] = ("open", "running", "closed", "canceled")
_LARGEST = Decimal(10) ** 18  # beyond any amount or price there can be; also keeps 1e999999999 out of int()
_LONGEST_TEXT = 512


class UnreadableAnswer(Exception):
    """The exchange answered with something else than was expected. The message names the field, never a value."""


@dataclass(frozen=True, slots=True)
class FundingFee:
    """One funding settlement of a trade: ``fee`` in sats, above 0 if it was paid, below if it was received."""

    settlement_id: str
    trade_id: str
    fee: int
    time: datetime


def decode(body: bytes, content_type: str = "application/json") -> Any:
    """Return the JSON value in ``body``, with every fraction as a Decimal.

    Raises:
        UnreadableAnswer: it is not JSON in UTF-8, or the ``Content-Type`` says that it is something else.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnreadableAnswer("the content type is not JSON")
    try:
        return json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError):
        pass
    raise UnreadableAnswer("not JSON")


def ticker(value: Any) -> Ticker:
    """Read a ticker. A price of 0 or less is read as it is: who uses it refuses it."""
    fields = _fields(value)
    return Ticker(
        last_price=_number(fields, "lastPrice"), index=_number(fields, "index"), time=_instant(fields, "time")
    )


def account(value: Any) -> ExchangeAccount:
    """Read the account."""
    fields = _fields(value)
    return ExchangeAccount(id=_text(fields, "id"), balance=_whole(fields, "balance"))


def trade(value: Any) -> Trade:
    """Read a trade."""
    fields = _fields(value)
    return Trade(
        id=_text(fields, "id"),
        type=cast(OrderType, _one_of(fields, "type", ("market", "limit"))),
        side=cast(Side, _one_of(fields, "side", ("buy", "sell"))),
        state=_state(fields),
        quantity=_whole(fields, "quantity"),
        margin=_whole(fields, "margin"),
        leverage=_number(fields, "leverage"),
        price=_number(fields, "price"),
        entry_price=_optional(_number, fields, "entryPrice"),
        entry_margin=_optional(_whole, fields, "entryMargin"),
        exit_price=_optional(_number, fields, "exitPrice"),
        liquidation=_number(fields, "liquidation"),
        maintenance_margin=_whole(fields, "maintenanceMargin"),
        opening_fee=_whole(fields, "openingFee"),
        closing_fee=_whole(fields, "closingFee"),
        pl=_whole(fields, "pl"),
        stoploss=_number(fields, "stoploss") or None,
        stoploss_trailing_distance=_number(fields, "stoplossTrailingDistance") or None,
        takeprofit=_number(fields, "takeprofit") or None,
        sum_funding_fees=_whole(fields, "sumFundingFees"),
        created_at=_instant(fields, "createdAt"),
        filled_at=_optional(_instant, fields, "filledAt"),
        closed_at=_optional(_instant, fields, "closedAt"),
        client_id=_optional(_text, fields, "clientId"),
        sum_cash_in=_whole(fields, "sumCashInMargin") + _whole(fields, "sumCashInPl"),
    )


def trade_showing(**expected: Any) -> Callable[[Any], Trade]:
    """Return a reader of a trade that must show these values: an answer about another trade is no answer."""

    def read_trade(value: Any) -> Trade:
        found = trade(value)
        for name, wanted in expected.items():
            if getattr(found, name) != wanted:
                raise UnreadableAnswer(f"{name} is not the one asked for")
        return found

    return read_trade


def funding_fee(value: Any) -> FundingFee:
    """Read a funding fee."""
    fields = _fields(value)
    return FundingFee(
        settlement_id=_text(fields, "settlementId"),
        trade_id=_text(fields, "tradeId"),
        fee=_whole(fields, "fee"),
        time=_instant(fields, "time"),
    )


def time(value: Any) -> datetime:
    """Read the exchange's own time."""
    return _instant(_fields(value), "time")


def pong(value: Any) -> str:
    """Read the answer to a ping."""
    if value != "pong":
        raise UnreadableAnswer("not a pong")
    return "pong"


def list_of(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Return a reader of JSON lists whose every item ``read`` reads."""

    def read_list(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise UnreadableAnswer("not a list")
        return tuple(read(item) for item in value)

    return read_list


def page_of(read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    """Return a reader of pages whose every item ``read`` reads."""

    def read_page(value: Any) -> Page[T]:
        fields = _fields(value)
        return Page(list_of(read)(_required(fields, "data")), _optional(_text, fields, "nextCursor"))

    return read_page


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableAnswer("not an object")
    return value


def _required(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise UnreadableAnswer(f"{name} is missing")
    return fields[name]


def _optional(read: Callable[[dict[str, Any], str], T], fields: dict[str, Any], name: str) -> T | None:
    return None if _required(fields, name) is None else read(fields, name)


def _text(fields: dict[str, Any], name: str) -> str:
    value = _required(fields, name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT or not value.isprintable():
        _wrong(name)
    return value


def _one_of(fields: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = _required(fields, name)
    if value not in allowed:
        _wrong(name)
    return cast(str, value)


def _number(fields: dict[str, Any], name: str) -> Decimal:
    value = _required(fields, name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not -_LARGEST <= value <= _LARGEST:
        _wrong(name)
    return Decimal(value)


def _whole(fields: dict[str, Any], name: str) -> int:
    value = _number(fields, name)
    if value != value.to_integral_value():
        _wrong(name)
    return int(value)


def _instant(fields: dict[str, Any], name: str) -> datetime:
    value = _text(fields, name)
    try:
        instant = datetime.fromisoformat(value)
        instant_utc = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        _wrong(name)
    if instant.tzinfo is None:
        _wrong(name)
    return instant_utc


def _state(fields: dict[str, Any]) -> TradeState:
    flags = {state: _required(fields, state) for state in _STATES}
    states = [state for state, flag in flags.items() if flag is True]
    if len(states) != 1 or not all(isinstance(flag, bool) for flag in flags.values()):
        raise UnreadableAnswer("the flags open, running, closed and canceled contradict each other")
    return states[0]


def _wrong(name: str) -> NoReturn:
    raise UnreadableAnswer(f"{name} is not what it should be")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
