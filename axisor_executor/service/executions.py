"""Executions over HTTP: take a job, list, explain, retry, resolve."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from axisor_executor import api, explain, interventions
from axisor_executor.errors import InvalidJob, NotFound, StorageError
from axisor_executor.intake import MAX_KEY
from axisor_executor.jobs import Job, parse_job
from axisor_executor.observe.logs import say
from axisor_executor.service import shapes
from axisor_executor.service.access import Operator, Reader, Taker, check_user, own
from axisor_executor.service.answers import Json
from axisor_executor.service.bodies import JOB_BODY, ResolveBody, body_schema, read, read_object
from axisor_executor.service.parts import Parts, PartsOf
from axisor_executor.storage import accounts, executions
from axisor_executor.storage.connection import BROKEN
from axisor_executor.storage.executions import Execution, Status
from axisor_executor.storage.tokens import Token

LONGEST_WAIT = 60.0
"""Seconds that a request may wait for an end."""
ROOT = "/api/automation/executions"
router = APIRouter(prefix="/api/automation", tags=["executions"])
_OVER_OR_NOT: dict[int | str, dict[str, Any]] = {
    200: {"model": shapes.Result, "description": "It is over: its result"},
    202: {"model": shapes.Result, "description": "It was taken, and will be carried out"},
}


class Waits(BaseModel):
    """The parameters of a job's arrival."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(default=0.0, ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end")


def _written(given: object) -> object:
    """Refuse what is no date with a time, such as ``2027``: a bare number would be seconds since 1970."""
    if not (isinstance(given, str) and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", given)):
        raise ValueError("must be an instant in ISO-8601 with a zone, such as 2026-01-15T12:30:05Z")
    return given


def _storable(moment: datetime) -> datetime:
    """Refuse years that a change of zone leads out of the calendar."""
    if not 1 < moment.year < 9999:
        raise ValueError("the year must be between 2 and 9998")
    return moment


Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_storable)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Cursor = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
ExecutionId = Annotated[str, Path(max_length=200)]


class Filters(BaseModel):
    """Which executions to list."""

    model_config = ConfigDict(extra="forbid")

    account: Text | None = Field(default=None, description="An account's id or name")
    automation: Text | None = Field(default=None, description="An automation's id")
    user: Text | None = Field(default=None, description="A user's id")
    type: Text | None = Field(default=None, description="An automation type")
    status: list[Status] = Field(default=[], max_length=9, description="May be given more than once")
    since: Instant | None = Field(default=None, description="Taken at this instant or later")
    until: Instant | None = Field(default=None, description="Taken before this instant")
    cursor: Cursor | None = Field(default=None, description="`next` of the page before")
    limit: int = Field(default=50, ge=1, le=200)


@router.post(
    "/execute",
    status_code=202,
    responses=_OVER_OR_NOT,
    openapi_extra=JOB_BODY,
    summary="Take a job",
)
async def execute(
    request: Request,
    token: Taker,
    parts: PartsOf,
    query: Annotated[Waits, Query()],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The same key with the same job is the same execution",
            json_schema_extra={"minLength": 1, "maxLength": MAX_KEY, "pattern": r"^[\t -~]*[!-~][\t -~]*$"},
        ),
    ] = None,
) -> Response:
    """Take a job: from the answer on it will be carried out, exactly once.

    Answers 202 with the execution's id, or with `wait` 200 with the result if it ends in that time.
    """
    job = parse_job(await read_object(request))
    _check_header_key(request)
    taken = await run_in_threadpool(_take, parts, token, job, idempotency_key)
    if query.wait > 0 and not taken.is_over:
        await parts.waiting.for_end(
            lambda: parts.storage, taken.id, query.wait, receive=request.receive, whose=token.id
        )
        taken = await run_in_threadpool(_get, parts, taken)
    answer = Json(api.shown(taken), status_code=200 if query.wait > 0 and taken.is_over else 202)
    answer.headers["Location"] = f"{request.scope.get('root_path', '')}{ROOT}/{taken.id}"
    return answer


