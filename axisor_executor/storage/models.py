"""The tables as Peewee models: the monolith's as they are, and our own beside them.

Hot paths use the SQL of the sibling modules; these models serve everything else and say what the columns are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from peewee import (
    SQL,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DateTimeField,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
    SqliteDatabase,
    TextField,
)


class DocumentField(TextField):
    """A JSON value: ``json``/``jsonb`` in PostgreSQL, text in SQLite."""

    def db_value(self, value: Any) -> Any:
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def python_value(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value


class InstantField(DateTimeField):
    """An instant in UTC. Columns without a zone (the monolith's, SQLite's) hold UTC."""

    def db_value(self, value: Any) -> Any:
        """Return it as text with its offset, which is right whatever the session's zone; SQLite knows no offsets."""
        if not isinstance(value, datetime) or value.tzinfo is None:
            return value
        text = value.astimezone(UTC).isoformat(" ", "microseconds")
        return text.removesuffix("+00:00") if isinstance(self.model._meta.database, SqliteDatabase) else text

    def python_value(self, value: Any) -> datetime | None:
        if value is None:
            return None
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class ExchangeRow(Model):
    """``exchanges``: one exchange."""

    id = TextField(primary_key=True)
    name = TextField()
    slug = TextField()
    is_active = BooleanField(default=True)
    api_version = TextField(null=True)

    class Meta:
        table_name = "exchanges"


class AccountRow(Model):
    """``user_exchange_accounts``: one exchange account of a user, with its encrypted credentials."""

    id = TextField(primary_key=True)
    user_id = TextField()
    exchange_id = TextField()
    account_name = TextField()
    credentials = DocumentField()
    is_active = BooleanField(default=True)
    is_verified = BooleanField(default=False)
    last_test = InstantField(null=True)
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        table_name = "user_exchange_accounts"


class AutomationRow(Model):
    """``"Automation"``: one automation and its config."""

    id = TextField(primary_key=True)
    user_id = TextField()
    user_exchange_account_id = TextField(null=True)
    type = TextField()
    config = DocumentField()
    is_active = BooleanField(default=True)
    status = TextField(null=True)
    risk_level = TextField(null=True)
    created_at = InstantField()
    updated_at = InstantField()

    class Meta:
        table_name = "Automation"


class TradeLogRow(Model):
    """``"TradeLog"``: what the monolith shows. Sats and USD as doubles: a display copy, the ledger is exact."""

    id = TextField(primary_key=True)
    user_id = TextField()
    automation_id = TextField(null=True)
    trade_id = TextField()
    status = TextField()
    action = TextField(null=True)
    pnl = DoubleField(null=True)
    amount = DoubleField(null=True)
    price = DoubleField(null=True)
    error_message = TextField(null=True)
    executed_at = InstantField(null=True)
    created_at = InstantField()

    class Meta:
        table_name = "TradeLog"


class ExecutionRow(Model):
    """``axisor_executions``: one run of an automation for a job."""

    id = TextField(primary_key=True)
    user_id = TextField()
    automation_id = TextField()
    automation_type = TextField(null=True)
    account_id = TextField(null=True)
    account_name = TextField(null=True)
    exchange = TextField(null=True)
    lane = TextField()
    lane_rank = SmallIntegerField()
    job = DocumentField()
    trade_id = TextField(null=True)
    idempotency_key = TextField(null=True)
    message_id = TextField(null=True)
    status = TextField()
    wait_for = TextField(null=True)
    due_at = InstantField(null=True)
    tries = IntegerField(default=0)
    looks = IntegerField(default=0)
    crashes = IntegerField(default=0)
    plan_version = IntegerField(default=0)
    plan = DocumentField(null=True)
    old_plans = DocumentField(null=True)
    result = DocumentField(null=True)
    error = DocumentField(null=True)
    worker_id = TextField(null=True)
    fence = BigIntegerField(default=0)
    sends = IntegerField(default=0)
    sent_at = InstantField(null=True)
    created_at = InstantField()
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    expires_at = InstantField(null=True)

    class Meta:
        table_name = "axisor_executions"


