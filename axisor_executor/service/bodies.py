"""Bodies of requests: one JSON object each, of the fields that are known, and nothing else."""

from __future__ import annotations

import json
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from axisor_executor.errors import AxisorError
from axisor_executor.jobs import Job, Name
from axisor_executor.service.answers import invalid
from axisor_executor.storage.switches import Mode, Scope

Model = TypeVar("Model", bound=BaseModel)


class SwitchBody(BaseModel):
    """A switch to set."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"scope": "account", "id": "acc456"}]})

    scope: Scope
    id: Name | None = Field(default=None, description="Of the exchange (its slug), account or automation")
    mode: Mode = "paused"
    reason: Name | None = None


class ResolveBody(BaseModel):
    """What became of an uncertain execution, by a person's word."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, json_schema_extra={"examples": [{"verdict": "not_executed"}]}
    )

    verdict: Literal["executed", "not_executed"]
    trade_id: Name | None = Field(default=None, description="The trade that an executed entry opened")


JOB_EXAMPLE = {"userId": "user123", "automationId": "auto789", "action": "close_position", "tradeId": "trade123"}


def body_schema(model: type[BaseModel], *examples: dict[str, Any]) -> dict[str, Any]:
    """Return how OpenAPI describes a body that :func:`read_object` reads."""
    schema = model.model_json_schema(by_alias=True)
    content = {"schema": {**schema, **({"examples": list(examples)} if examples else {})}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        AxisorError: there is none (400, ``invalid_request``), or it is announced as something else (415,
            ``unsupported_media_type``).
    """
    announced = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if announced != "application/json":
        raise AxisorError("the body must be application/json", code="unsupported_media_type", status=415)
    raw = await request.body()
    try:
        value = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise AxisorError("the body is not JSON", code="invalid_request", status=400) from None
    if not isinstance(value, dict):
        raise AxisorError("the body must be a JSON object", code="invalid_request", status=400)
    return value


async def read(request: Request, model: type[Model]) -> Model:
    """Return the body as a model.

    Raises:
        AxisorError: as :func:`read_object`; or the object is not as the model wants it (400, ``invalid_request``).
    """
    try:
        return model.model_validate(await read_object(request))
    except ValidationError as error:
        problems = [dict(problem) for problem in error.errors(include_url=False, include_input=False)]
    raise invalid(problems)


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


JOB_BODY = body_schema(Job, JOB_EXAMPLE)
