"""Every stable code that the sources can produce, found by reading them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from axisor_executor import errors
from axisor_executor.errors import AxisorError
from tests.docs.pages import ROOT

SOURCES = (
    *(ROOT / "axisor_executor").rglob("*.py"),
    *(path for path in (ROOT / "plugins").glob("*/axisor_*/**/*.py") if "paper_exchange" not in path.parts),
)
CLASSES = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, AxisorError)
}


@dataclass(frozen=True, order=True)
class Code:
    """A code, the class it is raised with (empty: it stands in the ledger only), and its status where that shows."""

    code: str
    cls: str = ""
    status: int | None = None


def raised() -> set[Code]:
    """Return the codes that errors are raised with: each class's own, and those given where one is made."""
    found = {Code(cls.default_code, name, cls.default_status) for name, cls in CLASSES.items()}
    for path, nodes in _sources():
        for node in nodes:
            if isinstance(node, ast.Call) and (name := _name(node.func)) in CLASSES:
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                status = given.get("status")
                number = int(ast.literal_eval(status)) if isinstance(status, ast.Constant) else None
                for code in _texts(given.get("code"), path):
                    found.add(Code(code, name, number or CLASSES[name].default_status))
    return found


def noted() -> set[str]:
    """Return the codes that stand in results and actions without an error having been raised with them."""
    found = set()
    for path, nodes in _sources():
        for node in nodes:
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code":
                        found |= set(_texts(value, path))
            if isinstance(node, ast.Call) and _name(node.func) == "Verdict":
                found |= set(_texts(node.args[0], path))
    return found - {"executed"}


def reasons() -> set[str]:
    """Return the reasons with which handlers and the core wait."""
    found = set()
    for path, nodes in _sources():
        for node in nodes:
            if isinstance(node, ast.Call) and _name(node.func) in ("wait", "Wait") and node.args:
                found |= set(_texts(node.args[0], path))
    return found


def endings() -> set[tuple[str, str]]:
    """Return (status, reason) of every early end, and of jobs that repeat a waiting one."""
    found = {("cancelled", "duplicate")}
    for _, nodes in _sources():
        for node in nodes:
            if isinstance(node, ast.Call) and _name(node.func) == "Stop":
                found.add((ast.literal_eval(node.args[0]), ast.literal_eval(node.args[1])))
    return found


@cache
def _sources() -> list[tuple[Path, list[ast.AST]]]:
    return [(path, list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))) for path in SOURCES]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _texts(node: ast.expr | None, path: Path) -> Iterator[str]:
    """Return the texts that an expression can stand for, as far as that can be read."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body, path)
            yield from _texts(orelse, path)
        case ast.JoinedStr():  # f"{name}_invalid", of a stop loss or a take profit
            (tail,) = [part.value for part in node.values if isinstance(part, ast.Constant)]
            yield from (f"{name}{tail}" for name in ("stoploss", "takeprofit"))
        case ast.Name(id=name):
            yield from _named(name, path)


def _named(name: str, path: Path) -> Iterator[str]:
    """Return what a name stands for: a constant, the values of a table, or the modes of a switch."""
    if name == "mode":
        yield from ("paused", "reduce_only")
        return
    text = path.read_text(encoding="utf-8")
    name = {"read_code": "UNREADABLE"}.get(name, name)
    constant = re.search(rf'^{name} = "(\w+)"', text, re.MULTILINE)
    if constant:
        yield constant[1]
    elif name == "code":  # looked up by HTTP status; the rest is the class's own
        yield from re.findall(r'\d{3}: "(\w+)"', text)