class ActionRow(Model):
    """``axisor_actions``: one mutating exchange command of an execution's plan."""

    execution_id = TextField()
    seq = IntegerField()
    plan_version = IntegerField()
    group_index = IntegerField()
    step_index = IntegerField()
    kind = TextField()
    trade_id = TextField(null=True)
    params = DocumentField()
    automation_id = TextField()
    account_id = TextField()
    status = TextField()
    timestamp_ms = BigIntegerField(null=True)
    baseline = DocumentField(null=True)
    exchange_user_id = TextField(null=True)
    key_fingerprint = TextField(null=True)
    client_id = TextField(null=True)
    answer = DocumentField(null=True)
    error = DocumentField(null=True)
    new_trade_id = TextField(null=True)
    created_at = InstantField()
    sent_at = InstantField(null=True)
    settled_at = InstantField(null=True)
    dry_run = BooleanField(default=False)
    request = DocumentField(null=True)

    class Meta:
        table_name = "axisor_actions"
        primary_key = CompositeKey("execution_id", "seq")


class LeaseRow(Model):
    """``axisor_leases``: which run holds an account, until when by the database's clock."""

    account_id = TextField(primary_key=True)
    execution_id = TextField()
    worker_id = TextField(null=True)
    fence = BigIntegerField()
    until = InstantField()

    class Meta:
        table_name = "axisor_leases"


class SwitchRow(Model):
    """``axisor_switches``: a pause or reduce-only setting of a scope."""

    scope = TextField()
    scope_id = TextField(constraints=[SQL("DEFAULT ''")])
    mode = TextField()
    reason = TextField(null=True)
    created_at = InstantField()

    class Meta:
        table_name = "axisor_switches"
        primary_key = CompositeKey("scope", "scope_id")


class LineageRow(Model):
    """``axisor_trade_lineage``: which trade replaced which on an account."""

    account_id = TextField()
    old_id = TextField()
    new_id = TextField()
    execution_id = TextField()
    created_at = InstantField()

    class Meta:
        table_name = "axisor_trade_lineage"
        primary_key = CompositeKey("account_id", "old_id")


class WorkerRow(Model):
    """``axisor_workers``: a worker process, its last sign of life and its flushed counters."""

    id = TextField(primary_key=True)
    host = TextField()
    pid = IntegerField()
    started_at = InstantField()
    heartbeat_at = InstantField()
    counters = DocumentField(null=True)

    class Meta:
        table_name = "axisor_workers"


class CountsRow(Model):
    """``axisor_counts``: what a process has counted for the metrics since it began, or all those that are gone."""

    process = TextField(primary_key=True)
    counted_at = InstantField()
    counts = DocumentField()

    class Meta:
        table_name = "axisor_counts"


class TokenRow(Model):
    """``axisor_tokens``: a token of the HTTP API, as a digest; what it may do, and for whom."""

    id = TextField(primary_key=True)
    digest = TextField()
    name = TextField()
    scopes = DocumentField()
    user_id = TextField(null=True)
    created_at = InstantField()
    expires_at = InstantField(null=True)
    last_used_at = InstantField(null=True)
    revoked_at = InstantField(null=True)

    class Meta:
        table_name = "axisor_tokens"


class SessionRow(Model):
    """``axisor_sessions``: a login to the console, as a digest, and the token that it was traded for."""

    digest = TextField(primary_key=True)
    token_id = TextField()
    created_at = InstantField()
    expires_at = InstantField()

    class Meta:
        table_name = "axisor_sessions"


class HorizonRow(Model):
    """``axisor_horizon``: one row; what ended, and what had sent something, before may have been pruned."""

    id = IntegerField(primary_key=True)
    ended = InstantField()
    acted = InstantField()

    class Meta:
        table_name = "axisor_horizon"


MONOLITH = (ExchangeRow, AccountRow, AutomationRow, TradeLogRow)
OWN = (ExecutionRow, ActionRow, LeaseRow, SwitchRow, LineageRow, WorkerRow, CountsRow, TokenRow, SessionRow, HorizonRow)
MODELS = (*MONOLITH, *OWN)
