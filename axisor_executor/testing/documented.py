"""What an automation type's config says about itself in its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from axisor_executor.automation import AutomationHandler
from axisor_executor.errors import AxisorError
from axisor_executor.run.plain import Junk
from axisor_executor.run.reading import read

Handler = AutomationHandler[Any]
Given = tuple[Mapping[str, Any], str | None]
"""A config, and the action that a job with it names."""


def problems(handler: Handler, given: Sequence[Given]) -> list[str]:
    """Return what a user would miss in the schema: descriptions, units, examples, and examples that work."""
    schema = handler.config_model.model_json_schema()
    found = list(_undocumented(schema, schema, ""))
    for key, field in schema.get("properties", {}).items():
        examples = field.get("examples")
        if not examples:
            found.append(f"{key}: no example; give Field(examples=[...])")
        found += [
            problem for example in examples or () if (problem := _refused(handler, given, key, example)) is not None
        ]
    return found


def misspelt(handler: Handler, config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return configs with a key that there is not, and that key."""
    model = handler.config_model
    yield "no_such_key", {**config, "no_such_key": 1}
    for key in config:
        wrong = f"{key}{key[-1]}"
        if key != "action" and wrong not in model.model_fields and wrong not in model.ignored_keys:
            yield wrong, {wrong if name == key else name: value for name, value in config.items()}


def _undocumented(model: Mapping[str, Any], schema: Mapping[str, Any], within: str) -> Iterator[str]:
    for key, field in model.get("properties", {}).items():
        name = f"{within}{key}"
        if not str(field.get("description", "")).strip():
            yield f"{name}: no description; give Field(description=...)"
        if _is_number(field) and not _has_unit(field):
            yield (
                f'{name}: a number without a unit; annotate it with Number(unit="percent"), Whole(unit="sats") or'
                ' Price() (what is counted is a unit, too: "trades", "factor")'
            )
    if not within:
        for name, nested in schema.get("$defs", {}).items():
            yield from _undocumented(nested, schema, f"{name}.")


def _is_number(field: Any) -> bool:
    """Whether a field takes a number, itself or within a list; what is one of a few constants needs no unit."""
    if isinstance(field, Mapping):
        if "enum" in field or "const" in field:
            return False
        return field.get("type") in ("number", "integer") or any(
            _is_number(field[key])
            for key in ("anyOf", "oneOf", "allOf", "items", "additionalProperties")
            if key in field
        )
    return isinstance(field, list) and any(_is_number(one) for one in field)


def _has_unit(field: Any) -> bool:
    if isinstance(field, Mapping):
        return bool(field.get("unit")) or any(_has_unit(one) for one in field.values())
    return isinstance(field, list) and any(_has_unit(one) for one in field)


def _refused(handler: Handler, given: Sequence[Given], key: str, example: Any) -> str | None:
    """Return why no config takes the example, ``None`` where one does that acts on the key."""
    reasons = []
    for config, wanted in given:
        changed = {**config, key: example}
        try:
            known = read(handler, changed, wanted)
        except (AxisorError, Junk, TypeError, ValueError) as error:
            reasons.append(f"{dict(config)}: {error}")
            continue
        if key not in known.ignored:
            return None
    why = f" ({reasons[0]})" if reasons else ""
    return (
        f"{key}: the example {example!r} is valid with none of configs{why}; mend it, or add to configs one that it"
        " goes with"
    )
