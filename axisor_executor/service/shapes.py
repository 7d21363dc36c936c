"""The shapes of answers, as OpenAPI describes them. Names are camelCase on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from axisor_executor.automation import Lane
from axisor_executor.storage.actions import ActionStatus
from axisor_executor.storage.executions import Status, WaitFor
from axisor_executor.storage.switches import Mode
from axisor_executor.storage.switches import Scope as SwitchScope

_RESULT: JsonDict = {
    "status": "completed",
    "action": "close_position",
    "timestamp": "2026-01-15T12:30:05.198Z",
    "executionId": "019a3c5e-7b1f-7c2a-9d41-0f6f6c1d2e3a",
    "automationId": "auto789",
    "userId": "user123",
    "accountId": "acc456",
    "accountName": "Main Account",
    "tradeId": "trade123",
}
_ERROR: JsonDict = {"error": {"status": 404, "code": "execution_not_found", "message": "Execution 019a3c5e not found"}}


class Shape(BaseModel):
    """Base: camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ErrorFields(Shape):
    """What went wrong; the codes stand in the documentation."""

    model_config = ConfigDict(extra="allow")

    status: int
    code: str
    message: str


class ErrorAnswer(Shape):
    """Every answer that is not a success."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ERROR]})

    error: ErrorFields


class Result(Shape):
    """An execution's result; or, while it is not over, where it stands."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_RESULT]})

    status: Status
    execution_id: str


class Summary(Shape):
    """An execution as it stands in a list."""

    id: str
    status: Status
    waiting_for: WaitFor | None
    due_at: str | None
    automation_id: str
    automation_type: str | None
    user_id: str
    account_id: str | None
    account_name: str | None
    action: str | None
    trade_id: str | None
    lane: Lane
    created_at: str
    started_at: str | None
    finished_at: str | None
    error: dict[str, Any] | None


class Told(Shape):
    """Base of what is told as the ledger has it: what is new there is told, too."""

    model_config = ConfigDict(extra="allow")


class ExecutionPage(Shape):
    """Executions, newest first. ``next``: the ``cursor`` of the page behind, null on the last one."""

    executions: list[Summary]
    next: str | None


class ShownAction(Told):
    """One exchange command: what was sent, with which timestamp and what was there before, and what came back."""

    seq: int
    plan_version: int
    group: int
    step: int
    action: dict[str, Any]
    status: ActionStatus
    timestamp_ms: int | None
    sent_at: str | None
    account_id: str
    exchange_user_id: str | None
    key_fingerprint: str | None
    client_id: str | None
    dry_run: bool
    request: dict[str, Any] | None
    baseline: dict[str, Any] | None
    answer: dict[str, Any] | None
    new_trade_id: str | None
    error: dict[str, Any] | None


class Explained(Told):
    """Everything that the ledger knows about an execution: the job, each plan with what was seen, each action."""

    id: str
    status: Status
    waiting_for: WaitFor | None
    due_at: str | None
    job: dict[str, Any]
    idempotency_key: str | None
    user_id: str
    automation_id: str
    automation_type: str | None
    account_id: str | None
    account_name: str | None
    exchange: str | None
    lane: Lane
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    tries: int
    looks: int
    runs: int
    plans: list[dict[str, Any]]
    actions: list[ShownAction]
    result: dict[str, Any] | None
    error: dict[str, Any] | None


class ShownSwitch(Shape):
    """A switch that is set."""

    scope: SwitchScope
    id: str | None
    mode: Mode
    reason: str | None
    created_at: str


class SwitchList(Shape):
    """The switches that are set, oldest first."""

    switches: list[ShownSwitch]


class AlreadyOut(Shape):
    """An action whose request had left (or may have) before the switch was set, and what became of it since."""

    execution_id: str
    account_id: str
    action: str
    trade_id: str | None
    status: ActionStatus


class Paused(Shape):
    """Nothing leaves any more in this scope; what was out already is listed."""

    scope: SwitchScope
    id: str | None
    mode: Mode
    already_out: list[AlreadyOut]


class Resumed(Shape):
    """Whether a switch was set."""

    removed: bool


class Worker(Shape):
    """A worker process. ``alive`` is false when it has not shown itself for half a minute."""

    id: str
    host: str
    pid: int
    started_at: str
    heartbeat_seconds_ago: float
    alive: bool
    threads: int | None
    running: int | None
    queues: list[str] | None
    key_ids: list[str] | None


class LaneState(Shape):
    """A lane: its executions in the ledger, and its messages in Redis (null while that is away)."""

    queued: int
    running: int
    waiting: int
    oldest_queued_seconds: float | None
    messages: int | None
    workers: int


class RedisState(Shape):
    """Whether Redis answers."""

    ok: bool
    version: str | None


class DatabaseState(Shape):
    """The database; where it is away, there is no answer but an error."""

    ok: bool
    kind: Literal["postgresql", "sqlite"]


class Health(Shape):
    """How the workers and what they need stand; ``problems`` says why it is not ``healthy``."""

    status: Literal["healthy", "degraded", "unhealthy"]
    problems: list[str]
    checked_at: str
    processes: int
    threads: int
    running: int
    workers: list[Worker]
    lanes: dict[Lane, LaneState]
    redis: RedisState
    database: DatabaseState
    breakers: list[dict[str, Any]]


class Figures(Shape):
    """Of executions that ended within the window. Rates are shares from 0 to 1, times milliseconds."""

    executions: int
    successes: int
    errors: int
    success_rate: float | None
    error_rate: float | None
    average_execution_time: float | None = Field(description="Milliseconds from the first run's start to the end")
    last_finished_at: str | None


class Performance(Figures):
    """The overall figures."""

    window_seconds: float
    executions_per_minute: float
    cache_hit_rate: float | None
    accounts_active: int = Field(description="Accounts with an execution in the last 24 hours")


class LastError(Shape):
    """The newest error of an account within the window."""

    code: str | None
    message: str | None
    execution_id: str
    at: str


class AccountFigures(Figures):
    """One account's figures."""

    account_id: str
    user_id: str
    account_name: str
    exchange: str | None
    last_error: LastError | None


class AccountPage(Shape):
    """Accounts of which something has ended within the window. ``next``: the ``cursor`` of the page behind."""

    window_seconds: float
    accounts: list[AccountFigures]
    next: str | None


class OneAccount(AccountFigures):
    """One account's figures, with how often each error code ended an execution."""

    window_seconds: float
    error_codes: dict[str, int]