@router.get("/executions", summary="List executions")
def list_executions(token: Reader, parts: PartsOf, query: Annotated[Filters, Query()]) -> shapes.ExecutionPage:
    """List executions, newest first, page by page. A token that is bound to a user sees that user's only."""
    user = None if query.user is None else accounts.as_stored(parts.storage, "user", query.user)
    if token.user_id is not None and user not in (None, token.user_id):
        return shapes.ExecutionPage(executions=[], next=None)
    wanted = explain.Wanted(
        statuses=query.status,
        account=query.account,
        automation=query.automation,
        user=user if token.user_id is None else token.user_id,
        type=query.type,
        since=query.since,
        until=query.until,
        before=query.cursor,
    )
    with parts.storage.connection():
        found = explain.select(parts.storage, wanted, limit=query.limit + 1)
    page = found[: query.limit]
    return shapes.ExecutionPage(
        executions=[shapes.Summary.model_validate(explain.summary(one)) for one in page],
        next=page[-1].id if len(found) > len(page) else None,
    )


@router.get("/executions/{execution_id}", summary="Explain an execution")
def show_execution(execution_id: ExecutionId, token: Reader, parts: PartsOf) -> shapes.Explained:
    """Tell everything that the ledger knows: what was seen, what was decided, what was sent, what came back."""
    with parts.storage.connection():
        found = _own(parts, token, execution_id)
        return shapes.Explained.model_validate(explain.explain(parts.storage, found))


@router.post("/executions/{execution_id}/retry", status_code=202, response_model=shapes.Result, summary="Try again")
def retry_execution(execution_id: ExecutionId, token: Operator, parts: PartsOf) -> Json:
    """Try an execution again that failed, expired, was cancelled or is uncertain.

    What is not known is reconciled first, a remainder that was not reopened is reopened, and what took effect is never
    done again. Where there is nothing of the first two, the rest is decided anew; else the next retry does that.
    """
    with parts.storage.connection():
        found = _own(parts, token, execution_id)
        policy = parts.runtime.settings.policy_for(found.automation_type or "")
        again = interventions.retry(parts.runtime.opener, found.id, max_age_seconds=policy.max_age_seconds)
    parts.runtime.intake.wake(again)
    return Json(api.shown(again), status_code=202)


@router.post(
    "/executions/{execution_id}/resolve",
    response_model=shapes.Result,
    openapi_extra=body_schema(ResolveBody),
    summary="Say what became of it",
)
async def resolve_execution(execution_id: ExecutionId, request: Request, token: Operator, parts: PartsOf) -> Json:
    """Say what became of an uncertain execution: look at the account on the exchange first.

    Your word is taken, unless the exchange shows otherwise, or may still carry out what was sent.
    """
    body = await read(request, ResolveBody)

    def resolve() -> dict[str, Any]:
        with parts.storage.connection():
            found = _own(parts, token, execution_id)
            return interventions.resolve(parts.runtime.opener, found.id, body.verdict, trade_id=body.trade_id)

    return Json(await run_in_threadpool(resolve))


def _check_header_key(request: Request) -> None:
    """Refuse keys that would be taken for others: one of several, or one in an encoding that a header can't name.

    Raises:
        InvalidJob: ``invalid_key``.
    """
    given = request.headers.getlist("idempotency-key")
    if len(given) > 1:
        raise InvalidJob("there may be one Idempotency-Key only", code="invalid_key")
    if not all(key.isascii() for key in given):
        raise InvalidJob("an Idempotency-Key must be ASCII", code="invalid_key")


def _take(parts: Parts, token: Token, job: Job, key: str | None) -> Execution:
    not_found = NotFound(f"Automation {job.automation_id} not found", code="automation_not_found")
    check_user(token, accounts.as_stored(parts.storage, "user", job.user_id), not_found)
    intake = parts.runtime.intake
    taken, _ = intake.take(job, idempotency_key=key)
    if taken.status == "queued":
        intake.announce(taken)
    return taken


def _get(parts: Parts, taken: Execution) -> Execution:
    """Return how a job stands; where the database is away, how it stood: after an error it would be sent again."""
    try:
        with parts.storage.connection():
            return executions.get(parts.storage, taken.id) or taken
    except (StorageError, *BROKEN) as error:
        say.warning(f"The database is away, a client is told that {taken.id} was taken: {type(error).__name__}")
        return taken


def _own(parts: Parts, token: Token, execution_id: str) -> Execution:
    return own(token, executions.get(parts.storage, execution_id), execution_id)
