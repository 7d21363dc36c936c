"""The fields of an answer: checked one by one, with exact Decimals and never a float."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn, TypeVar, cast

from axisor_executor.exchange.base import Page

T = TypeVar("T")
Fields = Mapping[str, Any]
"""A JSON object as it was read."""

_LARGEST = 10**18  # beyond any amount or price there can be; also keeps 1e999999999 out of int()
_MOST_DECIMALS = 400  # no double has more; 1e-999999 would cost seconds and megabytes
_LONGEST_TEXT = 512
_LONGEST_PROSE = 10_000


class UnreadableAnswer(Exception):
    """The exchange answered with something else than was expected. The message names the field, never a value."""


def decode(body: bytes, content_type: str = "application/json") -> Any:
    """Return the JSON value in ``body``, with every fraction as a Decimal.

    Raises:
        UnreadableAnswer: it is not JSON in UTF-8, or the ``Content-Type`` says that it is something else.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnreadableAnswer("the content type is not JSON")
    try:
        return _decode(body.decode())
    except (ValueError, ArithmeticError, RecursionError):
        pass
    raise UnreadableAnswer("not JSON")


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
        fields = fields_of(value)
        return Page(list_of(read)(required(fields, "data")), optional(text, fields, "nextCursor"))

    return read_page


def showing(read: Callable[[Any], T], **expected: Any) -> Callable[[Any], T]:
    """Return ``read`` for values that must show these attributes: an answer about something else is no answer."""

    def read_expected(value: Any) -> T:
        found = read(value)
        for name, wanted in expected.items():
            if getattr(found, name) != wanted:
                raise UnreadableAnswer(f"{name} is not the one asked for")
        return found

    return read_expected


def placed(read: Callable[[Any], T], client_id: str | None, **expected: Any) -> Callable[[Any], T]:
    """Return ``read`` for what an order of ours has placed: it must show these attributes, and nobody else's id.

    It need not show our ``client_id``: it answers our own request, and the exchange need not show what it keeps.
    """
    read_expected = showing(read, **expected)

    def read_placed(value: Any) -> T:
        found = read_expected({"clientId": None, **value} if isinstance(value, dict) else value)
        if client_id is not None and getattr(found, "client_id") not in (None, client_id):  # noqa: B009  of any T
            raise UnreadableAnswer("client_id is not the one asked for")
        return found

    return read_placed


def fields_of(value: Any) -> Fields:
    """Return a JSON object's fields."""
    if not isinstance(value, dict):
        raise UnreadableAnswer("not an object")
    return value


def required(fields: Fields, name: str) -> Any:
    """Return a field that must be there."""
    if name not in fields:
        raise UnreadableAnswer(f"{name} is missing")
    return fields[name]


def optional(read: Callable[[Fields, str], T], fields: Fields, name: str) -> T | None:
    """Return what ``read`` reads, or ``None`` for null. The field must be there."""
    return None if required(fields, name) is None else read(fields, name)


def if_readable(read: Callable[[Fields, str], T], fields: Fields, name: str) -> T | None:
    """Return what ``read`` reads, or ``None``: for what only informs and must not keep the rest from being read."""
    try:
        return optional(read, fields, name)
    except UnreadableAnswer:
        return None


def text(fields: Fields, name: str) -> str:
    """Return a text: not empty, printable, not long."""
    value = required(fields, name)
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT or not value.isprintable():
        wrong(name)
    return value


def raw_text(fields: Fields, name: str) -> str:
    """Return a text of any characters, as another program has made it: to be compared, not to be shown."""
    value = required(fields, name)
    if not isinstance(value, str):
        wrong(name)
    return value


def prose(fields: Fields, name: str) -> str:
    """Return a text made for people, in one line of printable characters."""
    value = required(fields, name)
    if not isinstance(value, str) or len(value) > _LONGEST_PROSE:
        wrong(name)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())


def flag(fields: Fields, name: str) -> bool:
    """Return true or false."""
    value = required(fields, name)
    if not isinstance(value, bool):
        wrong(name)
    return value


def one_of(fields: Fields, name: str, allowed: tuple[str, ...]) -> str:
    """Return a text that is one of those ``allowed``."""
    value = required(fields, name)
    if value not in allowed:
        wrong(name)
    return cast(str, value)


def number(fields: Fields, name: str) -> Decimal:
    """Return a number, exact."""
    return Decimal(_in_bounds(fields, name))


def positive(fields: Fields, name: str) -> Decimal:
    """Return a number above 0."""
    value = number(fields, name)
    if value <= 0:
        wrong(name)
    return value


def whole(fields: Fields, name: str) -> int:
    """Return a whole number."""
    value = _in_bounds(fields, name)
    if value != int(value):
        wrong(name)
    return int(value)


def instant(fields: Fields, name: str) -> datetime:
    """Return an instant in UTC; one that does not tell its time zone is none."""
    value = text(fields, name)
    try:
        found = datetime.fromisoformat(value)
        found_utc = found.astimezone(UTC)
    except (ValueError, OverflowError):
        wrong(name)
    if found.tzinfo is None:
        wrong(name)
    return found_utc


def only_flag(fields: Fields, names: tuple[str, ...]) -> str:
    """Return which one of these flags is set; none or several contradict each other."""
    flags = {name: flag(fields, name) for name in names}
    found = [name for name, is_set in flags.items() if is_set]
    if len(found) != 1:
        raise UnreadableAnswer(f"the flags {', '.join(names[:-1])} and {names[-1]} contradict each other")
    return found[0]


def wrong(name: str) -> NoReturn:
    """Refuse the answer for one of its fields."""
    raise UnreadableAnswer(f"{name} is not what it should be")


def _in_bounds(fields: Fields, name: str) -> int | Decimal:
    value: int | Decimal = required(fields, name)
    if type(value) not in _NUMBERS or not -_LARGEST <= value <= _LARGEST:
        wrong(name)
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) < -_MOST_DECIMALS:
        wrong(name)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_NUMBERS = frozenset({int, Decimal})  # and no bool, which is an int
_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant).decode
