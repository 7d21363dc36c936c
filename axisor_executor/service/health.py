"""Health over HTTP: whether jobs are being carried out, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response

from axisor_executor import standing
from axisor_executor.lanes import ACTORS
from axisor_executor.observe.logs import timestamp
from axisor_executor.service import shapes
from axisor_executor.service.access import Reader, check_unbound
from axisor_executor.service.parts import Parts, PartsOf
from axisor_executor.settings import Settings

router = APIRouter(tags=["health"])

DIED_SECONDS = 600.0
"""For so long, a worker that has fallen silent counts as a problem; then its place has been taken, or never will be."""


@router.api_route("/healthz", methods=["GET", "HEAD"], status_code=204, include_in_schema=False)
async def alive() -> Response:
    """Say that this process answers, and nothing else."""
    return Response(status_code=204)


@router.get(
    "/api/health/workers",
    responses={503: {"model": shapes.Health, "description": "Unhealthy: jobs are not carried out; or an error"}},
    summary="Health of the workers",
)
def workers(token: Reader, parts: PartsOf, response: Response) -> shapes.Health:
    """Tell how workers, queues, Redis, database and exchanges stand: 200 healthy or degraded, 503 unhealthy."""
    check_unbound(token)
    found = look(parts)
    response.status_code = 503 if found.status == "unhealthy" else 200
    return found


def look(parts: Parts) -> shapes.Health:
    """Return how everything stands now, and what of it is a problem."""
    redis = standing.redis(parts.runtime.queue)
    breakers = [state.as_dict() for state in parts.runtime.breakers.states()]
    with parts.storage.connection():
        found = standing.workers(parts.storage)
        live = standing.lanes(parts.storage)
    living = [one for one in found if one["alive"]]
    lanes: dict[str, dict[str, Any]] = {lane: _lane(lane, live, redis, living) for lane in ACTORS}
    fatal = list(_fatal(redis, living, lanes))
    lesser = [*_silent(found), *_keyless(living), *_backlogs(parts.runtime.settings, lanes), *_held_back(breakers)]
    return shapes.Health.model_validate(
        {
            "status": "unhealthy" if fatal else "degraded" if lesser else "healthy",
            "problems": fatal + lesser,
            "checkedAt": timestamp(),
            "processes": len(living),
            "threads": sum(one["threads"] or 0 for one in living),
            "running": sum(one["running"] or 0 for one in living),
            "workers": found,
            "lanes": lanes,
            "redis": {"ok": redis["ok"], "version": redis.get("version")},
            "database": {"ok": True, "kind": "sqlite" if parts.storage.is_sqlite else "postgresql"},
            "breakers": breakers,
        }
    )


def _lane(
    lane: str, live: Mapping[str, dict[str, Any]], redis: Mapping[str, Any], living: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    none = {"queued": 0, "running": 0, "waiting": 0, "oldestQueuedSeconds": None}
    return {
        **(live.get(lane) or none),
        "messages": redis.get("queues", {}).get(lane),
        "workers": sum(one["queues"] is None or lane in one["queues"] for one in living),
    }


def _fatal(
    redis: Mapping[str, Any], living: Sequence[Mapping[str, Any]], lanes: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Return why jobs are not carried out."""
    if not redis["ok"]:
        yield "Redis can't be used: jobs are taken, and carried out when it is back"
    if not living:
        yield "no worker is alive"
        return
    for lane, state in lanes.items():
        if not state["workers"]:
            yield f"no worker takes the lane {lane}"


def _silent(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        if not one["alive"] and one["heartbeatSecondsAgo"] < DIED_SECONDS:
            yield f"the worker {one['host']} pid {one['pid']} is silent for {one['heartbeatSecondsAgo']:g} s"


def _keyless(living: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in living:
        if one["keyIds"] == []:
            yield f"the worker {one['host']} pid {one['pid']} has no encryption key: it can't read credentials"


def _backlogs(settings: Settings, lanes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Return where the workers don't keep up, by the limits of the alert."""
    for lane, state in lanes.items():
        oldest = state["oldestQueuedSeconds"] or 0.0
        if oldest > settings.alert_queue_seconds or state["queued"] > settings.alert_queue_depth:
            yield f"{state['queued']} jobs are queued on the lane {lane}, the oldest for {oldest:g} s"


def _held_back(breakers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in breakers:
        if one["exchange"] is not None:
            yield f"calls to the exchange {one['exchange']} are held back"
        if one["plugin"] is not None:
            yield f"the plugin {one['plugin']} fails again and again, its automations wait"
