"""Objects as JSON, and back.

JSON rather than pickle: reading it can do nothing but build objects of this package's own classes, a person can read
it, and what a class no longer has, or has in addition, is found out instead of being left undone.

Objects with an identity stand in a table and are referred to by number, so cycles are no matter. Named tuples and
frozen dataclasses are values and stand where they are used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

__all__ = ["GraphError", "Reader", "Writer", "layout_of"]

_PACKAGE = "axisor_paper_exchange."
_PLAIN = (str, int, float, type(None))


class GraphError(Exception):
    """Objects that can't be written or read this way."""


class Writer:
    """Turns values into JSON; `externals` are objects that are not written, by the names that stand for them."""

    def __init__(self, externals: Mapping[str, object]) -> None:
        self._externals = {id(value): name for name, value in externals.items()}
        self._numbers: dict[int, int] = {}
        self._waiting: list[Any] = []
        self._containers: set[int] = set()
        self._classes: dict[type, int] = {}
        self.layout: list[list[Any]] = []
        """The classes of the values so far: name, and names of what an instance holds."""

    def objects(self) -> list[list[Any]]:
        """Return the table of the objects that the values so far refer to, directly or by others."""
        table: list[list[Any]] = []
        while len(table) < len(self._waiting):
            value = self._waiting[len(table)]
            kind = self._class(value)
            table.append([kind, *(self.value(getattr(value, name)) for name in self.layout[kind][1])])
        return table

    def value(self, value: Any) -> Any:
        """Return one value as JSON."""
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, Decimal):
            return ["decimal", str(value)]
        if isinstance(value, tuple):
            if hasattr(value, "_fields"):
                return ["value", self._class(value), *map(self.value, value)]
            return ["tuple", *map(self.value, value)]
        if isinstance(value, list):
            self._once(value)
            return ["list", *map(self.value, value)]
        if isinstance(value, dict):
            self._once(value)
            return ["dict", *(self.value(part) for item in value.items() for part in item)]
        if (name := self._externals.get(id(value))) is not None:
            return ["external", name]
        if _is_frozen(type(value)):
            kind = self._class(value)
            return ["value", kind, *(self.value(getattr(value, name)) for name in self.layout[kind][1])]
        return ["object", self._number(value)]

    def _once(self, container: object) -> None:
        if id(container) in self._containers:
            raise GraphError("a list or dict that belongs to two objects would become two")
        self._containers.add(id(container))

    def _number(self, value: object) -> int:
        if id(value) not in self._numbers:
            self._class(value)
            self._numbers[id(value)] = len(self._waiting)
            self._waiting.append(value)
        return self._numbers[id(value)]

    def _class(self, value: object) -> int:
        cls = type(value)
        if cls not in self._classes:
            if not cls.__module__.startswith(_PACKAGE):
                raise GraphError(f"{cls.__module__}.{cls.__qualname__} is not known here")
            self._classes[cls] = len(self.layout)
            self.layout.append([_name(cls), list(layout_of(cls) or _held(value))])
        return self._classes[cls]


class Reader:
    """Turns JSON of a `Writer` back into objects, which `externals` stand in for.

    Raises `GraphError` for classes that are not there, or hold something else than they did.
    """

    def __init__(self, layout: list[list[Any]], objects: list[list[Any]], externals: Mapping[str, object]) -> None:
        self._externals = externals
        self._classes = [_find(name) for name, _ in layout]
        self._names: list[list[str]] = [names for _, names in layout]
        for cls, names in zip(self._classes, self._names, strict=True):
            known = layout_of(cls)
            if known is not None and list(known) != names:
                raise GraphError(f"{_name(cls)} holds {', '.join(known)}, not {', '.join(names)}")
        self._objects: list[Any] = [self._classes[row[0]].__new__(self._classes[row[0]]) for row in objects]
        for value, row in zip(self._objects, objects, strict=True):
            self._fill(value, row[0], row[1:])

    def value(self, json: Any) -> Any:
        """Return one value."""
        if not isinstance(json, list):
            return json
        kind, *rest = json
        if kind == "object":
            return self._objects[rest[0]]
        if kind == "decimal":
            return Decimal(rest[0])
        if kind == "external":
            return self._externals[rest[0]]
        if kind == "value":
            return self._value(rest[0], rest[1:])
        values = [self.value(part) for part in rest]
        if kind == "dict":
            return dict(zip(values[::2], values[1::2], strict=True))
        if kind not in {"list", "tuple"}:
            raise GraphError(f"{kind} is not known here")
        return values if kind == "list" else tuple(values)

    def _value(self, kind: int, parts: list[Any]) -> Any:
        cls = self._classes[kind]
        if issubclass(cls, tuple):
            return cls._make(map(self.value, parts))  # type: ignore[attr-defined]
        value = cls.__new__(cls)
        self._fill(value, kind, parts)
        return value

    def _fill(self, value: object, kind: int, parts: list[Any]) -> None:
        for name, part in zip(self._names[kind], parts, strict=True):
            object.__setattr__(value, name, self.value(part))


def layout_of(cls: type) -> tuple[str, ...] | None:
    """Return the names of what an instance holds, None where only an instance can tell."""
    if issubclass(cls, tuple):
        return tuple(cls._fields)  # type: ignore[attr-defined]
    if is_dataclass(cls):
        return tuple(field.name for field in fields(cls))
    slots = [base.__dict__["__slots__"] for base in cls.__mro__ if "__slots__" in base.__dict__]
    return tuple(name for names in slots for name in names) or None


def _held(value: object) -> list[str]:
    # typing leaves __orig_class__ on instances of generic classes.
    return [name for name in vars(value) if not name.startswith("__")]


def _is_frozen(cls: type) -> bool:
    return is_dataclass(cls) and bool(cls.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _name(cls: type) -> str:
    return f"{cls.__module__.removeprefix(_PACKAGE)}:{cls.__qualname__}"


def _find(name: str) -> type:
    module, _, qualname = name.partition(":")
    # No import: only what this program is made of can be named.
    cls = getattr(sys.modules.get(_PACKAGE + module), qualname, None)
    if not isinstance(cls, type) or cls.__module__ != _PACKAGE + module:
        raise GraphError(f"{name} is not known here")
    return cls
