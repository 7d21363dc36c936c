"""Every metric that there is: what each process counts, and how things stand when somebody asks.

The names are Prometheus' style: a unit at the end, ``_total`` for counters. Times are in seconds.
"""

from __future__ import annotations

from itertools import product
from typing import Literal, get_args

from axisor_executor.observe.alerts import Kind
from axisor_executor.observe.counting import Counter, Gauge, Histogram, Metric

PutBack = Literal["due", "abandoned", "unsent", "overdue"]
AlertOutcome = Literal["sent", "suppressed", "dropped"]

_RUN_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
_DELAY_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_AGE_SECONDS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0)

executions = Counter(
    "axisor_executions_total",
    "Executions that a run has ended, by how they ended",
    ("type", "action", "status", "exchange"),
)
execution_seconds = Histogram(
    "axisor_execution_duration_seconds",
    "Time of the run that ended an execution, without waiting",
    ("type", "status"),
    buckets=_RUN_SECONDS,
)
start_delay = Histogram(
    "axisor_execution_start_delay_seconds",
    "Time from taking a job to the start of its first run",
    ("lane",),
    buckets=_DELAY_SECONDS,
)
account_executions = Counter(
    "axisor_account_executions_total",
    "Executions that a run has ended, by account; only with AXISOR_METRICS_PER_ACCOUNT",
    ("account", "type", "status"),
    most_series=50_000,
)
requests = Counter(
    "axisor_exchange_requests_total",
    "Calls to the exchange, by how they ended: ok, rejected, unavailable, unknown, error",
    ("exchange", "call", "outcome"),
)
request_seconds = Histogram(
    "axisor_exchange_request_duration_seconds",
    "Time of calls to the exchange",
    ("exchange", "call"),
    buckets=_CALL_SECONDS,
)
held_back = Counter(
    "axisor_exchange_requests_held_back_total",
    "Calls to the exchange that were not made: no room in the rate limit, or a breaker is open",
    ("exchange", "lane", "reason"),
)
price_age = Histogram(
    "axisor_price_age_seconds",
    "Age of the prices on which was decided or acted",
    ("exchange",),
    buckets=_AGE_SECONDS,
)
price_refused = Counter(
    "axisor_price_refused_total",
    "Prices that were asked for and not used: stale or invalid",
    ("exchange", "reason"),
)
credentials_lookups = Counter(
    "axisor_credentials_lookups_total",
    "Look-ups of credentials: answered by the cache, or decrypted",
    ("result",),
    known=(("hit",), ("miss",)),
)
plugin_errors = Counter(
    "axisor_plugin_errors_total",
    "Calls of a plugin's code that raised, hung or returned junk",
    ("plugin", "where"),
)
alerts = Counter(
    "axisor_alerts_total",
    "Alerts: sent on, suppressed because they repeat one that was, or dropped because too many were waiting",
    ("kind", "outcome"),
    known=tuple(product(get_args(Kind), get_args(AlertOutcome))),
)
put_back = Counter(
    "axisor_recovery_put_back_total",
    "Executions that recovery put back on the queue",
    ("reason",),
    known=tuple((reason,) for reason in get_args(PutBack)),
)

COUNTED: tuple[Counter | Histogram, ...] = (
    executions,
    execution_seconds,
    start_delay,
    account_executions,
    requests,
    request_seconds,
    held_back,
    price_age,
    price_refused,
    credentials_lookups,
    plugin_errors,
    alerts,
    put_back,
)

build_info = Gauge("axisor_build_info", "Always 1; which version tells this", ("version", "python"))
redis_up = Gauge("axisor_redis_up", "Whether Redis answers and takes writes; what only it knows is left out while not")
workers = Gauge("axisor_workers", "Worker processes: alive, or silent and not alive for up to 10 minutes", ("state",))
worker_threads = Gauge("axisor_worker_threads", "Threads of the workers that are alive")
worker_runs = Gauge("axisor_worker_runs", "Runs that go on in the workers that are alive")
lane_workers = Gauge("axisor_lane_workers", "Workers alive that take a lane", ("lane",))
queue_executions = Gauge("axisor_queue_executions", "Executions that are not over", ("lane", "status"))
queue_oldest = Gauge("axisor_queue_oldest_seconds", "Age of the oldest queued execution, 0 for none", ("lane",))
queue_messages = Gauge("axisor_queue_messages", "Messages in Redis, those being worked on included", ("lane",))
waiting = Gauge("axisor_executions_waiting", "Executions that wait, by what for", ("reason",))
uncertain = Gauge("axisor_executions_uncertain", "Executions that ended uncertain and that nobody has resolved")
unsettled = Gauge("axisor_actions_unsettled", "Actions whose outcome is not known (yet)", ("status",))
exchange_breakers = Gauge(
    "axisor_exchange_breakers_open", "Breakers of an exchange that hold calls back", ("exchange",)
)
account_breakers = Gauge("axisor_account_breakers_open", "Breakers of accounts' keys that hold calls back")
plugin_breakers = Gauge(
    "axisor_plugin_breakers_open", "Breakers of plugins that hold their automations back", ("plugin",)
)
switches = Gauge("axisor_switches", "Pauses and reduce-only settings that are set", ("scope", "mode"))
plugins = Gauge("axisor_plugins", "Plugins of the process that answers, by what became of them", ("state",))

STANDING: tuple[Gauge, ...] = (
    build_info,
    redis_up,
    workers,
    worker_threads,
    worker_runs,
    lane_workers,
    queue_executions,
    queue_oldest,
    queue_messages,
    waiting,
    uncertain,
    unsettled,
    exchange_breakers,
    account_breakers,
    plugin_breakers,
    switches,
    plugins,
)
METRICS: tuple[Metric, ...] = (*COUNTED, *STANDING)
