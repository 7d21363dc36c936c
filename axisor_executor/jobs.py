"""The job: what a scheduler puts on the queue, camelCase on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from axisor_executor.errors import InvalidJob

MAX_BYTES = 16_384
_MOST_PROBLEMS = 10
_LONGEST_KEY = 60

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):  # which Python takes for a number
        raise PydanticKnownError("int_type")
    return value


class Job(BaseModel):
    """``{userId, automationId, action, tradeId}``: run this automation.

    ``action`` chooses one of the type's actions (absent: the config's); ``trade_id`` names the trade where one is
    needed; ``max_age`` (seconds) overrides the type's limit for starting late; ``v`` is the format's version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    v: Annotated[Literal[1], BeforeValidator(_no_bool)] = 1
    user_id: Name
    automation_id: Name
    action: Name | None = None
    trade_id: Name | None = None
    max_age: float | None = Field(default=None, gt=0, le=86_400, strict=True)

    def as_wire(self) -> dict[str, Any]:
        """Return the job as it stands on the wire and in the ledger; what is absent stays absent."""
        return self.model_dump(by_alias=True, exclude_none=True)


def parse_job(raw: Job | Mapping[str, Any]) -> Job:
    """Validate a job.

    Raises:
        InvalidJob: every problem with its key; nothing was recorded or sent.
    """
    if isinstance(raw, Job):
        return raw
    if not isinstance(raw, Mapping):
        raise InvalidJob(f"a job is an object with userId and automationId, got {type(raw).__name__}")
    values = {key: value for key, value in raw.items() if value not in (None, "") or key in ("userId", "automationId")}
    try:
        job = Job.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in item['loc'])[:_LONGEST_KEY]}: {_message(item)}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        more = len(problems) - _MOST_PROBLEMS
        told = problems[:_MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise InvalidJob(f"malformed job: {'; '.join(told)}") from None
    if len(json.dumps(job.as_wire())) > MAX_BYTES:
        raise InvalidJob(f"malformed job: larger than {MAX_BYTES} bytes")
    return job


def _message(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown key; a job has userId, automationId, action, tradeId, maxAge, v"
    if item["type"] == "missing":
        return "missing"
    return str(item["msg"])
