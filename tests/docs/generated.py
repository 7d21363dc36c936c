"""What the generated regions of the documentation hold, derived from the code."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from axisor_executor import errors
from axisor_executor.automation import AutomationConfig, AutomationHandler, Number, SpendGuards
from axisor_executor.cli import main
from axisor_executor.observe import metrics
from axisor_executor.plugins import Registry, discover, load
from axisor_executor.settings import describe_settings
from axisor_executor.storage.models import OWN
from tests.docs.codes import CLASSES
from tests.docs.pages import ROOT, escaped

HEAD = ("timestamp", "executionId", "automationId", "userId", "accountId", "accountName")
"""The fields that most examples leave out: every result has them."""

_WIDTH = 100
OF_THE_CORE = SpendGuards.model_fields.keys() | AutomationConfig.model_fields.keys()
"""Keys of configs that the core takes care of; they stand last."""


@cache
def registry() -> Registry:
    """Return the plugins of this checkout."""
    return load(discover())


def content(name: str) -> str:
    """Return what the region ``name`` holds (all but the results, which are made by running)."""
    makers: Mapping[str, Callable[[], str]] = {
        "settings": settings,
        "tables": tables,
        "commands": commands,
        "errors": error_classes,
        "tree": error_tree,
        "metrics": all_metrics,
        "rules": alert_rules,
    }
    if name in makers:
        return makers[name]()
    kind, _, automation_type = name.partition(" ")
    assert kind == "config", f"nobody makes the region {name!r}"
    return config(registry().handlers[automation_type].handler)


def settings() -> str:
    """Return the table of all settings."""
    rows = [
        f"| `{row.variable}` | {f'`{row.default}`' if row.default else ''} | {escaped(row.meaning)} |"
        for row in describe_settings()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def tables() -> str:
    """Return our tables with their columns."""
    rows = []
    for model in OWN:
        meta = model._meta
        says = (model.__doc__ or "").split(": ", 1)[1].rstrip(".")
        columns = ", ".join(f"`{field.column_name}`" for field in meta.sorted_fields)
        rows.append(f"| `{meta.table_name}` | {says} | {columns} |")
    columns = "`version`, `applied_at`, `owns_monolith_tables`"
    rows.append(f"| `axisor_schema` | which migrations have run | {columns} |")
    return "\n".join(["| table | what a row is | columns |", "|---|---|---|", *rows])


def commands() -> str:
    """Return every command with its arguments, options and examples."""
    return "\n\n".join(_command(path, command) for path, command in all_commands())


def _command(path: str, command: click.Command) -> str:
    says, _, examples = inspect.cleandoc(command.help or "").partition("\n\n\b\n")
    context = click.Context(command)
    rows = [_option(param, context) for param in command.params if isinstance(param, click.Option)]
    usage = " ".join(f"`{word}`" for word in [path, *_arguments(command)])
    parts = [f"## {path.removeprefix('axisor-executor ')}", usage, _prose(says)]
    if rows:
        parts.append("\n".join(["| option | default | meaning |", "|---|---|---|", *rows]))
    if examples:
        _, _, code = examples.partition("\n")
        parts.append(f"```sh\n{textwrap.dedent(code)}\n```")
    return "\n\n".join(parts)


def _arguments(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    yield from (param.make_metavar(context) for param in command.params if isinstance(param, click.Argument))


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" {escaped(_value(option, context))}"
    more = option.get_help_extra(context)
    default = "required" if option.required else escaped(more.get("default", ""))
    bounds = f" ({escaped(more['range'])})" if "range" in more else ""
    return f"| {names}{value} | {default} | {_prose(option.help or '')}{bounds} |"


def _value(option: click.Option, context: click.Context) -> str:
    return option.make_metavar(context).replace(" RANGE", "").replace("|", ", ").strip("[]")


def _prose(text: str) -> str:
    """Return a command's words, with what a terminal shows as it is in code marks where Markdown would read it."""
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]+|[A-Z]+_[A-Z_]+)(?![\w`])", r"`\1`", escaped(text).replace("\\`", "`"))


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Return every command that does something by itself, with its path."""
    yield from _walk("axisor-executor", main)


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, inner in command.commands.items():
        yield from _walk(f"{path} {name}", inner)


def error_classes() -> str:
    """Return the table of all error classes, with what their docstrings say."""
    rows = []
    for name, cls in CLASSES.items():
        says = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split()).replace("``", "`")
        rows.append(f"| `{name}` | {cls.default_status} | `{cls.default_code}` | {says} |")
    return "\n".join(["| class | status | code | meaning |", "|---|---|---|---|", *rows])


def error_tree() -> str:
    """Return the family tree as the errors module draws it."""
    drawn = (errors.__doc__ or "").split("::\n\n")[1].split("\n\n")[0]
    return f"```\n{textwrap.dedent(drawn)}\n```"


def all_metrics() -> str:
    """Return the table of all metrics."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {escaped(one.help)} |"
        for one in metrics.METRICS
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])


def alert_rules() -> str:
    """Return the table of Prometheus' alert rules; what the text shows of a series is left out."""
    file = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    rows = [
        f"| `{one['alert']}` | {one['labels']['severity']} | `{_in_a_cell(one['expr'])}` | "
        f"{one.get('for', 'at once')} |"
        for group in file["groups"]
        for one in group["rules"]
    ]
    return "\n".join(["| alert | severity | when | for |", "|---|---|---|---|", *rows])


def _in_a_cell(code: str) -> str:
    return code.replace("|", "\\|")


def config(handler: AutomationHandler[Any]) -> str:
    """Return the table of a config's keys."""
    fields = handler.config_model.model_fields
    hints = typing.get_type_hints(handler.config_model, include_extras=True)
    schema = handler.config_model.model_json_schema()["properties"]
    rows = []
    for name, field in sorted(fields.items(), key=lambda item: item[0] in OF_THE_CORE):
        allowed = _allowed(hints[name], field, schema[name])
        example = json.dumps(field.examples[0]) if field.examples else ""
        rows.append(
            f"| `{name}` | {escaped(allowed)} | {_default(field, schema[name])} | "
            f"{escaped(field.description or '')} | `{example}` |"
        )
    return "\n".join(["| key | allowed | default | meaning | example |", "|---|---|---|---|---|", *rows])


def _allowed(hint: Any, field: FieldInfo, schema: Mapping[str, Any]) -> str:
    number = next((found for found in _parts(hint) if isinstance(found, Number)), None)
    number = number or next((found for found in field.metadata if isinstance(found, Number)), None)
    if number is not None:
        return number.allowed
    if "enum" in schema:
        return ", ".join(schema["enum"])
    choices = [
        value for found in _parts(hint) if typing.get_origin(found) is typing.Literal for value in found.__args__
    ]
    if choices:
        return ", ".join(choices)
    if schema.get("type") == "array":
        models = [found for found in _parts(hint) if isinstance(found, type) and issubclass(found, BaseModel)]
        return f"a list of objects: {', '.join(models[0].model_fields)}" if models else "a list of texts"
    return str(schema.get("type", "text"))


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    yield from getattr(hint, "__metadata__", ())
    if typing.get_origin(hint) is not typing.Literal:
        for inner in typing.get_args(hint):
            yield from _parts(inner)


def _default(field: FieldInfo, schema: Mapping[str, Any]) -> str:
    if field.is_required():
        return "required"
    default = schema.get("default", field.default)
    return "" if default in (None, (), []) else f"`{json.dumps(default)}`"


def result(value: Mapping[str, Any], *, whole: bool = False) -> str:
    """Return a result as a JSON block; without ``whole``, the fields that all results have are left out."""
    shown = {key: item for key, item in value.items() if whole or key not in HEAD}
    lines = [f"{json.dumps(key)}: {_compact(item)}" for key, item in shown.items()]
    return "```json\n{" + ",\n ".join(lines) + "}\n```"


def _compact(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= _WIDTH or not isinstance(value, (dict, list)):
        return line
    if isinstance(value, list):
        return "[" + ",\n   ".join(_compact(item) for item in value) + "]"
    lines, current = [], ""
    for key, item in value.items():
        part = f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}"
        if current and len(current) + len(part) > _WIDTH:
            lines.append(current + ",")
            current = part
        else:
            current = f"{current}, {part}" if current else part
    return "{" + "\n   ".join([*lines, current]) + "}"
