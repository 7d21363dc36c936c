"""Checks what the official SDK skips: its models take any value for most fields, whatever their annotations say.

Each model that the SDK returns is validated again: strictly by the annotations of its fields, all of them present, and
by what the names of the fields mean. Runs in the SDK's own environment.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

from lnmarkets_sdk.rest.v3 import LNMClient
from pydantic import BaseModel, ConfigDict, Field, create_model

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

UUIDS = {"id", "uid", "tradeId", "settlementId"}
INSTANTS = {"time", "createdAt", "filledAt", "canceledAt", "closedAt", "updatedAt", "settledAt", "fundingTime"}
PRICES = {
    *("price", "entryPrice", "exitPrice", "liquidation", "stoploss", "takeprofit", "fixingPrice", "lastPrice", "index"),
    *("askPrice", "bidPrice", "open", "high", "low", "close"),
}
SATS = {
    *("margin", "entryMargin", "initialMargin", "runningMargin", "maintenanceMargin", "balance", "amount", "fee", "pl"),
    *("openingFee", "closingFee", "tradingFee", "tradingFees", "fundingFees", "sumFundingFees", "sumCashInMargin"),
    *("sumCashInPl", "deltaPl", "totalPl", "quantity"),
}
EXTRA = {"uid", "event", "data"}
"""Fields that the TypeScript SDK has and the Python one has not."""


class CheckedClient(LNMClient):
    """The SDK's client; every model that it returns was checked. Counts them."""

    checked = 0

    async def request(self, *arguments: Any, **options: Any) -> Any:
        answer = await super().request(*arguments, **options)
        for value in answer if isinstance(answer, list) else [answer]:
            check(value)
            self.checked += 1
        return answer


def check(answer: Any) -> None:
    """Raise unless an answer of the SDK is what its annotations and the names of its fields say."""
    assert isinstance(answer, BaseModel), f"{answer!r} is no model"
    _strict_model(type(answer)).model_validate(_raw(answer))
    for model in _models(answer):
        for name, value in _raw(model).items():
            _check_meaning(name, value)


def _check_meaning(name: str, value: Any) -> None:
    if value is None or isinstance(value, bool | dict | list):
        return
    if name in UUIDS:
        assert UUID.fullmatch(value), (name, value)
    elif name in INSTANTS:
        assert INSTANT.fullmatch(value), (name, value)
        datetime.fromisoformat(value)
    elif name in PRICES:
        assert value * 2 == int(value * 2), (name, value)
        assert value >= 0, (name, value)
    elif name in SATS:
        assert type(value) is int, (name, value)


def _models(value: Any) -> list[BaseModel]:
    if isinstance(value, list):
        return [model for each in value for model in _models(each)]
    if not isinstance(value, BaseModel):
        return []
    return [value, *(model for name in type(value).model_fields for model in _models(getattr(value, name)))]


def _raw(value: Any) -> Any:
    """Return the JSON that a model was made from."""
    if isinstance(value, list):
        return [_raw(each) for each in value]
    if not isinstance(value, BaseModel):
        return value
    fields = type(value).model_fields
    given = {_wire_name(fields[name]): _raw(getattr(value, name)) for name in value.model_fields_set & fields.keys()}
    extra = value.model_extra or {}
    assert extra.keys() <= EXTRA, f"{type(value).__name__} has no {', '.join(extra.keys() - EXTRA)}"
    return given | extra


def _wire_name(field: Any) -> str:
    return str(field.validation_alias or field.alias)


@cache
def _strict_model(model: type[BaseModel]) -> type[BaseModel]:
    """Return the model with validation: strict types, every field required."""
    fields: Any = {
        name: (_strict(field.annotation), Field(alias=_wire_name(field))) for name, field in model.model_fields.items()
    }
    return create_model(model.__name__, __config__=ConfigDict(strict=True), **fields)


def _strict(annotation: Any) -> Any:
    """Return an annotation without what makes pydantic skip the validation."""
    if isinstance(annotation, TypeAliasType):
        return _strict(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _strict_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _strict(arguments[0])
    if origin in {Union, UnionType}:
        return Union[tuple(_strict(each) for each in arguments)]  # noqa: UP007 - of a tuple
    if origin is list:
        return list[_strict(arguments[0])]  # type: ignore[misc]
    assert origin in {None, dict, Literal}, annotation
    return annotation
